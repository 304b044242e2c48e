/** One attempt of a step: its place in the run record, its heartbeat, and what its failure means for the next. */

import { hostname } from 'node:os';
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { stepSeed } from '../artifacts/fingerprint.ts';
import { addNotice, readStepRecord, writeProgress, writeStepRecord } from '../artifacts/run-record.ts';
import { type Store, StoreFullError, StoreUnavailableError } from '../artifacts/store.ts';
import { isRetriedType } from '../plan/retry.ts';
import type { AttemptRecord, RetryPolicy, RunEnvironment, StepRecord, StepRequest } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { damageIn, remakesFor } from './remake.ts';

/** What activities are made of. */
export interface ActivityDeps {
  readonly store: Store;
  /** Asked once per run: threads, TensorFlow build, CPU. */
  readonly describeEnvironment: () => Promise<RunEnvironment>;
}

/** How a step's activity is tried, as far as the activity itself must know. */
export interface AttemptPolicy {
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  /** How often the step was held before: failures before a person's `retry` count no more. */
  readonly holds: number;
}

/** What the attempt leaves in the step's record when it succeeds. */
export type AttemptEnd<Result> = { readonly result: Result; readonly record: Partial<StepRecord> };

export interface Attempt {
  readonly request: StepRequest;
  readonly policy: AttemptPolicy;
  readonly fingerprint: string;
}

// A pause "now" and a cancellation are heard of with the answer to a heartbeat.
const heartbeatEveryMs = 3_000;
const progressEveryMs = 2_000;
const storeAwayMaxMs = 30_000;
const lost = 'The worker was lost: it died, or could not reach the Temporal server.';

/** Runs `body` as the next attempt of the step. `before` is what the run record says of the step. */
export async function runAttempt<Result>(
  { store }: ActivityDeps,
  { request, policy, fingerprint }: Attempt,
  body: (context: StepContext) => Promise<AttemptEnd<Result>>,
): Promise<Result> {
  const { run, path, kind, environment } = request;
  const ended = beginLife(policy.timeoutMs);
  try {
    const before = await readStepRecord(store, run, path);
    // A step that was done begins anew where its result is needed again: a later run of the same id, a damaged object.
    const again = before?.state === 'done' || before?.state === 'skipped';
    const earlier = (before?.attempts ?? [])
      // One that ended well while its step did not has opened the step's gate; closing it is no other try.
      .filter(({ outcome }) => again || outcome !== 'done')
      .map((one): AttemptRecord => (one.outcome ? one : { ...one, outcome: 'lost', error: lost }));
    let own: AttemptRecord = { startedAt: now(), worker: workerName(), holds: policy.holds };
    let record: StepRecord = {
      path,
      kind,
      state: 'running',
      reused: false,
      startedAt: (again ? undefined : before?.startedAt) ?? own.startedAt,
      with: request.with,
      secrets: request.secrets,
      fingerprint,
      fresh: request.fresh,
      seed: stepSeed(request.seed, path),
      waitingFor: again ? undefined : before?.waitingFor,
    };
    const write = (changes: Partial<StepRecord>, options = {}) => {
      record = { ...record, ...changes, attempts: [...earlier, own] };
      return writeStepRecord(store, run, record, options);
    };
    /** An attempt that Temporal has given to another worker must not write over that one's record. */
    const writeIfLatest = async (changes: Partial<StepRecord>) => {
      const recorded = await readStepRecord(store, run, path);
      if ((recorded?.attempts?.length ?? 0) <= earlier.length + 1) await write(changes);
    };
    await write({}, { again });

    const progress = progressWriter(store, run, path);
    const context: StepContext = {
      store,
      run,
      path,
      seed: stepSeed(request.seed, path),
      fingerprint,
      environment,
      signal: ended.signal,
      progress,
      resumed: (resumedFrom, exact) => {
        own = { ...own, resumedFrom, exact };
      },
      notice: (message) => addNotice(store, run, message),
    };
    try {
      const { result, record: changes } = await body(context);
      own = { ...own, endedAt: now(), outcome: 'done' };
      await write(changes);
      return result;
    } catch (error) {
      const failures = earlier.filter(({ outcome, holds }) => outcome === 'failed' && (holds ?? 0) === policy.holds);
      const verdict = await judge(error, { store, request, policy, failures: failures.length + 1, ended });
      own = { ...own, endedAt: now(), outcome: verdict.outcome, error: messageOf(error) };
      // The failure itself matters more than its record, which a store that is away cannot take.
      if (!ended.overtaken()) {
        await writeIfLatest({ state: verdict.outcome === 'cancelled' ? 'cancelled' : 'running' }).catch(
          () => undefined,
        );
      }
      throw verdict.failure;
    }
  } finally {
    ended.close();
  }
}

interface Verdict {
  readonly outcome: NonNullable<AttemptRecord['outcome']>;
  readonly failure: Error;
}

interface Circumstances {
  readonly store: Store;
  readonly request: StepRequest;
  readonly policy: AttemptPolicy;
  /** Failures of the step's own code, this one included. */
  readonly failures: number;
  readonly ended: Life;
}

