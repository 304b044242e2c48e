/** The interpreter on a real Temporal server: order, skipping, loops, reuse, holding, cancelling. */

import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { saveJson } from '../../artifacts/codecs.ts';
import { readOperations, readRun, readStepRecords } from '../../artifacts/run-record.ts';
import { retryName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually, startRun } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, cel, repeat, search } from '../small-plans.ts';

/** Paths in the order in which their code ran. */
const ran: string[] = [];
let broken = new Set<string>();

const steps = {
  note: async ({ run, path }: StepContext, { value }: { value?: number }) => {
    ran.push(`${run} ${path}`);
    return { value: value ?? 0, text: `from ${path}` };
  },
  report: async ({ run, path }: StepContext) => {
    ran.push(`${run} ${path}`);
    return {};
  },
  fragile: async ({ run, path }: StepContext) => {
    ran.push(`${run} ${path}`);
    if (broken.has(run)) throw new Error('The disk said no.');
    return { value: 7 };
  },
  endless: ({ signal }: StepContext) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  shrink: async ({ store }: StepContext, { images }: { images: number }) => ({
    images: images - 1,
    selection: await saveJson(store, 'selection', { images: Array.from({ length: images - 1 }, (_, i) => i + 1) }),
  }),
  find: async ({ store }: StepContext, { round }: { round: number }) =>
    round === 1 ? { selection: await saveJson(store, 'selection', { images: [1] }) } : {},
  'capacity-trial': async ({ run, path }: StepContext, { depth, width }: { depth: number; width: number }) => {
    ran.push(`${run} ${path}`);
    return { AP: depth + width };
  },
  'choose-capacity': async (_: StepContext, { trials }: { trials: { AP: number }[] }) => ({
    AP: Math.max(...trials.map(({ AP }) => AP)),
  }),
};

const ranIn = (run: string) => ran.filter((entry) => entry.startsWith(`${run} `)).map((entry) => entry.split(' ')[1]);

const rig = rigOfFile(steps);

describe('a scope', () => {
  test('starts each step when those it needs have ended, and hands their outputs on', async () => {
    //  a ── b ──┐
    //   └── c ──┴── d
    const handle = await rig.startRun('diamond', {
      steps: [
        activity('a', 'note', { with: { value: 2 } }),
        activity('b', 'note', { needs: ['a'], with: { value: cel('steps.a.value * 10') } }),
        activity('c', 'note', { needs: ['a'], with: { value: cel('steps.a.value + 1') } }),
        activity('d', 'note', { needs: ['b', 'c'], with: { value: cel('steps.b.value + steps.c.value') } }),
      ],
    });
    expect(await handle.result()).toEqual({ state: 'done' });
    expect((await rig.step('diamond', 'd'))?.outputs).toEqual({ value: 23, text: 'from d' });
    expect(ranIn('diamond')[0]).toBe('a');
    expect(ranIn('diamond')[3]).toBe('d');
    const record = await readRun(rig.store, 'diamond');
    expect(record?.state).toMatchObject({ state: 'done', environment: { cpu: 'test' } });
    const d = await rig.step('diamond', 'd');
    expect(d).toMatchObject({ state: 'done', reused: false, with: { value: 23 }, attempts: [{ outcome: 'done' }] });
  });

  test('skips a step whose condition is false, and those that read it without a guard', async () => {
    const handle = await rig.startRun('skips', {
      steps: [
        activity('a', 'note', { with: { value: 3 } }),
        activity('off', 'note', { needs: ['a'], when: 'steps.a.value > 5' }),
        activity('reader', 'note', { needs: ['off'], with: { value: cel('steps.off.value') } }),
        activity('guarded', 'note', {
          needs: ['off'],
          with: { value: cel('has(steps.off.value) ? steps.off.value : 4') },
        }),
        activity('after', 'note', { needs: ['off'], with: { value: 5 } }),
      ],
    });
    await handle.result();
    expect(await rig.states('skips')).toEqual([
      'a: done',
      'after: done',
      'guarded: done',
      'off: skipped',
      'reader: skipped',
    ]);
    expect((await rig.step('skips', 'reader'))?.error).toBe('It reads steps.off, which is not there.');
    expect((await rig.step('skips', 'guarded'))?.outputs?.value).toBe(4);
  });

  test('asks for a window of records at a time, however many steps end at once', async () => {
    const steps = Array.from({ length: 120 }, (_, i) => activity(`s${i + 1}`, 'note', { when: 'false' }));
    const handle = await rig.startRun('many-skipped', { steps });
    await handle.result();
    expect((await rig.states('many-skipped')).filter((state) => state.endsWith('skipped'))).toHaveLength(120);
    let open = 0;
    const numbers = ((await handle.fetchHistory()).events ?? []).map((event) => {
      if (event.activityTaskScheduledEventAttributes) open++;
      if (event.activityTaskCompletedEventAttributes) open--;
      return open;
    });
    expect(Math.max(...numbers)).toBe(90);
  });
});

