/** Runs a step until it succeeds: an activity that retries by itself, and a wait for people once it has given up. */

import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  isCancellation,
  scheduleActivity,
  TemporalFailure,
} from '@temporalio/workflow';
import type { AttemptPolicy } from '../activities/attempt.ts';
import type { Remake } from '../activities/remake.ts';
import type { Json, OnFailure, StepRequest, StepResult } from '../plan/types.ts';
import { control, siblingQueue } from './control.ts';
import type { Mailbox, Root } from './mailbox.ts';
import type { RunFacts } from './scope-messages.ts';
import type { ScopeState } from './scope-state.ts';

/** What the steps of one workflow share. */
export interface ScopeContext extends RunFacts {
  /** `rounds[2]`; empty in the root. */
  readonly path: string;
  readonly mailbox: Mailbox;
  readonly root: Root;
  readonly state: ScopeState;
}

/** Type of the failure of an activity that read a damaged object (activities/remake.ts). */
const damagedFailure = 'DamagedArtifact';

/** Type of the failure by which a scope ends when a step of it failed with `onFailure: fail`. */
export const failedFailure = 'RunFailed';

/** Several objects of one input may be damaged, and are found one at a time; more than this is no accident of a disk. */
const remakesMax = 5;

// The activity itself stops at the step's timeout and counts that as a failure. Temporal's is for workers that cannot.
const timeoutSlackMs = 60_000;

interface ActivityCall extends Pick<Remake, 'queue' | 'timeoutMs' | 'heartbeatMs' | 'retry'> {
  readonly activity: string;
  readonly holds: number;
}

export function stepRequest(
  context: RunFacts,
  step: Pick<StepRequest, 'path' | 'kind' | 'version' | 'with' | 'secrets' | 'fresh' | 'outputs'>,
): StepRequest {
  const { run, seed, environment } = context;
  const { path, kind, version, with: parameters, secrets, fresh, outputs } = step;
  return { run, path, kind, version, with: parameters, secrets, seed, environment, fresh, outputs };
}

/**
 * One activity to its end. Where it read a damaged object, the steps that made that object run again first. `isAll`: the
 * step is this activity alone.
 */
export function callStep<Result = StepResult>(
  context: ScopeContext,
  path: string,
  call: ActivityCall,
  request: Json | StepRequest,
  isAll = false,
): Promise<Result> {
  const { run, state } = context;
  const stopped = async () => {
    await control('record-step', { run, change: { path, kind: call.activity, state: 'paused' } });
    state.set(path, 'paused');
  };
  const schedule = (one: ActivityCall, its: unknown) =>
    context.mailbox.orders.call(path, () => scheduleStep(one, its), stopped, isAll);
  let remakes = 0;
  const remake = async (error: unknown): Promise<unknown> => {
    const made = remakesOf(error);
    if (made.length === 0 || remakes === remakesMax) throw error;
    for (const { activity, request: its, ...how } of made) {
      await schedule({ ...how, activity, holds: remakes + 1 }, its);
    }
    remakes++;
    return schedule(call, request).catch(remake);
  };
  return schedule(call, request).catch(remake) as Promise<Result>;
}

function scheduleStep({ activity, queue, timeoutMs, heartbeatMs, retry, holds }: ActivityCall, request: unknown) {
  const policy: AttemptPolicy = { retry, timeoutMs, holds };
  return scheduleActivity<unknown>(activity, [request, policy], {
    taskQueue: siblingQueue(queue),
    startToCloseTimeout: timeoutMs + timeoutSlackMs,
    heartbeatTimeout: heartbeatMs,
    // Without a bound, because lost workers and power cuts are no failures of the step. The activity counts those, waits
    // between them as the step's policy says, and ends the row with a failure that is not retried.
    retry: { initialInterval: 1_000, backoffCoefficient: 1 },
    // A cancelled run ends when its activities have ended, so that nothing writes to it afterwards.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
}

function remakesOf(error: unknown): readonly Remake[] {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  if (!(cause instanceof ApplicationFailure) || cause.type !== damagedFailure) return [];
  return (cause.details?.[0] ?? []) as readonly Remake[];
}

/**
 * Repeats `attempt`, which sees to it that a skip ends it, until it succeeds. Where it gives up, the step is held: other steps go on, and this one waits for
 * a person's `retry`. Other than `hold`, the step has failed, and its failure is thrown. Throws `StepSkipped` where people
 * do not want it.
 */
export async function holdUntilDone<Result>(
  context: ScopeContext,
  step: { readonly path: string; readonly kind: string },
  attempt: (holds: number) => Promise<Result> | Result,
  onFailure: OnFailure = 'hold',
): Promise<Result> {
  const { path, kind } = step;
  const { orders } = context.mailbox;
  for (let holds = 0; ; holds++) {
    context.state.set(path, orders.paused ? 'paused' : 'running');
    try {
      if (orders.paused) await orders.mayBegin(path);
      orders.refuse(path);
      context.state.set(path, 'running');
      return await attempt(holds);
    } catch (error) {
      if (isCancellation(error) || !isStepFailure(error)) throw error;
      // Trying a loop again does not help where a step within has ended it for good.
      const mayHold = onFailure === 'hold' && typeOf(error) !== failedFailure;
      const state = mayHold && !orders.isUnattended(path) ? 'held' : 'failed';
      const change = { path, kind, state, error: reasonOf(error), errorType: typeOf(error) } as const;
      await control('record-step', { run: context.run, change });
      if (state === 'failed') throw error;
      context.state.set(path, 'held');
      await context.root.stepHeld(path);
      await context.mailbox.retryOf(path);
      if (!orders.isUnattended(path)) continue;
      // Cancelled while it was held, and nobody is waited for any more.
      await control('record-step', { run: context.run, change: { ...change, state: 'failed' } });
      throw error;
    } finally {
      context.state.remove(path);
    }
  }
}

/** Anything else is a fault of the interpreter: the workflow task fails, and goes on once a mended worker takes it. */
export function isStepFailure(error: unknown): boolean {
  return error instanceof TemporalFailure;
}

/** Ends the scope in which the step failed, and with it the run unless a loop around has `onFailure: continue`. */
export function scopeFailure(path: string, error: unknown): ApplicationFailure {
  const reason = reasonOf(error);
  const message = typeOf(error) === failedFailure ? reason : `${path} failed: ${reason}`;
  return ApplicationFailure.nonRetryable(message, failedFailure);
}

/** The innermost message says what happened; the outer ones only where it passed through. */
export function reasonOf(error: unknown): string {
  const innermost = innermostOf(error);
  return innermost instanceof Error ? innermost.message : String(innermost);
}

/** Of the innermost failure, where it has one. */
export function typeOf(error: unknown): string | undefined {
  const innermost = innermostOf(error);
  return innermost instanceof ApplicationFailure ? (innermost.type ?? undefined) : undefined;
}

function innermostOf(error: unknown): unknown {
  let innermost = error;
  while (
    (innermost instanceof ActivityFailure || innermost instanceof ChildWorkflowFailure) &&
    innermost.cause !== undefined
  ) {
    innermost = innermost.cause;
  }
  return innermost;
}
