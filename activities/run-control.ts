/** Keeps the run record for the interpreter: the run's own state, and steps that are decided in the workflow. */

import { ApplicationFailure } from '@temporalio/activity';
import { listApprovals, writeApproval } from '../artifacts/approval-record.ts';
import { loadJson, readBytes } from '../artifacts/codecs.ts';
import { type EarlyMessage, forgetEarlyMessages, keepEarlyMessage } from '../artifacts/early-messages.ts';
import { type GateRecord, listGates, readGate, writeGate } from '../artifacts/gate-record.ts';
import {
  addNotice,
  addOperation,
  type LiveState,
  readRun,
  readStepRecord,
  readStepRecords,
  writeLiveState,
  writeRunState,
  writeStepRecord,
} from '../artifacts/run-record.ts';
import { forgetStepResult } from '../artifacts/step-results.ts';
import { isWithin } from '../plan/paths.ts';
import {
  type ArtifactRef,
  type Ending,
  isArtifactRef,
  type Json,
  type OperationRecord,
  type Plan,
  type PlannedScope,
  type RunEnvironment,
  type StepRecord,
} from '../plan/types.ts';
import { type ActivityDeps, now } from './attempt.ts';
import { forgetCheckpoints } from './checkpoints.ts';

/** A change of a step's record that the workflow decides: it gave up, was skipped, a loop began or ended. */
export interface StepChange extends Pick<StepRecord, 'path' | 'kind' | 'state'> {
  readonly error?: string;
  readonly errorType?: string;
  readonly note?: string;
  readonly outputs?: { readonly [name: string]: Json };
  readonly with?: { readonly [name: string]: Json };
  readonly attempts?: StepRecord['attempts'];
}

/** The run's state is `running`, and its environment is settled: the first worker's, for good. */
export async function openRun({ store, describeEnvironment }: ActivityDeps, { run }: { run: string }) {
  const before = await readRun(store, run);
  const environment: RunEnvironment = before?.state.environment ?? (await describeEnvironment());
  const startedAt = before?.state.startedAt ?? now();
  // What it did when it was open before says nothing.
  await writeLiveState(store, run, 'running');
  await writeRunState(store, run, { state: 'running', startedAt, environment, endedAt: undefined, error: undefined });
  return environment;
}

export async function loadPlan({ store }: ActivityDeps, { planDigest }: { planDigest: string }): Promise<PlannedScope> {
  return (JSON.parse((await readBytes(store, 'plan', planDigest)).toString()) as Plan).root;
}

export async function recordRun(
  { store }: ActivityDeps,
  { run, state }: { run: string; state: LiveState },
): Promise<void> {
  await writeLiveState(store, run, state);
}

/** Of a file that begins, answers how it had ended, where its `finally` was cut for a new history. */
export async function recordStep(
  { store }: ActivityDeps,
  { run, change }: { run: string; change: StepChange },
): Promise<Ending | undefined> {
  const before = await readStepRecord(store, run, change.path);
  const finished = change.state === 'done' || change.state === 'skipped';
  // Of one that was skipped after it was cut, the run owes the rest; also where a new history records that once more.
  const isCut =
    (before?.state === 'running' && (change.state === 'running' || change.state === 'skipped')) ||
    (before?.state === 'skipped' && change.state === 'skipped');
  const ending = isCut ? before.ending : undefined;
  const record: StepRecord = {
    reused: false,
    ...before,
    startedAt: before?.startedAt ?? now(),
    ...change,
    error: change.error,
    errorType: change.errorType,
    endedAt: finished ? now() : undefined,
    failedAt: change.state === 'failed' ? now() : undefined,
    ending,
  };
  // The workflow knows the order of things, so what it says replaces what is there.
  await writeStepRecord(store, run, record, { again: true });
  if (change.state === 'skipped') {
    const gate = await readGate(store, run, change.path);
    if (gate?.state === 'open') await writeGate(store, run, closed(gate, 'skipped'));
  }
  return ending;
}

