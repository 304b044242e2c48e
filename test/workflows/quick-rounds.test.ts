/** Rounds of a long loop: those that take a moment run in the workflow of their batch, and those that are there are found together. */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import type { RepeatStep } from '../../plan/types.ts';
import { retryName } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, cel, repeat } from '../small-plans.ts';

let rig: Rig;
const ran: string[] = [];
/** `RUN PATH` of steps that take longer (ms), and of those that fail. */
const slow = new Map<string, number>();
const broken = new Set<string>();

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({
    add: async ({ run, path }: StepContext, { value, by = 1 }: { value: number; by?: number }) => {
      ran.push(path);
      await sleep(slow.get(`${run} ${path}`) ?? 0);
      if (broken.has(`${run} ${path}`)) throw new Error('The disk said no.');
      return { sum: value + by };
    },
  });
}, 120_000);

afterAll(() => rig?.close());

/** More rounds than a loop runs without a batch; each adds two. */
const loop = (changes: Partial<RepeatStep> = {}) => ({
  steps: [
    repeat(
      'rounds',
      [
        activity('a', 'add', { with: { value: cel('carry.sum') } }),
        activity('b', 'add', { needs: ['a'], with: { value: cel('steps.a.sum') } }),
      ],
      { max: 24, carry: { sum: 0 }, next: { sum: cel('steps.b.sum') }, ...changes },
    ),
  ],
});

const start = (run: string, changes?: Partial<RepeatStep>) => {
  ran.length = 0;
  return rig.startRun(run, loop(changes));
};

/** Activities that the batch called, and the rounds that it had as children. */
async function batchOf(run: string) {
  const { events } = await rig.client.workflow.getHandle(`hardcase:${run}:rounds[1..24]`).fetchHistory();
  return {
    called: (events ?? []).flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? []),
    children: (events ?? []).flatMap(
      (event) => event.startChildWorkflowExecutionInitiatedEventAttributes?.workflowId?.split(':')[2] ?? [],
    ),
  };
}

test('a round after a long one is a child, the others run in their batch', async () => {
  slow.set('first rounds[3].b', 5_200);
  await (await start('first')).result();
  expect(ran).toHaveLength(48);
  const { called, children } = await batchOf('first');
  expect(children).toContain('rounds[4]');
  expect(children).not.toContain('rounds[1]');
  // On a machine that is short of time others may be long, too.
  expect(children.length).toBeLessThan(12);
  expect(called).toEqual(Array(48 - 2 * children.length).fill('add'));
  expect((await readStepRecord(rig.store, 'first', 'rounds'))?.outputs).toMatchObject({
    rounds: 24,
    ended: 'max',
    last: { sum: 48 },
  });
}, 60_000);

test('rounds that are there already are found by one activity, and each step is recorded', async () => {
  await (await start('again')).result();
  expect(ran).toEqual([]);
  const { called, children } = await batchOf('again');
  expect(children).toEqual([]);
  // Two steps of the first round tell that the run repeats another.
  expect(called).toEqual(['add', 'add', 'reuse-rounds']);
  const states = await rig.states('again');
  expect(states.filter((state) => state.endsWith('done (reused)'))).toHaveLength(48);
  expect((await readStepRecord(rig.store, 'again', 'rounds[24].b'))?.outputs).toEqual({ sum: 48 });
  expect((await readStepRecord(rig.store, 'again', 'rounds'))?.outputs).toMatchObject({ last: { sum: 48 } });
}, 60_000);

test('nothing is recorded beyond the round with which the loop ends', async () => {
  await (await start('until', { until: 'steps.b.sum >= 20' })).result();
  expect(ran).toEqual([]);
  const states = await rig.states('until');
  expect(states).toContain('rounds[10].b: done (reused)');
  expect(states.some((state) => state.startsWith('rounds[11]'))).toBe(false);
  expect((await readStepRecord(rig.store, 'until', 'rounds'))?.outputs).toMatchObject({ rounds: 10, ended: 'until' });
}, 60_000);

test('rounds that differ are run, and the plateau counts those that were found', async () => {
  const from = 8;
  const plain = loop().steps[0]!;
  const scope = {
    steps: plain.scope.steps.map((step) =>
      step.id === 'b' ? activity('b', 'add', { needs: ['a'], with: { value: cel('steps.a.sum'), by: 0 } }) : step,
    ),
  };
  const plateau = { metric: 'steps.b.sum', patience: 30, minDelta: 0, mode: 'max' } as const;
  const bodies = [{ from, scope, next: plain.next, plateau }];
  await (await start('forked', { plateau, bodies })).result();
  // Each of those adds one.
  expect(ran.filter((path) => path.endsWith('.b'))).toEqual(
    Array.from({ length: 17 }, (_, i) => `rounds[${i + from}].b`),
  );
  expect((await readStepRecord(rig.store, 'forked', 'rounds'))?.outputs).toMatchObject({
    last: { sum: 2 * (from - 1) + 17 },
    bestRound: 24,
  });
}, 60_000);

test('a step that people have skipped is not taken from what is there', async () => {
  slow.set('ordered before', 3_000);
  const [rounds] = loop().steps;
  const steps = [activity('before', 'add', { with: { value: -1 } }), { ...rounds!, needs: ['before'] }];
  ran.length = 0;
  const handle = await rig.startRun('ordered', { steps });
  await eventually(async () => (await rig.step('ordered', 'before'))?.state === 'running');
  await handle.executeUpdate('skip', { args: [{ by: 'ann', reason: 'not needed', path: 'rounds[5].a' }] });
  await handle.result();
  // What comes behind it has other values.
  expect(ran.filter((path) => /^rounds\[[1-5]\]/.test(path))).toEqual([]);
  expect(ran).toContain('rounds[6].a');
  const states = await rig.states('ordered');
  expect(states).toContain('rounds[4].b: done (reused)');
  expect(states).toContain('rounds[5].a: skipped');
  expect((await readStepRecord(rig.store, 'ordered', 'rounds'))?.outputs).toMatchObject({ last: { sum: 46 } });
}, 60_000);

test('a step of a round within the batch can be held, and goes on once it is tried again', async () => {
  broken.add('held rounds[5].a');
  const handle = await start('held', { carry: { sum: 500 } });
  await eventually(async () => (await rig.step('held', 'rounds[5].a'))?.state === 'held');
  broken.clear();
  const retry = () => handle.executeUpdate(retryName, { args: [{ by: 'ann', path: 'rounds[5].a' }] });
  // The root hears of it a moment later.
  await eventually(async () => (await retry().catch(() => null)) !== null);
  await handle.result();
  expect((await batchOf('held')).children).not.toContain('rounds[5]');
  expect((await readStepRecord(rig.store, 'held', 'rounds'))?.outputs).toMatchObject({ last: { sum: 548 } });
}, 60_000);
