/** A person who answers all gates, impatiently: early, twice, by several ways, and now and then against what was said before. */

import type { WorkflowHandle } from '@temporalio/client';
import { loadJson } from '../../artifacts/codecs.ts';
import { readDecisions, readGate } from '../../artifacts/gate-record.ts';
import type { Store } from '../../artifacts/store.ts';
import type { Decision } from '../../detection/types.ts';
import { type DecideAnswer, type DecideMessage, decideName } from '../../workflows/messages.ts';
import { gates } from './pipeline.ts';
import type { Schedule } from './schedule.ts';

const lookEveryMs = 250;
const patienceMs = 4_000;

export interface Reviewer {
  /** Ends the work; answers decisions that were taken though they contradict. */
  stop(): Promise<string[]>;
}

/** The verdict hangs on the candidate alone, so that it is the same whoever is asked, and when. */
export function verdictOn(candidateId: string): Decision {
  return { candidateId, verdict: Number.parseInt(candidateId[0]!, 16) % 2 === 0 ? 'accept' : 'reject' };
}

/** `known`: ids of the candidates of each gate, where a calm run has told them. */
export function startReviewer(
  store: Store,
  run: string,
  handle: WorkflowHandle,
  { early, repeats, mishaps }: Pick<Schedule, 'early' | 'repeats' | 'mishaps'>,
  known: ReadonlyMap<string, readonly string[]>,
): Reviewer {
  let working = true;
  const problems: string[] = [];
  const sentEarly = new Set<string>();
  const contradicted = new Set<string>();

  /** Resolves also where nothing answers: what was not taken is sent again. */
  const send = async (message: DecideMessage): Promise<void> => {
    const ways = Array.from({ length: repeats }, (_, i) => {
      if (i === 1) return handle.signal(decideName, message);
      const again = i === 2 ? { ...message, batch: `${message.batch}-again`, by: 'bob' } : message;
      return handle.executeUpdate<DecideAnswer, [DecideMessage]>(decideName, { args: [again] });
    });
    await Promise.race([Promise.allSettled(ways), new Promise((resolve) => setTimeout(resolve, patienceMs))]);
  };

  const contradict = async (gate: string, candidateId: string): Promise<void> => {
    if (contradicted.has(gate)) return;
    contradicted.add(gate);
    const verdict = verdictOn(candidateId).verdict === 'accept' ? 'reject' : 'accept';
    const message: DecideMessage = { gate, batch: 'against', by: 'eve', decisions: [{ candidateId, verdict }] };
    const answer = await Promise.race([
      handle.executeUpdate<DecideAnswer, [DecideMessage]>(decideName, { args: [message] }).catch(() => null),
      new Promise<null>((resolve) => setTimeout(() => resolve(null), patienceMs)),
    ]);
    // A workflow that began again knows of earlier decisions only where the ledger refuses, with a notice, what is against them.
    const mayForget = mishaps.some(({ mishap }) => mishap.what === 'forget-temporal');
    if (answer !== null && answer.accepted > 0 && !mayForget)
      problems.push(`${gate}: a decision against an earlier one was taken`);
  };

  const look = async (gate: string, i: number): Promise<void> => {
    const ids = known.get(gate);
    if (early[i] === true && ids !== undefined && !sentEarly.has(gate)) {
      sentEarly.add(gate);
      await send({ gate, batch: 'early', by: 'ann', decisions: ids.map(verdictOn) });
    }
    const record = await readGate(store, run, gate);
    if (record?.state !== 'open') return;
    const asked = (await loadJson(store, 'candidates', record.candidates)).map(({ id }) => id);
    const decided = new Set((await readDecisions(store, run, gate)).map(({ candidateId }) => candidateId));
    const open = asked.filter((id) => !decided.has(id));
    // In two messages, so that a gate may be half decided when something goes wrong.
    const half = Math.ceil(open.length / 2);
    for (const part of [open.slice(0, half), open.slice(half)]) {
      if (part.length > 0) await send({ gate, batch: `part-${part[0]}`, by: 'ann', decisions: part.map(verdictOn) });
    }
    const [first] = decided;
    if (first !== undefined) await contradict(gate, first);
  };

  const work = (async () => {
    while (working) {
      for (const [i, gate] of gates.entries()) {
        if (working) await look(gate, i).catch(() => undefined);
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  })();
  return {
    async stop() {
      working = false;
      await work;
      return problems;
    },
  };
}
