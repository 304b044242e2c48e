/** Steps that are there already are found many at a time, and what is not is run as ever. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { readStepRecord } from '../../artifacts/run-record.ts';
import type { PlannedStep } from '../../plan/types.ts';
import { openRig, type Rig } from '../rig.ts';
import { activity, cel } from '../small-plans.ts';

let rig: Rig;
const ran: string[] = [];

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({
    add: async ({ path }: { path: string }, { value, by = 1 }: { value: number; by?: number }) => {
      ran.push(path);
      return { sum: value + by };
    },
  });
}, 120_000);

afterAll(() => rig?.close());

/** A chain of steps, each adding one to what the one before gave. */
function chain(count: number, changes: { readonly [id: string]: Partial<PlannedStep> } = {}) {
  const steps = Array.from({ length: count }, (_, i) => {
    const before = i === 0 ? [] : [`s${i}`];
    const value = i === 0 ? 0 : cel(`steps.s${i}.sum`);
    return {
      ...activity(`s${i + 1}`, 'add', { needs: before, with: { value } }),
      ...changes[`s${i + 1}`],
    } as PlannedStep;
  });
  return { steps };
}

async function runToEnd(run: string, scope: ReturnType<typeof chain>) {
  ran.length = 0;
  const handle = await rig.startRun(run, scope);
  await handle.result();
  const { events } = await handle.fetchHistory();
  const called = (events ?? []).flatMap(
    ({ activityTaskScheduledEventAttributes: found }) => found?.activityType?.name ?? [],
  );
  return { ran: [...ran], called, states: await rig.states(run) };
}

test('a chain that is there already is found by two activities, and recorded step by step', async () => {
  const first = await runToEnd('first', chain(12));
  expect(first.ran).toHaveLength(12);
  expect(first.called).not.toContain('reuse-steps');

  const again = await runToEnd('again', chain(12));
  expect(again.ran).toEqual([]);
  expect(again.called).toEqual(['open-run', 'add', 'reuse-steps', 'close-run']);
  expect(again.states).toHaveLength(12);
  expect(again.states.every((state) => state.endsWith('done (reused)'))).toBe(true);
  expect((await readStepRecord(rig.store, 'again', 's12'))?.outputs).toEqual({ sum: 12 });
}, 60_000);

test('what differs is run, and what stands behind it; what is skipped is left to the run', async () => {
  const changes = {
    s4: { when: 'steps.s3.sum > 100' },
    s5: { with: { value: cel('has(steps.s4.sum) ? 1000 : steps.s3.sum') } },
    s8: { with: { value: cel('steps.s7.sum'), by: 2 } },
  };
  const { ran: anew, called, states } = await runToEnd('changed', chain(12, changes));
  // s8 makes up for what is missing since s5, so that s9 adds to the same as before.
  expect(anew).toEqual(['s5', 's6', 's7', 's8']);
  expect(called.filter((name) => name === 'reuse-steps')).toHaveLength(2);
  expect(states).toContain('s4: skipped');
  expect(states).toContain('s3: done (reused)');
  expect((await readStepRecord(rig.store, 'changed', 's12'))?.outputs).toEqual({ sum: 12 });
}, 60_000);

test('many steps side by side are looked for before they begin, and run where they are not there', async () => {
  const wide = {
    steps: Array.from({ length: 24 }, (_, i) => activity(`w${i + 1}`, 'add', { with: { value: 100 + i } })),
  };
  const first = await runToEnd('wide', wide);
  expect(first.ran).toHaveLength(24);
  expect(first.called.slice(0, 3)).toEqual(['open-run', 'reuse-steps', 'add']);
  const again = await runToEnd('wide-again', wide);
  expect(again.called).toEqual(['open-run', 'reuse-steps', 'close-run']);
  expect(again.states).toHaveLength(24);
}, 60_000);

test('of very many side by side a few are looked for first, and the others only where one of them is there', async () => {
  const wide = (by: (index: number) => number = () => 1) => ({
    steps: Array.from({ length: 60 }, (_, i) => activity(`w${i + 1}`, 'add', { with: { value: 1_000, by: by(i) } })),
  });
  const first = await runToEnd('wider', wide());
  expect(first.ran).toHaveLength(60);
  expect(first.called.filter((name) => name !== 'add')).toEqual(['open-run', 'reuse-steps', 'close-run']);
  const again = await runToEnd('wider-again', wide());
  expect(again.called).toEqual(['open-run', 'reuse-steps', 'reuse-steps', 'close-run']);
  expect(again.states.filter((state) => state.endsWith('done (reused)'))).toHaveLength(60);
  const half = await runToEnd(
    'wider-half',
    wide((i) => (i < 30 ? 1 : 2)),
  );
  expect(half.ran.sort()).toEqual(Array.from({ length: 30 }, (_, i) => `w${i + 31}`).sort());
}, 60_000);
