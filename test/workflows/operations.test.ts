/** Operations on a running run, on a real Temporal server: what they do, what refuses them, what they leave behind. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { readGate } from '../../artifacts/gate-record.ts';
import { readOperations, readRun } from '../../artifacts/run-record.ts';
import type { RunningWorker } from '../../deploy/worker.ts';
import type { Candidate } from '../../detection/types.ts';
import type { OperateAnswer, OperateMessage, OperationName } from '../../workflows/messages.ts';
import { decideName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, cel, fanOut, gate, repeat } from '../small-plans.ts';
import { logSteps, refusal } from './logged-steps.ts';

let rig: Rig;
let worker: RunningWorker;
const { ran, released, ranIn, steps: logged } = logSteps();

const steps = {
  ...logged,
  fragile: async ({ run, path }: StepContext, { limit }: { limit: number }) => {
    ran.push(`${run} ${path} ${limit}`);
    if (limit < 5) throw new Error('The limit is too low.');
    return { value: limit };
  },
};

/** With a parameter of its own, so that no other run's result is reused. */
const slow = (id: string, changes: { needs?: string[] } = {}) =>
  activity(id, 'slow', { with: { only: ++slowCount }, ...changes });
let slowCount = 0;

const operate = <Message extends OperateMessage>(run: string, name: OperationName, message: Message) =>
  rig.client.workflow.getHandle(workflowIdOf(run)).executeUpdate<OperateAnswer, [Message]>(name, { args: [message] });

const stateOf = async (run: string) => (await readRun(rig.store, run))?.state.state;
const reaches = (run: string, state: string) => eventually(async () => (await stateOf(run)) === state);

beforeAll(async () => {
  rig = await openRig();
  worker = await rig.startWorker(steps);
});

afterAll(async () => {
  await rig?.close();
});

