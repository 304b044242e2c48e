/** What people said to a run so far, from its record, for a root that begins again: it then refuses what contradicts that. */

import { approvalsFrom, type GivenAnswer } from '../artifacts/approval-record.ts';
import { batchesFrom, listGates } from '../artifacts/gate-record.ts';
import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { readStepRecord } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { markOf } from '../detection/decisions.ts';
import { messageBytesMax } from '../plan/limits.ts';
import { bytesOf, fitting } from '../plan/value-bytes.ts';
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

/**
 * A page begins so many decisions behind the beginning of a batch, by the key of its record; or with an approval, by the
 * key of its own.
 */
export type DecidedPlace = { readonly batch: string; readonly behind: number } | { readonly approval: string };

/** Decisions of one batch in a gate's ledger, or some of them. */
export interface DecidedBatch {
  readonly gate: string;
  readonly batch: string;
  readonly by: string;
  readonly decisions: readonly { readonly candidateId: string; readonly settles?: true; readonly mark: string }[];
}

/** `from`: null for the first page. Reads no more of the record than the page has, but for the state of the gates. */
export async function loadDecided(
  { store }: ActivityDeps,
  { run, from }: { run: string; from: DecidedPlace | null },
): Promise<DecidedPage> {
  const closed = from === null ? await appliedGates(store, run) : [];
  const batches: DecidedBatch[] = [];
  const answers: { gate: string; given: GivenAnswer }[] = [];
  let room = messageBytesMax - bytesOf(closed);
  const page = (next: DecidedPlace | null): DecidedPage => ({ batches, answers, closed, next });
  if (from === null || 'batch' in from) {
    for await (const { gate, key, batch } of batchesFrom(store, run, from?.batch ?? null)) {
      const behind = key === from?.batch ? from.behind : 0;
      if (room <= 0 && batches.length > 0) return page({ batch: key, behind });
      const left = batch.decisions.slice(behind).map((decision) => ({
        candidateId: decision.candidateId,
        ...(decision.settles === true ? { settles: true as const } : {}),
        mark: markOf(decision),
      }));
      const part = { gate, batch: batch.batch, by: batch.by, decisions: left.slice(0, fitting(left, room)) };
      room -= bytesOf(part);
      if (part.decisions.length > 0) batches.push(part);
      const upTo = behind + part.decisions.length;
      if (upTo < batch.decisions.length) return page({ batch: key, behind: upTo });
    }
  }
  const first = from !== null && 'approval' in from ? from.approval : null;
  for await (const { key, approval } of approvalsFrom(store, run, first)) {
    const { path, given } = approval;
    if (given === undefined || given.via === 'timeout') continue;
    const answer = { gate: path, given };
    room -= bytesOf(answer);
    if (room < 0 && batches.length + answers.length > 0) return page({ approval: key });
    answers.push(answer);
  }
  return page(null);
}

async function appliedGates(store: Store, run: string): Promise<string[]> {
  const closed = (await listGates(store, run)).filter(({ state }) => state === 'closed');
  const applied = await mapInParallel(closed, async ({ path }) => {
    return (await readStepRecord(store, run, path))?.state === 'done' ? path : null;
  });
  return applied.filter((path) => path !== null);
}