export async function recordOperation(
  { store }: ActivityDeps,
  { run, operation, more = [] }: { run: string; operation: OperationRecord; more?: readonly OperationRecord[] },
): Promise<void> {
  for (const each of [operation, ...more]) await addOperation(store, run, each);
}

/** What came to gates before they opened, kept beside the workflow that holds it. */
export async function keepEarly(
  { store }: ActivityDeps,
  { run, messages }: { run: string; messages: readonly EarlyMessage[] },
): Promise<void> {
  for (const message of messages) await keepEarlyMessage(store, run, message);
}

/**
 * Takes back what is recorded of some steps of the root and of all within them, so that they begin anew. The results of
 * `to`, which is one of them or within one, no longer count; what the others made from the same inputs still does.
 */
export async function resetSteps(
  { store }: ActivityDeps,
  { run, to, ids }: { run: string; to: string; ids: readonly string[] },
): Promise<void> {
  const isReset = (path: string) => ids.some((id) => isWithin(path, id));
  for (const { path, kind, fingerprint } of await readStepRecords(store, run)) {
    if (!isReset(path)) continue;
    if (isWithin(path, to) && fingerprint !== undefined) {
      await forgetStepResult(store, fingerprint);
      await forgetCheckpoints(store, fingerprint);
    }
    await writeStepRecord(store, run, { path, kind, state: 'pending', reused: false }, { again: true });
  }
  for (const gate of await listGates(store, run)) {
    if (gate.state === 'open' && isReset(gate.path)) await writeGate(store, run, closed(gate, 'reset'));
  }
  await forgetEarlyMessages(store, run, isReset);
  // Asked again, also what was answered: that is what a person who sets a step back wants.
  for (const approval of await listApprovals(store, run)) {
    if (!isReset(approval.path)) continue;
    const { given: _, ...asked } = approval;
    await writeApproval(store, run, { ...asked, state: 'closed', closedAt: now() });
  }
}

const closed = (gate: GateRecord, reason: string): GateRecord => ({
  ...gate,
  state: 'closed',
  closedAt: now(),
  reason,
});

export async function recordNotice(
  { store }: ActivityDeps,
  { run, message }: { run: string; message: string },
): Promise<void> {
  await addNotice(store, run, message);
}

/** Steps and gates that were under way when the run was cancelled are cancelled with it. */
export async function closeRun(
  { store }: ActivityDeps,
  { run, state, error }: { run: string; state: 'done' | 'failed' | 'cancelled'; error?: string },
): Promise<void> {
  const endedAt = now();
  if (state !== 'done') {
    for (const record of await readStepRecords(store, run)) {
      if (record.state === 'done' || record.state === 'skipped' || record.state === 'failed') continue;
      await writeStepRecord(
        store,
        run,
        { ...record, state: 'cancelled', endedAt, waitingFor: undefined, ending: undefined },
        { again: true },
      );
    }
  }
  for (const gate of await listGates(store, run)) {
    if (gate.state === 'open')
      await writeGate(store, run, { ...gate, state: 'closed', closedAt: endedAt, reason: state });
  }
  for (const approval of await listApprovals(store, run)) {
    if (approval.state === 'open') await writeApproval(store, run, { ...approval, state: 'closed', closedAt: endedAt });
  }
  await writeRunState(store, run, { state, endedAt, error });
}

/** Of steps whose activities have been asked for. A held one waits for people, not for a worker. */
export async function countWaiting(
  { store }: ActivityDeps,
  { run, paths }: { run: string; paths: readonly string[] },
): Promise<number> {
  const records = await Promise.all(paths.map((path) => readStepRecord(store, run, path)));
  return records.filter((record) => record?.state !== 'running' && record?.state !== 'held').length;
}

export async function countImages({ store }: ActivityDeps, { selection }: { selection: Json }): Promise<number> {
  if (!isArtifactRef(selection) || selection.artifact !== 'selection') {
    throw ApplicationFailure.nonRetryable(
      `A loop that ends when its selection is empty carries ${JSON.stringify(selection)}; expected a selection.`,
      'BadData',
    );
  }
  return (await loadJson(store, 'selection', selection as ArtifactRef)).images.length;
}
