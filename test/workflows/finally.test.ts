/** `finally` on a real Temporal server, of a run and of another file: what it waits for, and that a cancelled run waits for nobody. */

import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval } from '../../artifacts/approval-record.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { Form } from '../../plan/form.ts';
import type { PipelineStep, PlannedScope, PlannedStep } from '../../plan/types.ts';
import {
  type AnswerReceipt,
  answerName,
  type OperateAnswer,
  type OperationName,
  workflowIdOf,
} from '../../workflows/messages.ts';
import { ordersSignal } from '../../workflows/scope-messages.ts';
import { noOrders } from '../../workflows/standing-orders.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, repeat } from '../small-plans.ts';

/** `RUN PATH VALUE` of each note, in order. */
const notes: string[] = [];
/** Runs whose steps of kind `slow` may end. */
const released = new Set<string>();

const steps = {
  note: async ({ run, path }: StepContext, { value }: { value?: unknown }) => {
    notes.push(`${run} ${path} ${String(value)}`);
    return { value: value ?? 0 };
  },
  weak: async ({ run }: StepContext) => {
    if (!released.has(run)) throw new Error('The disk said no.');
    return { value: 1 };
  },
  slow: async ({ run, signal }: StepContext) => {
    while (!released.has(run)) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { value: 1 };
  },
};

const form: Form = { properties: { go: { type: 'boolean' } }, required: ['go'] };
/** Tells how what came before ended. `run` sets its result apart from those of other runs. */
const told = (run: string, needs: string[] = []) =>
  activity('told', 'note', { needs, with: { value: cel('run.state'), of: run }, onFailure: 'fail' });
const slow = (run: string) => activity('a', 'slow', { with: { of: run } });

const file = (id: string, scope: PlannedScope, changes: Partial<PipelineStep> = {}): PipelineStep => {
  return { type: 'pipeline', id, pipeline: 'file', needs: [], params: {}, scope, outputs: {}, ...changes };
};

const notesOf = (run: string) =>
  notes.filter((note) => note.startsWith(`${run} `)).map((note) => note.slice(run.length + 1));
const running = (run: string, path: string) => eventually(async () => (await rig.step(run, path))?.state === 'running');
const reaches = (run: string, path: string, state: string) =>
  eventually(async () => (await rig.step(run, path))?.state === state);
const operate = (run: string, name: OperationName, message: object = {}) =>
  rig.client.workflow
    .getHandle(workflowIdOf(run))
    .executeUpdate<OperateAnswer, [object]>(name, { args: [{ by: 'Ann', ...message }] });
const stateOf = async (run: string) => (await readRun(rig.store, run))?.state;

const rig = rigOfFile(steps);

describe('the end of another file', () => {
  test('runs within its step, sees how the steps of the file ended, and comes before what waits for the step', async () => {
    const scope = { steps: [activity('a', 'note', { with: { value: 7 } })], finally: [told('done')] };
    const handle = await rig.startRun('done', {
      steps: [
        file('fit', scope, { outputs: { value: cel('steps.a.value') } }),
        activity('b', 'note', { needs: ['fit'], with: { value: cel('steps.fit.value') } }),
      ],
    });
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(notesOf('done')).toEqual(['fit.a 7', 'fit.told done', 'b 7']);
  });

  test('also runs where a step of the file failed, and its own failure fails the step of a file that was done', async () => {
    const weak = activity('a', 'weak', { onFailure: 'fail' });
    const handle = await rig.startRun('failed', {
      steps: [
        file('first', { steps: [weak], finally: [told('failed')] }, { onFailure: 'continue' }),
        file('second', { steps: [], finally: [{ ...weak, id: 'w' }] }, { onFailure: 'continue' }),
      ],
    });
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(await rig.states('failed')).toEqual([
      'first.a: failed',
      'first.told: done',
      'first: failed',
      'second.w: failed',
      'second: failed',
    ]);
    expect(notesOf('failed')).toEqual(['first.told failed']);
    expect((await rig.step('failed', 'second'))?.error).toBe('second.w failed: The disk said no.');
  });

  test('runs where its step is skipped while it runs, and again where the step is reset', async () => {
    const scope = (run: string) => ({ steps: [slow(run)], finally: [told(run)] });
    const skipped = await rig.startRun('skipped', {
      steps: [file('fit', scope('skipped'))],
      finally: [told('skipped')],
    });
    const reset = await rig.startRun('reset', {
      steps: [file('fit', scope('reset')), activity('open', 'slow', { with: { of: 'open' } })],
    });
    await running('skipped', 'fit.a');
    await operate('skipped', 'skip', { path: 'fit', reason: 'not needed' });
    expect(await skipped.result()).toEqual({ state: 'done' });
    expect(notesOf('skipped')).toEqual(['fit.told cancelled', 'told done']);
    await running('reset', 'fit.a');
    await operate('reset', 'reset', { path: 'fit.a' });
    await eventually(async () => notesOf('reset').length === 1);
    released.add('reset');
    expect(await reset.result()).toEqual({ state: 'done' });
    expect(notesOf('reset')).toEqual(['fit.told cancelled', 'fit.told done']);
  });
});

