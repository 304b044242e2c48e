/** The real interpreter in virtual time: what is simulated, and what is not. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Plan, PlannedScope } from '../../plan/types.ts';
import { type Mock, type Script, simulatePlan } from '../../simulate/run-plan.ts';
import { activity, cel, gate, repeat } from '../small-plans.ts';

const bundle = join(import.meta.dirname, '../../dist/workflow-bundle.js');
const plan = (root: PlannedScope): Plan => ({ format: 1, pipeline: 'simulated', seed: 1, params: {}, root });
const hour = 3_600_000;

const run = (root: PlannedScope, mocks: { readonly [path: string]: Mock } = {}, script: Partial<Script> = {}) =>
  simulatePlan(bundle, plan(root), { mockOf: (path) => mocks[path] ?? {}, answers: [], retries: [], ...script });

test('steps side by side take as long as the longest, and days pass at once', async () => {
  //  a (1 h) ─┬─ c (24 h)
  //  b (5 h) ─┘
  const scope = {
    steps: [activity('a', 'train'), activity('b', 'train'), activity('c', 'train', { needs: ['a', 'b'] })],
  };
  const began = Date.now();
  const ended = await run(scope, { a: { takesMs: hour }, b: { takesMs: 5 * hour }, c: { takesMs: 24 * hour } });
  expect(ended).toMatchObject({ state: 'done', tookMs: 29 * hour });
  expect(ended.steps.map(({ path, startedMs, endedMs }) => [path, startedMs / hour, endedMs! / hour])).toEqual([
    ['a', 0, 1],
    ['b', 0, 5],
    ['c', 5, 29],
  ]);
  expect(Date.now() - began).toBeLessThan(20_000);
});

test('a workflow has a window of activities under way, and a step begins as soon as another has ended', async () => {
  const steps = Array.from({ length: 402 }, (_, i) => activity(`s${i + 1}`, 'train', { needs: ['first'] }));
  const mocks = Object.fromEntries(steps.map(({ id }, i) => [id, { takesMs: (i === 7 ? 1 : 10) * hour }]));
  const ended = await run(
    { steps: [activity('first', 'train'), ...steps] },
    { ...mocks, s401: { takesMs: 2 * hour }, s402: { takesMs: hour } },
  );
  // s401 takes the place of s8, and s402 that of s401.
  expect(ended).toMatchObject({ state: 'done', tookMs: 10 * hour });
  const begun = new Map(ended.steps.map(({ path, startedMs }) => [path, startedMs / hour]));
  expect(steps.slice(0, 400).filter(({ id }) => begun.get(id) !== 0)).toEqual([]);
  expect([begun.get('s401'), begun.get('s402')]).toEqual([1, 3]);
});

test('rounds are children that hand their values on, and artifacts are known by what made them', async () => {
  const train = activity('train', 'train', { with: { init: cel('carry.model') } });
  const loop = repeat('loop', [train], {
    needs: ['first'],
    max: 3,
    carry: { model: cel('steps.first.model') },
    next: { model: cel('steps.train.model') },
  });
  const ended = await run({ steps: [activity('first', 'train'), loop] });
  const inits = ended.calls.slice(1).map(({ with: inputs }) => (inputs as { init: { digest: string } }).init.digest);
  expect(inits.map((digest) => ended.origins.get(digest))).toEqual([
    'first.model',
    'loop[1].train.model',
    'loop[2].train.model',
  ]);
});

test('failures are counted and waited out as a worker does it, and what gave up is held until it is tried again', async () => {
  const retry = { max: 3, initialMs: 10_000, factor: 2, maxMs: 60_000 };
  const fragile = { steps: [activity('fragile', 'train', { retry })] };
  const twice = await run(fragile, { fragile: { fails: { message: 'No.', times: 2 } } });
  expect(twice).toMatchObject({ state: 'done', tookMs: 30_000, steps: [{ attempts: 3 }] });

  const always = await run(fragile, { fragile: { fails: { message: 'No.' } } });
  expect(always).toMatchObject({
    state: 'held',
    steps: [{ state: 'held', attempts: 3, error: 'No. (the last of 3 failures)' }],
  });

  const mended = { fragile: { fails: { message: 'No.', times: 3 } } };
  const again = await run(fragile, mended, { retries: [{ step: 'fragile', afterMs: hour }] });
  expect(again).toMatchObject({ state: 'done', tookMs: hour + 30_000, steps: [{ state: 'done', attempts: 4 }] });
});

test('a review waits for its answers, reminds, expires, or waits for ever', async () => {
  const after = { remind: '4h', expire: { in: '7d' } };
  const reviewed = (parameters: { after?: typeof after }) => ({ steps: [gate('review', { with: parameters })] });
  const mocks = { review: { candidates: 10 } };
  const half = { gate: 'review', afterMs: hour, decide: 5 } as const;
  const rest = { gate: 'review', afterMs: 2 * hour, decide: 'all' } as const;

  expect(await run(reviewed({ after }), mocks, { answers: [half, rest] })).toMatchObject({
    state: 'done',
    tookMs: 2 * hour,
    notices: [],
  });
  const expired = await run(reviewed({ after }), mocks, { answers: [half, { ...rest, afterMs: 8 * 24 * hour }] });
  expect(expired).toMatchObject({ state: 'done', tookMs: 7 * 24 * hour });
  expect(expired.notices).toEqual([expect.stringContaining('has waited for 4 h: 5 decisions are open')]);
  expect(await run(reviewed({}), mocks)).toMatchObject({
    state: 'waiting',
    steps: [{ path: 'review', state: 'waiting' }],
  });
});

test('a step whose outputs say so is skipped with what reads it', async () => {
  const scope = {
    steps: [
      activity('mine', 'mine'),
      activity('train', 'train', { needs: ['mine'], with: { select: cel('steps.mine.hardImages') } }),
      activity('other', 'train', { needs: ['train'], when: 'has(steps.train.model)' }),
    ],
  };
  const ended = await run(scope, { mine: { absent: ['hardImages'] } });
  expect(ended.steps.map(({ path, state }) => `${path} ${state}`)).toEqual([
    'mine done',
    'train skipped',
    'other skipped',
  ]);
});