test('a scope that is too large to be sent is fetched from the store', async () => {
  const root = { steps: [activity('a', 'note', { with: { value: 12 } })] };
  await (await startRun(rig.client, rig.store, 'fetched', root, { inline: false })).result();
  expect(await rig.states('fetched')).toEqual(['a: done']);
});

describe('a loop', () => {
  const counting = (changes: Parameters<typeof repeat>[2]) =>
    repeat('rounds', [activity('add', 'note', { with: { value: cel('carry.value + round.index') } })], {
      carry: { value: 1 },
      next: { value: cel('steps.add.value') },
      ...changes,
    });

  test('runs max rounds, each a child workflow, and gives all their values', async () => {
    const handle = await rig.startRun('loop-max', {
      steps: [
        counting({ max: 3 }),
        activity('sum', 'note', { needs: ['rounds'], with: { value: cel('steps.rounds.all[2].value') } }),
      ],
    });
    await handle.result();
    // 1 + 1, + 2, + 3
    expect((await rig.step('loop-max', 'sum'))?.outputs?.value).toBe(7);
    expect((await rig.step('loop-max', 'rounds'))?.outputs).toEqual({
      ended: 'max',
      reason: 'All 3 rounds were run.',
      rounds: 3,
      last: { value: 7 },
    });
    const round = rig.client.workflow.getHandle(workflowIdOf('loop-max', 'rounds[2]'));
    expect((await round.describe()).type).toBe('test-pipeline.round');
  });

  test('ends after the round in which until holds', async () => {
    const handle = await rig.startRun('loop-until', { steps: [counting({ max: 9, until: 'steps.add.value >= 4' })] });
    await handle.result();
    expect((await rig.step('loop-until', 'rounds'))?.outputs).toMatchObject({ ended: 'until', rounds: 2 });
  });

  test('knows the gain of the round', async () => {
    const handle = await rig.startRun('loop-gain', {
      steps: [counting({ max: 9, gain: 'add', until: 'round.gain.value > 6' })],
    });
    await handle.result();
    expect((await rig.step('loop-gain', 'rounds'))?.outputs).toMatchObject({ ended: 'until', rounds: 3 });
  });

  test('with max 0 runs no round, and what reads its last round is skipped', async () => {
    const handle = await rig.startRun('loop-none', {
      steps: [
        counting({ max: 0 }),
        activity('last', 'note', { needs: ['rounds'], with: { value: cel('steps.rounds.last.value') } }),
        activity('all', 'note', { needs: ['rounds'], with: { value: cel('size(steps.rounds.all)') } }),
      ],
    });
    await handle.result();
    expect(await rig.states('loop-none')).toEqual(['all: done', 'last: skipped', 'rounds: done']);
  });

  test('ends before a round whose selection is empty', async () => {
    const first = await saveJson(rig.store, 'selection', { images: [1, 2] });
    const handle = await rig.startRun('loop-empty', {
      steps: [
        repeat('rounds', [activity('shrink', 'shrink', { with: { images: cel('carry.images') } })], {
          max: 9,
          carry: { select: first as never, images: 2 },
          next: { select: cel('steps.shrink.selection'), images: cel('steps.shrink.images') },
          endWhenEmpty: 'select',
        }),
      ],
    });
    await handle.result();
    expect((await rig.step('loop-empty', 'rounds'))?.outputs).toMatchObject({
      ended: 'empty',
      rounds: 2,
      reason: 'No image is left in "select" before round 3.',
    });
  });

  test('ends with the round that finds nothing for the next, and that round does not count', async () => {
    const first = await saveJson(rig.store, 'selection', { images: [1, 2] });
    const handle = await rig.startRun('loop-dry', {
      steps: [
        repeat(
          'rounds',
          [
            activity('find', 'find', { with: { round: cel('round.index') } }),
            activity('train', 'note', { needs: ['find'], with: { value: cel('steps.find.selection') } }),
          ],
          {
            max: 9,
            carry: { select: first as never, model: 0 },
            next: { select: cel('steps.find.selection'), model: cel('steps.train.value') },
            endWhenEmpty: 'select',
          },
        ),
      ],
    });
    await handle.result();
    expect((await rig.step('loop-dry', 'rounds'))?.outputs).toMatchObject({
      ended: 'empty',
      rounds: 1,
      reason: 'Round 2 found no image for "select".',
    });
    expect((await rig.step('loop-dry', 'rounds[2].train'))?.state).toBe('skipped');
  });

  test('inside a loop sees the outer round', async () => {
    const inner = repeat(
      'inner',
      [activity('add', 'note', { with: { value: cel('carry.value + steps.base.value') } })],
      {
        needs: ['base'],
        max: 2,
        carry: { value: cel('carry.value') },
        next: { value: cel('steps.add.value') },
      },
    );
    const handle = await rig.startRun('loops', {
      steps: [
        repeat('outer', [activity('base', 'note', { with: { value: cel('round.index * 100') } }), inner], {
          max: 2,
          carry: { value: 0 },
          next: { value: cel('steps.inner.last.value') },
        }),
      ],
    });
    await handle.result();
    // 2 x 100, then 2 x 200
    expect((await rig.step('loops', 'outer'))?.outputs?.last).toEqual({ value: 600 });
    expect((await rig.step('loops', 'outer[2].inner[1].add'))?.outputs?.value).toBe(400);
  });
});