describe('a cancelled run', () => {
  /** A gate in a round of a loop in the end of a file. */
  const asking = (expired?: { go: boolean }): PlannedStep[] => [
    repeat('rounds', [approve('ok', form, expired === undefined ? {} : { expired })], { onFailure: 'fail' }),
    told('asking', ['rounds']),
  ];

  test('runs the ends of its files and then its own, and asks nobody in any of them', async () => {
    const handle = await rig.startRun('cancelled', {
      steps: [file('fit', { steps: [slow('cancelled')], finally: asking() })],
      finally: [...asking({ go: false }), activity('reads', 'note', { needs: ['rounds'], with: { value: 1 } })],
    });
    await running('cancelled', 'fit.a');
    await operate('cancelled', 'cancel');
    expect(await handle.result()).toEqual({ state: 'cancelled' });
    // The last two run side by side.
    expect(notesOf('cancelled')[0]).toBe('fit.told cancelled');
    expect(notesOf('cancelled').toSorted()).toEqual(['fit.told cancelled', 'reads 1', 'told cancelled']);
    expect((await rig.step('cancelled', 'fit.rounds[1].ok'))?.note).toBe(
      'nobody is asked any more, because what it belongs to was cancelled',
    );
    expect((await rig.step('cancelled', 'rounds[1].ok'))?.outputs).toEqual({ go: false, by: 'nobody', expired: true });
    expect((await readApproval(rig.store, 'cancelled', 'fit.rounds[1].ok'))?.state).toBe('expired');
  });

  test('leaves a gate, a held step and a pause of its end, also where Temporal was told to cancel it', async () => {
    const handle = await rig.startRun('late', {
      steps: [activity('a', 'note', { with: { value: 'late' } })],
      finally: [
        file('last', { steps: [], finally: asking() }, { onFailure: 'fail' }),
        activity('kept', 'weak', { onFailure: 'hold' }),
        activity('next', 'note', { needs: ['last'], with: { value: 'next' }, onFailure: 'fail' }),
      ],
    });
    await reaches('late', 'last.rounds[1].ok', 'waiting');
    await reaches('late', 'kept', 'held');
    await operate('late', 'pause');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await stateOf('late')).toMatchObject({ state: 'cancelled' });
    expect(await rig.states('late')).toEqual([
      'a: done',
      'kept: failed',
      'last.rounds: done',
      'last.rounds[1].ok: skipped',
      'last.told: done',
      'last: done',
      'next: done',
    ]);
  });
});

