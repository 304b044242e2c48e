/** The ladder of a step, without a Temporal server: reuse, attempts, what counts as a failure, and who may write. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ActivityCancellationDetails, ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivityDeps, AttemptPolicy } from '../../activities/attempt.ts';
import type { AnyStepImplementation, StepContext } from '../../activities/context.ts';
import { runStep } from '../../activities/run-step.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readProgress, readStepRecord, writeStepRecord } from '../../artifacts/run-record.ts';
import { type Store, StoreFullError, StoreUnavailableError } from '../../artifacts/store.ts';
import { durationMsOf } from '../../cli/run-view.ts';
import type { StepRequest, StepResult } from '../../plan/types.ts';
import { testEnvironment } from '../small-plans.ts';

let folder: string;
let store: Store;
let deps: ActivityDeps;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-step-'));
  store = await openFolderStore(folder);
  deps = { store, describeEnvironment: async () => testEnvironment };
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const requestOf = (changes: Partial<StepRequest> = {}): StepRequest => ({
  run: 'r1',
  path: 'a',
  kind: 'merge',
  version: 1,
  with: { value: 1 },
  seed: 1,
  environment: testEnvironment,
  ...changes,
});

const policy: AttemptPolicy = {
  retry: { max: 2, initialMs: 100, factor: 3, maxMs: 250 },
  timeoutMs: 60_000,
  holds: 0,
};

/** Steps fail here on purpose, so their failures are not printed. */
const activityAt = (attempt: number) =>
  new MockActivityEnvironment({ attempt }, { logger: new DefaultLogger('ERROR') });

type Code = (context: StepContext, inputs: { value: number }) => Promise<object>;

function attempt(
  code: Code,
  request = requestOf(),
  { environment = activityAt(1), how = policy } = {},
): Promise<StepResult> {
  const implementation = code as unknown as AnyStepImplementation;
  return environment.run(() => runStep(deps, implementation, request, how)) as Promise<StepResult>;
}

const failureOf = async (attempted: Promise<unknown>): Promise<ApplicationFailure> => {
  try {
    await attempted;
  } catch (error) {
    return error as ApplicationFailure;
  }
  throw new Error('It did not fail.');
};

const double: Code = async (_, { value }) => ({ value: value * 2 });
const never: Code = async () => {
  throw new Error('This code must not run.');
};

test('a step runs once, and the same work elsewhere has its result', async () => {
  expect(await attempt(double)).toEqual({ outputs: { value: 2 }, reused: false });
  expect(await attempt(never, requestOf({ run: 'r2', path: 'b' }))).toEqual({ outputs: { value: 2 }, reused: true });
  expect(await readStepRecord(store, 'r2', 'b')).toMatchObject({ state: 'done', reused: true, outputs: { value: 2 } });
});

test('a result found again by its own step, after its worker died, is not called reused, and took as long as it took to make', async () => {
  await attempt(async () => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    return { value: 2 };
  });
  expect(await attempt(never)).toEqual({ outputs: { value: 2 }, reused: false });
  const record = (await readStepRecord(store, requestOf().run, requestOf().path))!;
  expect(record).toMatchObject({ state: 'done', reused: false, found: { madeInMs: expect.any(Number) } });
  expect(record.found!.madeInMs).toBeGreaterThan(50);
  expect(record.found!.madeInMs).toBe(durationMsOf(record));
});

test('of two workers that run the same step the first to finish wins, and both answer its outputs', async () => {
  let finishFirst = () => {};
  const waiting = new Promise<void>((resolve) => {
    finishFirst = resolve;
  });
  const slow = attempt(async () => {
    await waiting;
    return { value: 'slow' };
  });
  const quick = await attempt(async () => ({ value: 'quick' }), requestOf({ run: 'r2' }));
  finishFirst();
  expect(quick.outputs).toEqual({ value: 'quick' });
  expect((await slow).outputs).toEqual({ value: 'quick' });
});

test('a kind that reads the run record runs anew each time', async () => {
  let times = 0;
  const code: Code = async () => ({ times: ++times });
  await attempt(code, requestOf({ kind: 'report' }));
  expect((await attempt(code, requestOf({ kind: 'report' }))).outputs).toEqual({ times: 2 });
});

test('failures of the code count, with growing waits, until the step gives up; a retry by people starts over', async () => {
  const broken: Code = async () => {
    throw new Error('No space.');
  };
  const first = await failureOf(attempt(broken));
  expect([first.message, first.nonRetryable, first.nextRetryDelay]).toEqual(['No space.', false, 100]);
  const second = await failureOf(attempt(broken));
  expect([second.message, second.nonRetryable]).toEqual(['No space. (the last of 2 failures)', true]);
  const afterRetry = await failureOf(attempt(broken, requestOf(), { how: { ...policy, holds: 1 } }));
  expect([afterRetry.nonRetryable, afterRetry.nextRetryDelay]).toEqual([false, 100]);
});

test('bad data gives up at once, with its own type', async () => {
  const failure = await failureOf(
    attempt(async () => {
      throw ApplicationFailure.nonRetryable('Box 3 has a negative side.', 'BadData');
    }),
  );
  expect(failure).toMatchObject({ message: 'Box 3 has a negative side.', type: 'BadData', nonRetryable: true });
});

