/** What follows where a step gives up, on a real Temporal server: `onFailure`, `retry` by type, `finally`, `queue`. */

import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import { startWorker } from '../../deploy/worker.ts';
import { retryName } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, cel, repeat, testEnvironment, testQueuePrefix } from '../small-plans.ts';

const tried: string[] = [];

const steps = {
  note: async (_: StepContext, { value }: { value?: unknown }) => ({ value: value ?? 0 }),
  weak: async ({ run }: StepContext, { type }: { type?: string }) => {
    tried.push(run);
    throw type === undefined ? new Error('The disk said no.') : ApplicationFailure.retryable('It said no.', type);
  },
  endless: ({ signal }: StepContext) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
};

const reader = (id: string, need: string, value: string) =>
  activity(id, 'note', { needs: [need], with: { value: cel(value) } });

const rig = rigOfFile(steps);

describe('onFailure: continue', () => {
  test('skips what reads the step, runs what asks before or only waits, and the run is done', async () => {
    const handle = await rig.startRun('continue', {
      steps: [
        activity('a', 'weak', { onFailure: 'continue' }),
        reader('reads', 'a', 'steps.a.value'),
        reader('asks', 'a', 'has(steps.a.value) ? 1 : 2'),
        activity('waits', 'note', { needs: ['a'], with: { value: 5 } }),
      ],
    });
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(await rig.states('continue')).toEqual(['a: failed', 'asks: done', 'reads: skipped', 'waits: done']);
    expect(await rig.step('continue', 'a')).toMatchObject({ error: 'The disk said no.', errorType: 'StepFailed' });
    expect((await rig.step('continue', 'asks'))?.outputs).toEqual({ value: 2 });
  });

  test('of a loop goes on without the loop where a step within fails for good', async () => {
    const handle = await rig.startRun('continue-loop', {
      steps: [
        repeat('rounds', [activity('a', 'weak', { onFailure: 'fail' })], { max: 3, onFailure: 'continue' }),
        reader('asks', 'rounds', 'has(steps.rounds.last) ? 1 : 2'),
      ],
    });
    await handle.result();
    expect(await rig.states('continue-loop')).toEqual(['asks: done (reused)', 'rounds: failed', 'rounds[1].a: failed']);
  });
});

