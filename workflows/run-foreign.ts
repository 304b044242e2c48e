/** Runs an `activity:` step: an activity of another program, tried again as the step says, its result recorded like ours. */

import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  isCancellation,
  scheduleActivity,
  sleep,
  TimeoutFailure,
} from '@temporalio/workflow';
import { isRetriedType } from '../plan/retry.ts';
import type { AttemptRecord, ForeignStep, Json, StepResult } from '../plan/types.ts';
import { control } from './control.ts';
import { type ScopeContext, stepRequest } from './execute-step.ts';
import type { Values } from './scope-messages.ts';
import { whileTellingUnserved } from './unserved-queue.ts';

/** What a program is given: docs/pipeline-spec.md, "Other programs". */
interface ForeignArgument {
  readonly run: string;
  readonly path: string;
  readonly seed: number;
  readonly fingerprint: string;
  /** URL of the store. */
  readonly store: string;
  readonly with: Values;
  /** JSON Pointers into `with`: where secrets stand by their names. What looks like one elsewhere is data. */
  readonly secrets: readonly string[];
}

/** Failures that tell of a worker that was shut down, in the words of the SDKs. */
const shutdownTypes = ['CancelledFailure', 'CancelledError', 'CanceledError', 'WorkerShutdown'];
const lostPauseMaxMs = 30_000;

export async function runForeign(
  step: ForeignStep,
  path: string,
  inputs: Values,
  context: ScopeContext,
): Promise<StepResult> {
  const { run } = context;
  const { activity, kind, version, secrets = [], outputs, reuse, fresh } = step;
  const request = stepRequest(context, { path, kind, version, with: inputs, secrets: step.secrets, fresh, outputs });
  const begun = await control('begin-foreign', { step: request, reuse });
  if ('result' in begun) return begun.result;

  const argument: ForeignArgument = { run, path, ...begun, with: inputs, secrets };
  const attempts: AttemptRecord[] = [];
  const { orders } = context.mailbox;
  const stopped = async () => {
    await control('record-step', { run, change: { path, kind, state: 'paused' } });
    context.state.set(path, 'paused');
  };
  for (let failures = 0, lost = 0; ; ) {
    const startedAt = now();
    try {
      const given = await whileTellingUnserved(context, { path, kind, queue: step.queue, foreign: true }, () =>
        orders.call(path, () => schedule(step, activity, argument), stopped),
      );
      const own: AttemptRecord = { startedAt, endedAt: now(), worker: step.queue, outcome: 'done' };
      return await control('finish-foreign', { step: request, reuse, given, attempts: [...attempts, own] });
    } catch (error) {
      if (isCancellation(error) || !(error instanceof ActivityFailure) || error.activityType !== activity) throw error;
      const failure = failureOf(error, step, path);
      const { outcome, message, type } = failure;
      const worker = error.identity || step.queue;
      attempts.push({ startedAt, endedAt: now(), worker, error: message, outcome });
      await control('record-step', { run, change: { path, kind, state: 'running', attempts } });
      if (outcome === 'lost') {
        lost++;
        await sleep(Math.min(1_000 * 2 ** (lost - 1), lostPauseMaxMs));
        continue;
      }
      failures++;
      const { max, initialMs, factor, maxMs } = step.retry;
      const isFinal = failure.isFinal || !isRetriedType(step.retry, type);
      if (isFinal || failures >= max) {
        const times = isFinal || failures === 1 ? '' : ` (the last of ${failures} failures)`;
        throw ApplicationFailure.create({ message: `${message}${times}`, type, nonRetryable: true });
      }
      await sleep(Math.min(initialMs * factor ** (failures - 1), maxMs));
    }
  }
}

function schedule(step: ForeignStep, activity: string, argument: ForeignArgument): Promise<Json> {
  return scheduleActivity<Json>(activity, [argument], {
    taskQueue: step.queue,
    startToCloseTimeout: step.timeoutMs,
    heartbeatTimeout: step.heartbeatMs,
    // Tried again by the step's own rules, which tell a failure from a lost worker.
    retry: { maximumAttempts: 1 },
    // A program that sends no heartbeats never hears of a cancellation, and must not hold it up.
    cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

function failureOf(
  { cause }: ActivityFailure,
  { timeoutMs }: ForeignStep,
  path: string,
): { outcome: 'failed' | 'lost'; message: string; type: string; isFinal: boolean } {
  if (cause instanceof TimeoutFailure && cause.timeoutType === 'START_TO_CLOSE') {
    const message = `${path} ran longer than its timeout of ${timeoutMs / 1_000} s. Give it a longer "timeout", or less to do.`;
    return { outcome: 'failed', message, type: 'Timeout', isFinal: false };
  }
  if (cause instanceof ApplicationFailure && !shutdownTypes.includes(cause.type ?? '')) {
    const type = cause.type === undefined || cause.type === null || cause.type === 'Error' ? 'StepFailed' : cause.type;
    return { outcome: 'failed', message: cause.message, type, isFinal: cause.nonRetryable === true };
  }
  const message = 'The worker was lost: it died, was shut down, or sent no heartbeat in time.';
  return { outcome: 'lost', message, type: 'WorkerLost', isFinal: false };
}

/** By the workflow's clock. */
const now = (): string => new Date().toISOString();
