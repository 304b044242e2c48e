/** One run as the record shows it: what `status`, `watch` and `run` tell people and programs. */

import { type RunRecord, readOperations, readProgress, readRun, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { kindOf, stepsOf } from '../plan/paths.ts';
import type { OperationRecord, Plan, Progress, RunHeader, RunState, StepRecord, StepState } from '../plan/types.ts';

export interface RunView {
  readonly header: RunHeader;
  readonly state: StepState;
  readonly record: RunState;
  /** Those that began, in order of start, then those of the plan's root scope that did not. */
  readonly steps: readonly StepRecord[];
  readonly progress: ReadonlyMap<string, Progress>;
  /** What people asked of it, oldest first. */
  readonly operations: readonly OperationRecord[];
}

export const isFinal = (state: StepState): boolean =>
  state === 'done' || state === 'failed' || state === 'cancelled' || state === 'skipped';

/** How long the step took: of one that found its own result, to make that. Null where it is not known. */
export function durationMsOf({ startedAt, endedAt, found }: StepRecord): number | null {
  if (found !== undefined) return found.madeInMs ?? null;
  return startedAt === undefined || endedAt === undefined ? null : Date.parse(endedAt) - Date.parse(startedAt);
}

/** Failures of what was given: the same bytes are in the store, so that a retry would read them again. */
const inputFaults = ['BadData', 'EmptySplit', 'EmptySelection', 'ForeignImages', 'UnreadableImage'];

export const isHeldByInput = ({ state, errorType }: StepRecord): boolean =>
  state === 'held' && errorType !== undefined && inputFaults.includes(errorType);

/** Null where no run has the id. */
export async function readRunView(store: Store, run: string): Promise<RunView | null> {
  const record = await readRun(store, run);
  if (record === null) return null;
  const [began, progress, operations, plan] = await Promise.all([
    readStepRecords(store, run),
    readProgress(store, run),
    readOperations(store, run),
    readPlan(store, record.header.planDigest),
  ]);
  return {
    header: record.header,
    state: overallState(record, began),
    record: record.state,
    steps: [...began, ...(plan === null ? [] : pendingSteps(plan, began))],
    progress: new Map(progress.map((item) => [item.path, item])),
    operations,
  };
}

/** The workflow says it. Before it first did, a run is what its busiest step is: running before waiting before held. */
function overallState(record: RunRecord, steps: readonly StepRecord[]): StepState {
  const own = record.state.state;
  if (own !== 'pending') return own;
  for (const state of ['running', 'paused', 'waiting', 'held'] as const) {
    if (steps.some((step) => step.state === state)) return state;
  }
  return own;
}

function pendingSteps(plan: Plan, began: readonly StepRecord[]): StepRecord[] {
  return stepsOf(plan.root)
    .filter(({ id }) => !began.some(({ path }) => path === id || path.startsWith(`${id}[`)))
    .map((step) => ({
      path: step.id,
      kind: kindOf(step),
      state: 'pending',
      reused: false,
    }));
}

/** Plans never change under their digest, and a view is read every second. */
const plans = new Map<string, Plan>();

export async function readPlan(store: Store, digest: string): Promise<Plan | null> {
  const known = plans.get(digest);
  if (known !== undefined) return known;
  const bytes = await store.getObject(digest);
  if (bytes === null) return null;
  const plan = JSON.parse(bytes.toString('utf8')) as Plan;
  plans.set(digest, plan);
  return plan;
}

/** `status --json`. */
export function statusJson(view: RunView): object {
  return {
    run: view.header.run,
    pipeline: view.header.pipeline,
    state: view.state,
    ...(view.header.fork === undefined ? {} : { fork: view.header.fork }),
    createdAt: view.header.createdAt,
    startedAt: view.record.startedAt,
    endedAt: view.record.endedAt,
    error: view.record.error,
    notices: view.record.notices ?? [],
    operations: view.operations.map(({ number: _, ...operation }) => operation),
    steps: view.steps.map(
      ({ path, kind, state, reused, startedAt, endedAt, outputs, waitingFor, unserved, error, note }) => ({
        path,
        kind,
        state,
        reused,
        startedAt: startedAt ?? null,
        endedAt: endedAt ?? null,
        outputs: outputs ?? {},
        waitingFor: waitingFor ?? unserved,
        error,
        note,
      }),
    ),
  };
}