test('results are reused by the next run, apart from those of kinds that read the run record', async () => {
  const plan = { steps: [activity('once', 'note', { with: { value: 41 } }), activity('report', 'report')] };
  await (await rig.startRun('first', plan)).result();
  await (await rig.startRun('second', plan)).result();
  expect(await rig.states('first')).toEqual(['once: done', 'report: done']);
  expect(await rig.states('second')).toEqual(['once: done (reused)', 'report: done']);
  expect(ranIn('second')).toEqual(['report']);
});

describe('a capacity search', () => {
  const plan = {
    steps: [
      search('capacity', { with: { dataset: 'd', depth: [0.33, 0.67], width: [0.25], choose: 'best', epochs: 1 } }),
      activity('after', 'note', { needs: ['capacity'], with: { value: cel('steps.capacity.AP') } }),
    ],
  };

  test('runs one activity a size, then the choice', async () => {
    await (await rig.startRun('search', plan)).result();
    expect(await rig.states('search')).toEqual([
      'after: done',
      'capacity.choose: done',
      'capacity.trial[0.33,0.25,320,3]: done',
      'capacity.trial[0.67,0.25,320,3]: done',
      'capacity: done',
    ]);
    expect((await rig.step('search', 'after'))?.outputs?.value).toBeCloseTo(0.92, 12);
  });

  test('is reused as a whole, and trial by trial where the grid grows', async () => {
    await (await rig.startRun('search-again', plan)).result();
    expect(await rig.states('search-again')).toEqual(['after: done (reused)', 'capacity: done (reused)']);
    const wider = search('capacity', {
      ...plan.steps[0],
      with: { ...plan.steps[0]!.with, width: [0.25, 0.5] },
    } as never);
    await (await rig.startRun('search-wider', { steps: [wider] })).result();
    expect(ranIn('search-wider').sort()).toEqual(['capacity.trial[0.33,0.5,320,3]', 'capacity.trial[0.67,0.5,320,3]']);
  });
});