describe('a pause', () => {
  test('lets running steps finish and none begin, also in rounds, until the run is resumed', async () => {
    const handle = await rig.startRun('paused', {
      steps: [
        slow('first'),
        activity('second', 'note', { needs: ['first'], with: { value: cel('steps.first.value') } }),
        repeat('rounds', [slow('a'), activity('b', 'note', { needs: ['a'] })], { max: 2 }),
      ],
    });
    await eventually(async () => ranIn('paused').length === 2);
    await operate('paused', 'pause', { by: 'Ann', reason: 'lunch' });
    await eventually(async () => (await readOperations(rig.store, 'paused')).length === 1);
    released.add('paused');
    await reaches('paused', 'paused');
    expect(ranIn('paused').sort()).toEqual(['first', 'rounds[1].a']);
    expect(await refusal(operate('paused', 'pause', { by: 'Bob' }))).toBe('The run paused is paused already.');

    // Another worker knows of it from the histories alone.
    await worker.shutdown();
    worker = await rig.startWorker(steps);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ranIn('paused')).toHaveLength(2);
    await operate('paused', 'resume', { by: 'Bob' });
    await handle.result();
    expect(ranIn('paused').sort()).toEqual([
      'first',
      'rounds[1].a',
      'rounds[1].b 0',
      'rounds[2].a',
      'rounds[2].b 0',
      'second 5',
    ]);
    const operations = await readOperations(rig.store, 'paused');
    expect(operations).toMatchObject([
      { operation: 'pause', by: 'Ann', reason: 'lunch', now: false },
      { operation: 'resume', by: 'Bob' },
    ]);
  });

  test('now stops running steps, also in rounds; they begin again with the resumed run', async () => {
    const handle = await rig.startRun('stopped', {
      steps: [slow('long'), repeat('rounds', [slow('long')])],
    });
    await eventually(async () => ranIn('stopped').length === 2);
    const at = Date.now();
    await operate('stopped', 'pause', { by: 'Ann', now: true });
    await reaches('stopped', 'paused');
    expect(Date.now() - at).toBeLessThan(30_000);
    expect(await rig.states('stopped')).toEqual(['long: paused', 'rounds: running', 'rounds[1].long: paused']);
    released.add('stopped');
    await operate('stopped', 'resume', { by: 'Ann' });
    await handle.result();
    expect((await rig.step('stopped', 'rounds[1].long'))?.attempts).toMatchObject([
      { outcome: 'cancelled' },
      { outcome: 'done' },
    ]);
  });

  test('is recorded, and told to rounds, while steps take all slots of their queue', async () => {
    const handle = await rig.startRun('full', {
      steps: [...['a', 'b', 'c', 'd', 'e'].map((id) => slow(id)), repeat('rounds', [slow('f')])],
    });
    await eventually(async () => ranIn('full').length === 4);
    const said = ['pause', 'resume', 'pause'] as const;
    for (const name of said) await operate('full', name, { by: 'Ann' });
    await eventually(async () => (await readOperations(rig.store, 'full')).length === said.length);
    expect(ranIn('full')).toHaveLength(4);
    released.add('full');
    await operate('full', 'resume', { by: 'Ann' });
    await handle.result();
    expect(ranIn('full')).toHaveLength(6);
  });

  test('is recorded also where the run fails at that moment', async () => {
    const handle = await rig.startRun('failing', {
      steps: [slow('a'), activity('b', 'fragile', { needs: ['a'], with: { limit: 1 }, onFailure: 'fail' })],
    });
    await eventually(async () => ranIn('failing').length === 1);
    released.add('failing');
    const names = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'pause' : 'resume'));
    const said = names.map((name) => refusal(operate('failing', name as 'pause' | 'resume', { by: 'Ann' })));
    await expect(handle.result()).rejects.toThrow();
    const taken = (await Promise.all(said)).filter((answer) => answer === 'taken');
    expect(await readOperations(rig.store, 'failing')).toHaveLength(taken.length);
  });

  test('is recorded in order among very many, of which legs hear the newest', async () => {
    const handle = await rig.startRun('flooded', {
      steps: [fanOut('legs', [slow('a'), activity('b', 'note', { needs: ['a'] })], { legs: { forEach: [1, 2] } })],
    });
    await eventually(async () => ranIn('flooded').length === 2);
    // Who comes out of turn is refused, and asks again.
    const insist = async (name: 'pause' | 'resume') => {
      while ((await refusal(operate('flooded', name, { by: 'Ann' }))) !== 'taken');
    };
    const names = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? ('pause' as const) : ('resume' as const)));
    await Promise.all(names.map(insist));
    await eventually(async () => (await readOperations(rig.store, 'flooded')).length === names.length);
    released.add('flooded');
    await handle.result();
    expect((await readOperations(rig.store, 'flooded')).map(({ operation }) => operation)).toEqual(names);
    expect(ranIn('flooded')).toHaveLength(4);
    const { events } = await handle.fetchHistory();
    const told = events?.filter(({ signalExternalWorkflowExecutionInitiatedEventAttributes: one }) => one != null);
    expect(told?.length).toBeLessThan(names.length / 2);
  });

  test('holds also for a round that begins meanwhile', async () => {
    const handle = await rig.startRun('between', {
      steps: [repeat('rounds', [slow('a')], { max: 2 })],
    });
    await eventually(async () => ranIn('between').length === 1);
    await operate('between', 'pause', { by: 'Ann' });
    await eventually(async () => (await readOperations(rig.store, 'between')).length === 1);
    released.add('between');
    await eventually(async () => (await rig.step('between', 'rounds[1].a'))?.state === 'done');
    await reaches('between', 'paused');
    expect(ranIn('between')).toEqual(['rounds[1].a']);
    await operate('between', 'resume', { by: 'Ann' });
    await handle.result();
  });
});

test('a pause and a skip reach the legs of a fan-out, and no leg takes the slot of a paused one', async () => {
  const legs = { forEach: ['x', 'y', 'z'] };
  const both = [slow('a'), activity('b', 'note', { needs: ['a'], with: { value: cel('index') } })];
  const handle = await rig.startRun('legs', { steps: [fanOut('sites', both, { legs, concurrency: 2, outputs: {} })] });
  await eventually(async () => ranIn('legs').length === 2);
  await operate('legs', 'pause', { by: 'Ann' });
  await eventually(async () => (await readOperations(rig.store, 'legs')).length === 1);
  await operate('legs', 'skip', { by: 'Ann', path: 'sites[2].b', reason: 'one is enough' });
  released.add('legs');
  await reaches('legs', 'paused');
  expect(ranIn('legs').sort()).toEqual(['sites[1].a', 'sites[2].a']);
  await operate('legs', 'resume', { by: 'Ann' });
  await handle.result();
  expect(await rig.states('legs')).toEqual([
    'sites: done',
    'sites[1].a: done',
    'sites[1].b: done',
    'sites[2].a: done',
    'sites[2].b: skipped',
    'sites[3].a: done',
    'sites[3].b: done',
  ]);
});