test('a store that is away does not count as a failure of the step', async () => {
  const away: Code = async () => {
    throw new StoreUnavailableError('Nobody listens at s3.', true);
  };
  for (let i = 1; i <= 4; i++) {
    const environment = activityAt(i);
    const failure = await failureOf(attempt(away, requestOf(), { environment }));
    expect([failure.nonRetryable, failure.nextRetryDelay]).toEqual([false, 1_000 * 2 ** (i - 1)]);
  }
  const outcomes = (await readStepRecord(store, 'r1', 'a'))?.attempts?.map(({ outcome }) => outcome);
  expect(outcomes).toEqual(['interrupted', 'interrupted', 'interrupted', 'interrupted']);
});

test('a store that is full is told by the type of the failure, because it takes no record', async () => {
  const full: Code = async () => {
    throw new StoreFullError('The disk is full.');
  };
  expect(await failureOf(attempt(full))).toMatchObject({ type: 'StoreFull', nonRetryable: false });
});

/** Code that runs until it is aborted, and says when it has begun. */
function untilAborted() {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const code: Code = ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')));
      begin();
    });
  return { code, begun };
}

test('a worker that shuts down gives the step back, and that is no failure either', async () => {
  const environment = activityAt(1);
  const { code, begun } = untilAborted();
  const running = failureOf(attempt(code, requestOf(), { environment }));
  await begun;
  environment.cancel('WORKER_SHUTDOWN', new ActivityCancellationDetails({ workerShutdown: true }));
  expect(await running).toMatchObject({ type: 'WorkerStopped', nonRetryable: false });
  expect((await readStepRecord(store, 'r1', 'a'))?.attempts).toMatchObject([{ outcome: 'stopped' }]);
});

test('a cancelled step is recorded as cancelled', async () => {
  const environment = activityAt(1);
  const { code, begun } = untilAborted();
  const running = failureOf(attempt(code, requestOf(), { environment }));
  await begun;
  environment.cancel('CANCELLED', new ActivityCancellationDetails({ cancelRequested: true }));
  expect(await running).toBeInstanceOf(CancelledFailure);
  expect(await readStepRecord(store, 'r1', 'a')).toMatchObject({ state: 'cancelled' });
});

test('a step stopped before its code begins does not begin', async () => {
  const environment = activityAt(1);
  const running = failureOf(attempt(never, requestOf(), { environment }));
  environment.cancel('WORKER_SHUTDOWN', new ActivityCancellationDetails({ workerShutdown: true }));
  expect(await running).toMatchObject({ type: 'WorkerStopped' });
});

test('an attempt that was given to another worker does not write over the record of that one', async () => {
  const failing = attempt(async () => {
    const own = (await readStepRecord(store, 'r1', 'a'))!;
    const next = { startedAt: new Date().toISOString(), worker: 'other' };
    await writeStepRecord(store, 'r1', { ...own, attempts: [...own.attempts!, next] });
    throw new Error('Too late.');
  });
  await failureOf(failing);
  expect((await readStepRecord(store, 'r1', 'a'))?.attempts).toMatchObject([{}, { worker: 'other' }]);
});

test('an attempt whose worker died is recorded as lost, and what was resumed with the attempt that did', async () => {
  await writeStepRecord(store, 'r1', {
    path: 'a',
    kind: 'merge',
    state: 'running',
    reused: false,
    startedAt: '2026-01-01T00:00:00.000Z',
    attempts: [{ startedAt: '2026-01-01T00:00:00.000Z', worker: 'gone' }],
  });
  await attempt(async ({ resumed }) => {
    resumed(120, true);
    return { value: 1 };
  });
  expect(await readStepRecord(store, 'r1', 'a')).toMatchObject({
    startedAt: '2026-01-01T00:00:00.000Z',
    attempts: [{ outcome: 'lost' }, { outcome: 'done', resumedFrom: 120, exact: true }],
  });
});

test('progress beats, and is written at most every two seconds', async () => {
  const environment = activityAt(1);
  let beats = 0;
  environment.on('heartbeat', () => beats++);
  const talkative: Code = async ({ progress }) => {
    for (let i = 1; i <= 5; i++) progress(`image ${i} of 5`, i / 5);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return {};
  };
  await attempt(talkative, requestOf(), { environment });
  expect(beats).toBe(5);
  expect(await readProgress(store, 'r1')).toMatchObject([{ path: 'a', message: 'image 1 of 5', share: 0.2 }]);
});

test('the seed is a hash of the pipeline seed and the path, and known to the code', async () => {
  const seeds: number[] = [];
  const code: Code = async ({ seed }) => {
    seeds.push(seed);
    return {};
  };
  await attempt(code, requestOf({ kind: 'train', path: 'a' }));
  await attempt(code, requestOf({ kind: 'train', path: 'b' }));
  await attempt(code, requestOf({ kind: 'train', path: 'a', seed: 2 }));
  expect(new Set(seeds).size).toBe(3);
});
