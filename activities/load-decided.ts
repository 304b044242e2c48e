/** What people said to a run so far, from its record, for a root that begins again: it then refuses what contradicts that. */

import { type GivenAnswer, listApprovals } from '../artifacts/approval-record.ts';
import { batchesFrom, listGates } from '../artifacts/gate-record.ts';
import { readStepRecord } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { markOf } from '../detection/decisions.ts';
import type { ActivityDeps } from './attempt.ts';

/** A part of it, because Temporal refuses payloads of 2 MiB. */
export interface DecidedPage {
  readonly batches: readonly DecidedBatch[];
  /** With the last page, as far as there is room. */
  readonly answers: readonly { readonly gate: string; readonly given: GivenAnswer }[];
  /** Gates whose decisions have been applied; with the first page. */
  readonly closed: readonly string[];
  /** Where the next page begins; null after the last. */
  readonly next: DecidedPlace | null;
}

/** A page begins so many decisions behind the beginning of a batch, by the key of its record; or of the list of answers. */
export interface DecidedPlace {
  readonly batch: string | null;
  readonly behind: number;
}

/** Decisions of one batch in a gate's ledger, or some of them. */
export interface DecidedBatch {
  readonly gate: string;
  readonly batch: string;
  readonly by: string;
  readonly decisions: readonly { readonly candidateId: string; readonly settles?: true; readonly mark: string }[];
}

/** Of some hundred bytes each. */
const itemsPerPage = 5_000;

/** `from`: null for the first page. Reads no more of the ledgers than the page has. */
export async function loadDecided(
  { store }: ActivityDeps,
  { run, from }: { run: string; from: DecidedPlace | null },
): Promise<DecidedPage> {
  const closed = from === null ? await appliedGates(store, run) : [];
  const batches: DecidedBatch[] = [];
  let room = itemsPerPage;
  const page = (next: DecidedPlace | null, answers: DecidedPage['answers'] = []): DecidedPage => {
    return { batches, answers, closed, next };
  };
  if (from === null || from.batch !== null) {
    for await (const { gate, key, batch } of batchesFrom(store, run, from?.batch ?? null)) {
      const behind = key === from?.batch ? from.behind : 0;
      if (room === 0) return page({ batch: key, behind });
      const decisions = batch.decisions.slice(behind, behind + room).map((decision) => ({
        candidateId: decision.candidateId,
        ...(decision.settles === true ? { settles: true as const } : {}),
        mark: markOf(decision),
      }));
      room -= decisions.length;
      if (decisions.length > 0) batches.push({ gate, batch: batch.batch, by: batch.by, decisions });
      const upTo = behind + decisions.length;
      if (upTo < batch.decisions.length) return page({ batch: key, behind: upTo });
    }
  }
  const behind = from?.batch === null ? from.behind : 0;
  const given = (await listApprovals(store, run)).flatMap(({ path, given: answer }) =>
    answer === undefined || answer.via === 'timeout' ? [] : [{ gate: path, given: answer }],
  );
  const upTo = behind + room;
  return page(upTo < given.length ? { batch: null, behind: upTo } : null, given.slice(behind, upTo));
}

async function appliedGates(store: Store, run: string): Promise<string[]> {
  const applied: string[] = [];
  for (const { path, state } of await listGates(store, run)) {
    if (state === 'closed' && (await readStepRecord(store, run, path))?.state === 'done') applied.push(path);
  }
  return applied;
}