describe('a held step', () => {
  test('is tried again with other parameters, also in a round, and the record says so', async () => {
    const handle = await rig.startRun('changed', {
      steps: [repeat('rounds', [activity('weak', 'fragile', { with: { limit: 3, more: { a: 1, b: 2 } } })])],
    });
    await reaches('changed', 'held');
    const path = 'rounds[1].weak';
    expect(await refusal(operate('changed', 'retry', { by: 'Ann', path, set: [] }))).toBe(
      '"set" is an object of parameters and their new values.',
    );
    expect(await refusal(operate('changed', 'retry', { by: 'Ann', path: 'rounds' }))).toBe(
      'The step "rounds" of changed is not held, so there is nothing to retry. Held steps: rounds[1].weak.',
    );
    const answer = await operate('changed', 'retry', { by: 'Ann', path, set: { limit: 7, more: { b: 3 } } });
    expect(answer.steps).toEqual([path]);
    await handle.result();
    expect((await rig.step('changed', path))?.with).toEqual({ limit: 7, more: { a: 1, b: 3 } });
    expect(await readOperations(rig.store, 'changed')).toMatchObject([
      { operation: 'retry', by: 'Ann', steps: [path], set: { limit: 7, more: { b: 3 } } },
    ]);
  });

  test('can be skipped, and what reads it is skipped with it', async () => {
    const handle = await rig.startRun('given-up', {
      steps: [
        activity('weak', 'fragile', { with: { limit: 3 } }),
        activity('reader', 'note', { needs: ['weak'], with: { value: cel('steps.weak.value') } }),
        activity('after', 'note', { needs: ['weak'] }),
      ],
    });
    await reaches('given-up', 'held');
    expect(await refusal(operate('given-up', 'skip', { by: 'Ann', path: 'weak' } as never))).toBe(
      '"skip" needs a "reason".',
    );
    await operate('given-up', 'skip', { by: 'Ann', path: 'weak', reason: 'not worth it' });
    await handle.result();
    expect(await rig.states('given-up')).toEqual(['after: done', 'reader: skipped', 'weak: skipped']);
    expect(await rig.step('given-up', 'weak')).toMatchObject({ note: 'skipped by Ann: not worth it' });
  });
});

describe('a skip', () => {
  test('ends a running step, and keeps one in a later round from beginning', async () => {
    const handle = await rig.startRun('skipped', {
      steps: [
        slow('long'),
        repeat('rounds', [activity('a', 'note', { with: { value: cel('round.index') } })], {
          needs: ['long'],
          max: 2,
        }),
      ],
    });
    await eventually(async () => ranIn('skipped').length === 1);
    expect(await refusal(operate('skipped', 'skip', { by: 'Ann', path: 'rounds.a', reason: 'x' }))).toBe(
      'The run skipped has no step "rounds.a". Its steps: long, rounds, rounds[N].a.',
    );
    await operate('skipped', 'skip', { by: 'Ann', path: 'rounds[2].a', reason: 'one is enough' });
    await operate('skipped', 'skip', { by: 'Ann', path: 'long', reason: 'it takes too long' });
    await handle.result();
    expect(await rig.states('skipped')).toEqual([
      'long: skipped',
      'rounds: done',
      'rounds[1].a: done',
      'rounds[2].a: skipped',
    ]);
  });
});

