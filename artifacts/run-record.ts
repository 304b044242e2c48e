/**
 * The run record: all that reading commands need of a run, written as it happens, so that they work without Temporal.
 *
 *     runs/RUN/run.json             RunHeader, created once: whoever creates it owns the id
 *     runs/RUN/state.json           RunState
 *     runs/RUN/live.json            LiveState: what it does while it goes on
 *     runs/RUN/steps/PATH.json      StepRecord
 *     runs/RUN/progress/PATH.json   Progress
 *     runs/RUN/notices/HASH.json    one notice
 *     runs/RUN/operations/…json     OperationRecord
 *     runs/RUN/gates/…              see gate-record.ts
 *     runs/RUN/engines/NUMBER.json  see run-engine.ts
 */

import { canonicalJson } from '../plan/canonical.ts';
import type {
  OperationRecord,
  PlanUpgrade,
  Progress,
  RunHeader,
  RunState,
  StepRecord,
  StepState,
} from '../plan/types.ts';
import { sha256Hex } from './digest.ts';
import { mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';

/** What an open run as a whole does. */
export type LiveState = Extract<StepState, 'running' | 'paused' | 'waiting' | 'held'>;

export interface RunRecord {
  readonly header: RunHeader;
  readonly state: RunState;
}

/** What a run id may look like: it becomes a folder, a workflow id and part of a command line. */
export const RUN_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** 'created', or the header of the run that has the id already (whose plan digest may be another). */
export async function createRun(store: Store, header: RunHeader): Promise<'created' | RunHeader> {
  if (!RUN_ID_PATTERN.test(header.run)) {
    throw new Error(
      `"${header.run}" cannot be a run id: use letters, digits, dots, dashes and underscores, at most 100, beginning with a letter or digit.`,
    );
  }
  const first = await store.createRecord(`runs/${header.run}/run.json`, encode(header));
  return first === null ? 'created' : (JSON.parse(first.toString()) as RunHeader);
}

/** With the plan that the run follows now, where it was changed. Null where no run has the id. */
export async function readRun(store: Store, run: string): Promise<RunRecord | null> {
  let header = await read<RunHeader>(store, `runs/${run}/run.json`);
  if (header === null) return null;
  let state = (await read<RunState>(store, `runs/${run}/state.json`)) ?? { state: 'pending' };
  if (isOpen(state)) state = { ...state, ...(await read<{ readonly state: LiveState }>(store, liveKey(run))) };
  const upgrade = state.upgrades?.at(-1);
  if (upgrade !== undefined) header = { ...header, ...headerAfter(upgrade) };
  const notices = await readNotices(store, run);
  return { header, state: notices.length > 0 ? { ...state, notices } : state };
}

export const hasEnded = ({ state }: RunState): boolean => ['done', 'failed', 'cancelled', 'skipped'].includes(state);

const isOpen = ({ state }: RunState): boolean => ['running', 'paused', 'waiting', 'held'].includes(state);

const headerAfter = ({ plan, filePlan, file, source, imports, params, given }: PlanUpgrade): Partial<RunHeader> => ({
  planDigest: plan,
  filePlan,
  file,
  source,
  imports,
  params,
  given,
});

/** All runs, newest first. */
export async function listRuns(store: Store): Promise<RunRecord[]> {
  return newestFirst(await mapInParallel(await store.listNames('runs/'), (name) => readRun(store, name)));
}

/** A folder without a header is the trace of a creation that was cut short. */
function newestFirst(all: readonly (RunRecord | null)[]): RunRecord[] {
  const runs = all.filter((run) => run !== null);
  return runs.sort((a, b) => compare(b.header.createdAt, a.header.createdAt) || compare(a.header.run, b.header.run));
}

/** Those that have not ended, newest first. Of the others no more is read than that. */
export async function listOpenRuns(store: Store): Promise<RunRecord[]> {
  const open = await mapInParallel(await store.listNames('runs/'), async (name) => {
    const state = await read<RunState>(store, `runs/${name}/state.json`);
    return state !== null && hasEnded(state) ? null : await readRun(store, name);
  });
  return newestFirst(open);
}

/**
 * Changes the given fields and keeps the others; a field given as undefined goes. The run's workflow is the one writer,
 * so reading and writing need not be one operation.
 */
export async function writeRunState(store: Store, run: string, changes: Partial<RunState>): Promise<void> {
  const key = `runs/${run}/state.json`;
  const before = (await read<RunState>(store, key)) ?? { state: 'pending' };
  const { notices, ...after } = { ...before, ...changes };
  await store.writeRecord(key, encode(after));
  for (const notice of notices ?? []) await addNotice(store, run, notice);
}

const liveKey = (run: string): string => `runs/${run}/live.json`;

/**
 * What the run does now, as long as it is open. A record of its own, because word of it may still be under way, or come late from a
 * worker that was thought dead, when the run ends: it must not write over the end.
 */
export async function writeLiveState(store: Store, run: string, state: LiveState): Promise<void> {
  await store.writeRecord(liveKey(run), encode({ state }));
}

/** A warning for people. The same text counts once, however often a retried step says it. */
export async function addNotice(store: Store, run: string, message: string): Promise<void> {
  // A record each, because steps of several workers add notices at the same time.
  const notice = { at: new Date().toISOString(), message };
  await store.createRecord(`runs/${run}/notices/${sha256Hex(message).slice(0, 16)}.json`, encode(notice));
}

/** Oldest first. */
export async function readNotices(store: Store, run: string): Promise<string[]> {
  const notices = await readAll<{ at: string; message: string }>(store, `runs/${run}/notices/`);
  return notices.sort((a, b) => compare(a.at, b.at) || compare(a.message, b.message)).map(({ message }) => message);
}

/** The same operation counts once, however often it is recorded. */
export async function addOperation(store: Store, run: string, operation: OperationRecord): Promise<void> {
  const name = `${operation.at.replaceAll(':', '')}-${String(operation.number).padStart(4, '0')}`;
  await store.createRecord(`runs/${run}/operations/${name}.json`, encode(operation));
}

/** What people asked of the run while it went on, oldest first. */
export async function readOperations(store: Store, run: string): Promise<OperationRecord[]> {
  // The names sort by time.
  return readAll<OperationRecord>(store, `runs/${run}/operations/`);
}

/** Answers whether it was written: a report of an attempt that others have overtaken is not. */
export async function writeStepRecord(
  store: Store,
  run: string,
  record: StepRecord,
  options: { /** The step begins anew, on purpose: whatever is recorded is replaced. */ readonly again?: boolean } = {},
): Promise<boolean> {
  const key = `runs/${run}/steps/${record.path}.json`;
  const before = await read<StepRecord>(store, key);
  if (before !== null && options.again !== true && isOvertaken(record, before)) return false;
  await store.writeRecord(key, encode(record));
  return true;
}

/**
 * A worker that was thought dead may report late. Its `running` or its failure says nothing about a step that is done
 * or that began anew since; only an attempt that began after the recorded one ended does. Its `done` always counts,
 * because results are created once and so are the same whoever reports them.
 */
function isOvertaken(late: StepRecord, before: StepRecord): boolean {
  if (late.state === 'done' || late.state === 'skipped') return false;
  if (before.state === 'done' || before.state === 'skipped') {
    const startedAnew = late.startedAt !== undefined && compare(late.startedAt, before.endedAt ?? '') > 0;
    return !startedAnew;
  }
  return (
    late.startedAt !== undefined && before.startedAt !== undefined && compare(late.startedAt, before.startedAt) < 0
  );
}

/** Null where the step has not begun. */
export async function readStepRecord(store: Store, run: string, path: string): Promise<StepRecord | null> {
  return read(store, `runs/${run}/steps/${path}.json`);
}

/** In order of start, then path; those not started last. What a reset took back counts as if it had never begun. */
export async function readStepRecords(store: Store, run: string): Promise<StepRecord[]> {
  const all = await readAll<StepRecord>(store, `runs/${run}/steps/`);
  const records = all.filter(({ state }) => state !== 'pending');
  const last = '~';
  return records.sort((a, b) => compare(a.startedAt ?? last, b.startedAt ?? last) || compareNatural(a.path, b.path));
}

export async function writeProgress(store: Store, run: string, progress: Progress): Promise<void> {
  await store.writeRecord(`runs/${run}/progress/${progress.path}.json`, encode(progress));
}

/** Of all steps that ever reported some, in order of path. */
export async function readProgress(store: Store, run: string): Promise<Progress[]> {
  const all = await readAll<Progress>(store, `runs/${run}/progress/`);
  return all.sort((a, b) => compareNatural(a.path, b.path));
}

function encode(value: unknown): Buffer {
  return Buffer.from(canonicalJson(value));
}

async function read<T>(store: Store, key: string): Promise<T | null> {
  const bytes = await store.readRecord(key);
  return bytes === null ? null : (JSON.parse(bytes.toString()) as T);
}

async function readAll<T>(store: Store, prefix: string): Promise<T[]> {
  const keys = await store.listRecords(prefix);
  const records = await mapInParallel(keys, (key) => read<T>(store, key));
  return records.filter((record) => record !== null) as T[];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `rounds[2]` before `rounds[10]`. */
function compareNatural(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || compare(a, b);
}