/** What Temporal is told: whether the step is tried again, when, and what must happen before. */
async function judge(error: unknown, { store, request, policy, failures, ended }: Circumstances): Promise<Verdict> {
  const why = ended.why();
  if (why === 'cancelled') return { outcome: 'cancelled', failure: new CancelledFailure('CANCELLED') };
  if (why === 'stopped') {
    return { outcome: 'stopped', failure: retryLater('WorkerStopped', 'The worker was shut down.', error, 200) };
  }
  if (error instanceof StoreUnavailableError && error.transient) {
    const delayMs = Math.min(1_000 * 2 ** (Context.current().info.attempt - 1), storeAwayMaxMs);
    // People are told of it by this type, because a store that is full takes no record of it.
    const type = error instanceof StoreFullError ? 'StoreFull' : 'StoreUnavailable';
    return { outcome: 'interrupted', failure: retryLater(type, error.message, error, delayMs) };
  }
  const damage = damageIn(error);
  if (damage !== null) return { outcome: 'interrupted', failure: await remakesFor(store, request, damage) };

  const { max, initialMs, factor, maxMs } = policy.retry;
  const message = why === 'timeout' ? timeoutMessage(request.path, policy.timeoutMs) : messageOf(error);
  const given = error instanceof ApplicationFailure ? error : null;
  const type = why === 'timeout' ? 'Timeout' : (given?.type ?? 'StepFailed');
  const isFinal = given?.nonRetryable || !isRetriedType(policy.retry, type);
  if (isFinal || failures >= max) {
    const times = isFinal || failures === 1 ? '' : ` (the last of ${failures} failures)`;
    const cause = error instanceof Error ? error : undefined;
    const failure = ApplicationFailure.create({ message: `${message}${times}`, type, nonRetryable: true, cause });
    return { outcome: 'failed', failure };
  }
  const delayMs = Math.min(initialMs * factor ** (failures - 1), maxMs);
  return { outcome: 'failed', failure: retryLater(type, message, error, delayMs) };
}

function retryLater(type: string, message: string, cause: unknown, delayMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nextRetryDelay: delayMs,
    cause: cause instanceof Error ? cause : undefined,
  });
}

function timeoutMessage(path: string, timeoutMs: number): string {
  return `${path} ran longer than its timeout of ${timeoutMs / 1_000} s. Give it a longer "timeout", or less to do.`;
}

interface Life {
  /** Aborted when the step is cancelled, timed out, or its worker stops. */
  readonly signal: AbortSignal;
  why(): 'cancelled' | 'stopped' | 'timeout' | 'overtaken' | null;
  /** Temporal has given the step to another worker, or has closed the run. */
  overtaken(): boolean;
  close(): void;
}

/** Heartbeats until closed, whatever the step's code does, and watches for the reasons to end. */
function beginLife(timeoutMs: number): Life {
  const temporal = Context.current();
  const controller = new AbortController();
  let timedOut = false;
  const abort = () => controller.abort(temporal.cancellationSignal.reason);
  if (temporal.cancellationSignal.aborted) abort();
  temporal.cancellationSignal.addEventListener('abort', abort);
  const beat = setInterval(() => temporal.heartbeat(), heartbeatInterval(temporal.info.heartbeatTimeoutMs));
  const timeout = setTimeout(
    () => {
      timedOut = true;
      controller.abort(new Error('timeout'));
    },
    Math.min(timeoutMs, timerMaxMs),
  );
  const why = () => {
    const details = temporal.cancellationDetails;
    if (details?.cancelRequested) return 'cancelled';
    if (details?.workerShutdown) return 'stopped';
    if (details?.timedOut || details?.notFound) return 'overtaken';
    return timedOut ? 'timeout' : null;
  };
  return {
    signal: controller.signal,
    why,
    overtaken: () => why() === 'overtaken',
    close: () => {
      clearInterval(beat);
      clearTimeout(timeout);
      temporal.cancellationSignal.removeEventListener('abort', abort);
    },
  };
}

/** Node's timers hold 31 bits of milliseconds: 24.8 days. */
const timerMaxMs = 2 ** 31 - 1;

export function heartbeatInterval(heartbeatTimeoutMs: number | undefined): number {
  return Math.min(heartbeatEveryMs, (heartbeatTimeoutMs ?? heartbeatEveryMs) / 3);
}

/** At most one record in two seconds, the newest; a store that is away is no reason to end the step. */
function progressWriter(store: Store, run: string, path: string): StepContext['progress'] {
  let writtenAt = 0;
  return (message, share) => {
    Context.current().heartbeat();
    const at = Date.now();
    if (at - writtenAt < progressEveryMs) return;
    writtenAt = at;
    writeProgress(store, run, { path, at: new Date(at).toISOString(), message, share }).catch(() => undefined);
  };
}

export function workerName(): string {
  return `${process.pid}@${hostname()}`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export const now = (): string => new Date().toISOString();