describe('a reset', () => {
  test('runs the step and what depends on it anew, and leaves the rest as it is', async () => {
    //  a ── b ── c       d ── hold
    const handle = await rig.startRun('reset', {
      steps: [
        activity('a', 'note', { with: { value: 1 } }),
        activity('b', 'note', { needs: ['a'], with: { value: cel('steps.a.value + 1') } }),
        activity('c', 'note', { needs: ['b'], with: { value: cel('steps.b.value + 1') } }),
        activity('d', 'note', { with: { value: 9 } }),
        slow('hold', { needs: ['d'] }),
      ],
    });
    await eventually(async () => (await rig.step('reset', 'c'))?.state === 'done');
    await eventually(async () => ranIn('reset').includes('hold'));
    await operate('reset', 'reset', { by: 'Ann', path: 'b', set: { value: 10 } });
    await eventually(async () => (await rig.step('reset', 'c'))?.with?.value === 11);
    // The same parameters again: what the step made before does not count, what follows from it does.
    await operate('reset', 'reset', { by: 'Ann', path: 'b' });
    released.add('reset');
    await handle.result();
    expect(ranIn('reset').sort()).toEqual(['a 1', 'b 10', 'b 10', 'b 2', 'c 11', 'c 3', 'd 9', 'hold']);
    expect((await rig.step('reset', 'c'))?.outputs).toEqual({ value: 11 });
  });

  test('does not wait for what a step behind it waits for besides', async () => {
    const handle = await rig.startRun('beside', {
      steps: [
        slow('other'),
        activity('a', 'note', { with: { value: 71 } }),
        activity('end', 'note', { needs: ['other', 'a'], with: { value: cel('steps.a.value + steps.other.value') } }),
      ],
    });
    await eventually(async () => (await rig.step('beside', 'a'))?.state === 'done');
    await eventually(async () => ranIn('beside').includes('other'));
    await operate('beside', 'reset', { by: 'Ann', path: 'a', set: { value: 72 } });
    // `other` goes on, and so `end` has not begun.
    await eventually(async () => ranIn('beside').includes('a 72'));
    released.add('beside');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('beside')).toHaveLength(4);
    expect(ranIn('beside').slice(2)).toEqual(['a 72', 'end 77']);
  });

  test('to a step of a round begins the loop again, reuses what came before, and forgets what comes no more', async () => {
    const handle = await rig.startRun('rewound', {
      steps: [
        repeat('rounds', [activity('add', 'note', { with: { value: cel('carry.value + 1') } })], {
          max: 9,
          carry: { value: 0 },
          next: { value: cel('steps.add.value') },
          until: 'steps.add.value >= 3',
        }),
        slow('hold'),
      ],
    });
    await eventually(async () => (await rig.step('rewound', 'rounds'))?.outputs?.rounds === 3);
    await operate('rewound', 'reset', { by: 'Ann', path: 'rounds[2].add', set: { value: 40 } });
    await eventually(async () => (await rig.step('rewound', 'rounds'))?.outputs?.rounds === 2);
    released.add('rewound');
    await handle.result();
    const added = ranIn('rewound').filter((entry) => entry !== 'hold');
    expect(added).toEqual(['rounds[1].add 1', 'rounds[2].add 2', 'rounds[3].add 3', 'rounds[2].add 40']);
    expect(await rig.states('rewound')).toEqual([
      'hold: done',
      'rounds: done',
      'rounds[1].add: done',
      'rounds[2].add: done',
    ]);
  });

  test('of a gate that waits asks anew, and decisions that came meanwhile still count', async () => {
    const digest = await rig.store.putObject(Buffer.from('image'));
    const image = { id: 1, fileName: 'a.png', width: 90, height: 90, digest, split: 'train', group: '1' } as const;
    const labels = { parent: null, author: 'import', note: '', annotations: [] };
    const dataset = await saveDataset(rig.store, { categories: [{ id: 1, name: 'apple' }], images: [image], labels });
    const detection = { categoryId: 1, box: [10, 10, 30, 30] as [number, number, number, number], score: 0.8 };
    const candidate: Candidate = { id: 'c1', type: 'missing', detection, rank: 0.8, imageId: 1, imageDigest: digest };
    const candidates = await saveJson(rig.store, 'candidates', [candidate]);
    const review = gate('review', { with: { dataset, candidates, reviewer: 'human' } as never });
    const handle = await rig.startRun('asked', { steps: [review] });
    await reaches('asked', 'waiting');
    const opened = (await readGate(rig.store, 'asked', 'review'))?.openedAt;
    await operate('asked', 'reset', { by: 'Ann', path: 'review' });
    await eventually(async () => (await readGate(rig.store, 'asked', 'review'))?.openedAt !== opened);
    const decisions = [{ candidateId: 'c1', verdict: 'accept' }];
    await handle.executeUpdate(decideName, { args: [{ gate: 'review', batch: 'b', by: 'Ann', decisions }] });
    await handle.result();
    expect((await rig.step('asked', 'review'))?.outputs?.changed).toBe(1);
  });
});

test('a cancellation is an operation too: its steps end, and the record says who asked', async () => {
  const handle = await rig.startRun('ended', {
    steps: [slow('long'), repeat('rounds', [slow('long')])],
  });
  await eventually(async () => ranIn('ended').length === 2);
  await operate('ended', 'cancel', { by: 'Ann', reason: 'wrong data' });
  expect(await handle.result()).toEqual({ state: 'cancelled' });
  expect(await stateOf('ended')).toBe('cancelled');
  expect(await rig.states('ended')).toEqual(['long: cancelled', 'rounds: cancelled', 'rounds[1].long: cancelled']);
  expect(await readOperations(rig.store, 'ended')).toMatchObject([{ operation: 'cancel', reason: 'wrong data' }]);
});
