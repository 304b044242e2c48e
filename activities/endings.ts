/** Keeps what an end (`finally`) that is cut for a new history of the run needs, so that it goes on there as it was. */

import { type Made, readMade, writeMade } from '../artifacts/ending-record.ts';
import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import { stepPath } from '../plan/paths.ts';
import type { Ending, Json, StepRecord } from '../plan/types.ts';
import { fitting } from '../plan/value-bytes.ts';
import type { ActivityDeps } from './attempt.ts';

/** Of a run, whose path is empty, its workflow hands over how it ended. `made` may come in several parts. */
export async function keepEnding(
  { store }: ActivityDeps,
  { run, path, ending, made, isFirst }: { run: string; path: string; ending: Ending; made: Made; isFirst: boolean },
): Promise<void> {
  await writeMade(store, run, path, { ...(isFirst ? {} : await readMade(store, run, path)), ...made });
  const record = path === '' ? null : await readStepRecord(store, run, path);
  if (record !== null) await writeStepRecord(store, run, { ...record, ending }, { again: true });
}

/** Nothing is left to do of it. */
export async function forgetEnding(
  { store }: ActivityDeps,
  { run, path }: { run: string; path: string },
): Promise<void> {
  const record = await readStepRecord(store, run, path);
  if (record?.ending === undefined) return;
  await writeStepRecord(store, run, { ...record, ending: undefined }, { again: true });
}

/** A part of what was made, from the entry `from` on; `next` is where the rest begins, null where there is none. */
export async function loadMade(
  { store }: ActivityDeps,
  { run, path, from }: { run: string; path: string; from: number },
): Promise<{ readonly made: Made; readonly next: number | null }> {
  const entries = Object.entries(await readMade(store, run, path));
  const count = fitting(entries.slice(from));
  const next = from + count;
  return { made: Object.fromEntries(entries.slice(from, next)), next: next < entries.length ? next : null };
}

/** A step that an earlier history of the run has brought to its end; or that was held, and is tried once more. */
export type SettledStep =
  | { readonly outputs: { readonly [name: string]: Json } }
  | { readonly error: string; readonly errorType?: string }
  | { readonly held: true };

/**
 * Which of the steps have ended `since` that moment, as far as that fits into an answer; `left`: ids that were not looked
 * at. Loops and legs that are done are not among them, as the record does not have all that they hand on.
 */
export async function loadSettled(
  { store }: ActivityDeps,
  { run, path, ids, since }: { run: string; path: string; ids: readonly string[]; since: string },
): Promise<{ readonly settled: { readonly [id: string]: SettledStep }; readonly left: readonly string[] }> {
  const records = await mapInParallel(ids, (id) => readStepRecord(store, run, stepPath(path, id)));
  const steps = records.map((record, at) => [ids[at]!, record === null ? null : settled(record, since)] as const);
  const count = fitting(steps);
  const found = steps.slice(0, count).filter((step) => step[1] !== null) as [string, SettledStep][];
  return { settled: Object.fromEntries(found), left: ids.slice(count) };
}

function settled(record: StepRecord, since: string): SettledStep | null {
  const { state, kind, outputs = {}, endedAt = '', failedAt = '', error = '', errorType } = record;
  if (state === 'held') return { held: true };
  if (state === 'failed') return failedAt >= since ? { error, errorType } : null;
  const isWhole = !['repeat', 'matrix', 'forEach'].includes(kind);
  return state === 'done' && isWhole && endedAt >= since ? { outputs } : null;
}