describe('a step that gives up', () => {
  const failing = activity('weak', 'fragile', { retry: { max: 2, initialMs: 20, factor: 1, maxMs: 20 } });

  test('is held while other branches finish, and goes on after a retry', async () => {
    broken = new Set(['held']);
    const handle = await rig.startRun('held', {
      steps: [
        failing,
        activity('after', 'note', { needs: ['weak'], with: { value: cel('steps.weak.value') } }),
        activity('other', 'note', { with: { value: 1 } }),
      ],
    });
    await eventually(async () => (await readRun(rig.store, 'held'))?.state.state === 'held');
    expect(await rig.step('held', 'weak')).toMatchObject({
      state: 'held',
      error: 'The disk said no. (the last of 2 failures)',
      attempts: [{ outcome: 'failed' }, { outcome: 'failed' }],
    });
    expect((await rig.step('held', 'other'))?.state).toBe('done');
    await expect(handle.executeUpdate(retryName, { args: [{ by: 'Ann', path: 'other' }] })).rejects.toMatchObject({
      cause: { message: 'The step "other" of held is not held, so there is nothing to retry. Held steps: weak.' },
    });

    broken = new Set();
    expect(await handle.executeUpdate(retryName, { args: [{ by: 'Ann' }] })).toMatchObject({ steps: ['weak'] });
    await handle.result();
    expect(await rig.states('held')).toEqual(['after: done', 'other: done', 'weak: done']);
    expect(await readOperations(rig.store, 'held')).toMatchObject([{ operation: 'retry', by: 'Ann', steps: ['weak'] }]);
  });

  test('inside a round is retried by its path', async () => {
    broken = new Set(['held-round']);
    const handle = await rig.startRun('held-round', { steps: [repeat('rounds', [failing])] });
    await eventually(async () => (await readRun(rig.store, 'held-round'))?.state.state === 'held');
    broken = new Set();
    const answer = await handle.executeUpdate(retryName, { args: [{ by: 'Ann', path: 'rounds[1].weak' }] });
    expect(answer).toMatchObject({ steps: ['rounds[1].weak'] });
    await handle.result();
    expect((await rig.step('held-round', 'rounds[1].weak'))?.state).toBe('done');
  });

  test('is also one whose expression cannot be computed', async () => {
    const handle = await rig.startRun('bad-expression', {
      steps: [
        activity('a', 'note'),
        activity('b', 'note', { needs: ['a'], with: { value: cel('1 / steps.a.value') } }),
      ],
    });
    await eventually(async () => (await readRun(rig.store, 'bad-expression'))?.state.state === 'held');
    expect((await rig.step('bad-expression', 'b'))?.error).toBe('Division by zero.');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await rig.states('bad-expression')).toEqual(['a: done', 'b: cancelled']);
  });
});

test('a cancelled run ends its steps, also inside rounds, and says so', async () => {
  const handle = await rig.startRun('cancelled', {
    steps: [activity('long', 'endless'), repeat('rounds', [activity('long', 'endless', { with: { value: 2 } })])],
  });
  await eventually(async () => (await readStepRecords(rig.store, 'cancelled')).length === 3);
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
  expect((await readRun(rig.store, 'cancelled'))?.state.state).toBe('cancelled');
  expect(await rig.states('cancelled')).toEqual(['long: cancelled', 'rounds: cancelled', 'rounds[1].long: cancelled']);
});

test('a step that runs longer than its timeout has failed', async () => {
  const handle = await rig.startRun('slow', { steps: [activity('long', 'endless', { timeoutMs: 300 })] });
  await eventually(async () => (await rig.step('slow', 'long'))?.state === 'held');
  expect((await rig.step('slow', 'long'))?.error).toBe(
    'long ran longer than its timeout of 0.3 s. Give it a longer "timeout", or less to do.',
  );
  await handle.terminate();
});