describe('onFailure: fail', () => {
  test('lets other branches finish, skips what comes after, and ends the run as failed', async () => {
    const handle = await rig.startRun('fail', {
      steps: [
        activity('a', 'weak', { onFailure: 'fail' }),
        activity('waits', 'note', { needs: ['a'] }),
        activity('far', 'note', { needs: ['waits'] }),
        activity('other', 'note', { with: { value: 4 } }),
        reader('more', 'other', 'steps.other.value + 1'),
      ],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await rig.states('fail')).toEqual([
      'a: failed',
      'far: skipped',
      'more: done',
      'other: done',
      'waits: skipped',
    ]);
    expect((await rig.step('fail', 'far'))?.error).toBe('It comes after a, which failed.');
    expect((await readRun(rig.store, 'fail'))?.state).toMatchObject({
      state: 'failed',
      error: 'a failed: The disk said no.',
    });
  });

  test('in a round fails the loop and the run, and names the step once', async () => {
    const handle = await rig.startRun('fail-loop', {
      steps: [
        repeat('rounds', [activity('a', 'weak', { onFailure: 'fail' })], { max: 3 }),
        activity('waits', 'note', { needs: ['rounds'] }),
      ],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await rig.states('fail-loop')).toEqual(['rounds: failed', 'rounds[1].a: failed', 'waits: skipped']);
    expect((await readRun(rig.store, 'fail-loop'))?.state.error).toBe('rounds[1].a failed: The disk said no.');
  });
});

describe('retry by type', () => {
  const retry = { max: 3, initialMs: 10, factor: 1, maxMs: 10 };
  const runWith = async (run: string, how: object, type?: string) => {
    const inputs: { [name: string]: string } = type === undefined ? {} : { type };
    const handle = await rig.startRun(run, {
      steps: [activity('a', 'weak', { with: inputs, retry: { ...retry, ...how }, onFailure: 'continue' })],
    });
    await handle.result();
    return tried.filter((entry) => entry === run).length;
  };

  test.each([
    ['all types without `on`', 'type-all', {}, 'OutOfMemory', 3],
    ['those of `on`', 'type-on', { on: ['OutOfMemory'] }, 'OutOfMemory', 3],
    ['no other than those of `on`', 'type-other', { on: ['OutOfMemory'] }, 'Shape', 1],
    ['none of `except`', 'type-except', { except: ['OutOfMemory'] }, 'OutOfMemory', 1],
    ['a plain error as StepFailed', 'type-plain', { except: ['StepFailed'] }, undefined, 1],
  ] as const)('tries %s', async (_, run, how, type, times) => {
    expect(await runWith(run, how, type)).toBe(times);
  });

  test('knows a timeout as Timeout', async () => {
    const step = activity('a', 'endless', {
      timeoutMs: 100,
      retry: { ...retry, except: ['Timeout'] },
      onFailure: 'continue',
    });
    await (await rig.startRun('type-timeout', { steps: [step] })).result();
    expect(await rig.step('type-timeout', 'a')).toMatchObject({ state: 'failed', errorType: 'Timeout' });
    expect((await rig.step('type-timeout', 'a'))?.attempts).toHaveLength(1);
  });
});

describe('finally', () => {
  const told = activity('told', 'note', { with: { value: cel('run.state') }, onFailure: 'fail' });
  const why = activity('why', 'note', { with: { value: cel('run.error') }, onFailure: 'fail' });

  test('runs after all steps and sees what they made', async () => {
    const handle = await rig.startRun('finally', {
      steps: [activity('a', 'note', { with: { value: 7 } })],
      finally: [told, why, activity('reads', 'note', { with: { value: cel('steps.a.value + 1') }, onFailure: 'fail' })],
    });
    await handle.result();
    expect(await rig.states('finally')).toEqual(['a: done', 'reads: done', 'told: done', 'why: skipped']);
    expect((await rig.step('finally', 'told'))?.outputs?.value).toBe('done');
    expect((await rig.step('finally', 'reads'))?.outputs?.value).toBe(8);
  });

  test('runs when the run has failed, and knows why', async () => {
    const handle = await rig.startRun('finally-failed', {
      steps: [activity('a', 'weak', { onFailure: 'fail' })],
      finally: [told, why],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect((await rig.step('finally-failed', 'told'))?.outputs?.value).toBe('failed');
    expect((await rig.step('finally-failed', 'why'))?.outputs?.value).toBe('a failed: The disk said no.');
  });

  test('runs when the run is cancelled', async () => {
    const handle = await rig.startRun('finally-cancelled', { steps: [activity('a', 'endless')], finally: [told] });
    await eventually(async () => (await rig.step('finally-cancelled', 'a'))?.state === 'running');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await rig.states('finally-cancelled')).toEqual(['a: cancelled', 'told: done']);
    expect((await rig.step('finally-cancelled', 'told'))?.outputs?.value).toBe('cancelled');
    expect((await readRun(rig.store, 'finally-cancelled'))?.state.state).toBe('cancelled');
  });

  test('that fails makes a run fail that was done, and no run wait', async () => {
    const handle = await rig.startRun('finally-fails', {
      steps: [activity('a', 'note')],
      finally: [activity('b', 'weak', { onFailure: 'fail' }), told],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await rig.states('finally-fails')).toEqual(['a: done', 'b: failed', 'told: done (reused)']);
    expect((await readRun(rig.store, 'finally-fails'))?.state.error).toBe('b failed: The disk said no.');
  });
});

test('a step of a queue that nobody serves says so, and goes on with the first worker that does', async () => {
  const handle = await rig.startRun('queue', { steps: [activity('a', 'note', { queue: 'gpu', with: { value: 9 } })] });
  const unserved = await eventually(async () => (await rig.step('queue', 'a'))?.unserved);
  expect(unserved).toBe('a worker: nobody serves the task queue "test-gpu" (hardcase worker --queues gpu)');
  const worker = await startWorker({
    connection: { address: rig.server.address },
    namespace: 'default',
    store: rig.store,
    queuePrefix: testQueuePrefix,
    queues: ['gpu'],
    implementations: steps as never,
    describeEnvironment: async () => testEnvironment,
  });
  await handle.result();
  await worker.shutdown();
  const step = await rig.step('queue', 'a');
  expect(step).toMatchObject({ state: 'done', outputs: { value: 9 } });
  expect(step?.unserved).toBeUndefined();
});

test('a held step is retried as before where other steps have other ways', async () => {
  const handle = await rig.startRun('mixed', {
    steps: [activity('held', 'weak'), activity('gone', 'weak', { with: { type: 'X' }, onFailure: 'continue' })],
  });
  await eventually(async () => (await readRun(rig.store, 'mixed'))?.state.state === 'held');
  expect(await rig.states('mixed')).toEqual(['gone: failed', 'held: held']);
  expect(await handle.executeUpdate(retryName, { args: [{ by: 'Ann' }] })).toMatchObject({ steps: ['held'] });
  await handle.terminate();
});
