/** What people said to a run so far, from its record, for a root that begins again: it then refuses what contradicts that. */

import { type GivenAnswer, listApprovals } from '../artifacts/approval-record.ts';
import { type GateRecord, listGates, readBatches } from '../artifacts/gate-record.ts';
import { readStepRecord } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { markOf } from '../detection/decisions.ts';
import type { ActivityDeps } from './attempt.ts';

/** A part of it, because Temporal refuses payloads of 2 MiB. */
export interface DecidedPage {
  readonly batches: readonly DecidedBatch[];
  readonly answers: readonly { readonly gate: string; readonly given: GivenAnswer }[];
  /** Gates whose decisions have been applied; with the first page. */
  readonly closed: readonly string[];
  /** Where the next page begins; null after the last. */
  readonly next: number | null;
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

/** `from`: decisions and answers of the pages before. */
export async function loadDecided(
  { store }: ActivityDeps,
  { run, from }: { run: string; from: number },
): Promise<DecidedPage> {
  const gates = await listGates(store, run);
  const batches: DecidedBatch[] = [];
  let passed = 0;
  /** Of items that come next, those within the page. */
  const take = <Item>(items: readonly Item[]): Item[] => {
    const begin = Math.max(0, from - passed);
    const end = Math.max(0, from + itemsPerPage - passed);
    passed += items.length;
    return items.slice(begin, end);
  };
  for (const { path } of gates) {
    const stored = (await readBatches(store, run, path)).sort((a, b) => (a.key < b.key ? -1 : 1));
    for (const { batch } of stored) {
      const decisions = take(batch.decisions).map((decision) => ({
        candidateId: decision.candidateId,
        ...(decision.settles === true ? { settles: true as const } : {}),
        mark: markOf(decision),
      }));
      if (decisions.length > 0) batches.push({ gate: path, batch: batch.batch, by: batch.by, decisions });
    }
  }
  const given = (await listApprovals(store, run)).flatMap(({ path, given }) =>
    given === undefined || given.via === 'timeout' ? [] : [{ gate: path, given }],
  );
  const answers = take(given);
  const closed = from === 0 ? await appliedGates(store, run, gates) : [];
  return { batches, answers, closed, next: passed > from + itemsPerPage ? from + itemsPerPage : null };
}

async function appliedGates(store: Store, run: string, gates: readonly GateRecord[]): Promise<string[]> {
  const applied: string[] = [];
  for (const { path, state } of gates) {
    if (state === 'closed' && (await readStepRecord(store, run, path))?.state === 'done') applied.push(path);
  }
  return applied;
}