test('the end of a file whose run was paused "now" goes on where the run is cancelled or the file skipped', async () => {
  const scope = (run: string) => ({ steps: [slow(run)], finally: [told(run)] });
  const started = async (run: string) => {
    const handle = await rig.startRun(run, { steps: [file('fit', scope(run))], finally: [told(run)] });
    await running(run, 'fit.a');
    await operate(run, 'pause', { now: true });
    await reaches(run, 'fit.a', 'paused');
    return handle;
  };
  const [stopped, without] = await Promise.all([started('stopped'), started('without')]);
  await operate('without', 'skip', { path: 'fit', reason: 'not needed' });
  await reaches('without', 'fit', 'skipped');
  expect(notesOf('without')).toEqual(['fit.told cancelled']);
  await operate('without', 'resume');
  await operate('stopped', 'cancel');
  expect(await stopped.result()).toEqual({ state: 'cancelled' });
  expect(await without.result()).toEqual({ state: 'done' });
  expect(notesOf('stopped')).toEqual(['fit.told cancelled', 'told cancelled']);
  expect(notesOf('without')).toEqual(['fit.told cancelled', 'told done']);
});

test('the end of a cancelled file goes on also where it has a message to pass on', async () => {
  const run = 'passes';
  const handle = await rig.startRun(run, {
    steps: [
      file('fit', {
        steps: [],
        finally: [file('within', { steps: [slow(run), activity('b', 'note', { needs: ['a'], with: { value: 1 } })] })],
      }),
    ],
  });
  await running(run, 'fit.within.a');
  await handle.cancel();
  const fit = rig.client.workflow.getHandle(workflowIdOf(run, 'fit'));
  await eventually(async () => {
    const { events = [] } = await fit.fetchHistory();
    return (events ?? []).some((event) => event.workflowExecutionCancelRequestedEventAttributes);
  });
  const orders = { ...noOrders, version: 1_000 };
  await fit.signal(ordersSignal, { orders });
  const within = rig.client.workflow.getHandle(workflowIdOf(run, 'fit.within'));
  await eventually(async () => {
    const { events = [] } = await within.fetchHistory();
    return (events ?? []).some((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'orders');
  });
  released.add(run);
  await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
  expect(notesOf(run)).toEqual(['fit.within.b 1']);
});

describe('the end of a run that nobody cancelled', () => {
  test('waits for an answer, and for a retry where a step of it says so', async () => {
    const handle = await rig.startRun('waits', {
      steps: [activity('a', 'weak', { onFailure: 'fail', with: { of: 1 } })],
      finally: [
        approve('ok', form, {
          with: { message: { $text: ['The run is ', cel('run.state'), '.'] } },
          onFailure: 'fail',
        }),
        activity('kept', 'weak', { needs: ['ok'], when: 'steps.ok.go', onFailure: 'hold' }),
        activity('never', 'weak', { needs: ['ok'], onFailure: 'hold', with: { of: 2 } }),
      ],
    });
    await reaches('waits', 'ok', 'waiting');
    await eventually(async () => (await stateOf('waits'))?.state === 'waiting');
    expect((await readApproval(rig.store, 'waits', 'ok'))?.message).toBe('The run is failed.');
    const message = { gate: 'ok', by: 'Ann', answer: { go: true } };
    await handle.executeUpdate<AnswerReceipt, [object]>(answerName, { args: [message] });
    await reaches('waits', 'kept', 'held');
    await reaches('waits', 'never', 'held');
    await eventually(async () => (await stateOf('waits'))?.state === 'held');
    await operate('waits', 'skip', { path: 'never', reason: 'not needed' });
    released.add('waits');
    await operate('waits', 'retry', { path: 'kept' });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await stateOf('waits')).toMatchObject({ state: 'failed', error: 'a failed: The disk said no.' });
    expect(await rig.states('waits')).toEqual(['a: failed', 'kept: done', 'never: skipped', 'ok: done']);
  });
});

test('an end of very many steps runs in parts of its own', async () => {
  const many = Array.from({ length: 4 }, (_, i) =>
    activity(`s${i}`, 'note', { needs: i === 0 ? [] : [`s${i - 1}`], with: { value: i }, onFailure: 'fail' }),
  );
  const handle = await rig.startRun('parts', {
    steps: [activity('a', 'note', { with: { value: 'parts' } })],
    finally: [...many, told('parts', ['s3'])],
    finallyParts: [0, 3],
  });
  expect(await handle.result()).toEqual({ state: 'done' });
  expect(notesOf('parts')).toEqual(['a parts', 's0 0', 's1 1', 's2 2', 's3 3', 'told done']);
});
