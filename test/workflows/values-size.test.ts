/** What travels together between workflows is bounded, and people are told before Temporal would refuse it. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Plan } from '../../plan/types.ts';
import { bytesOf } from '../../plan/value-bytes.ts';
import { simulatePlan } from '../../simulate/run-plan.ts';
import { checkedSize } from '../../workflows/values-size.ts';
import { activity, cel, fanOut, repeat } from '../small-plans.ts';

const bundle = join(import.meta.dirname, '../../dist/workflow-bundle.js');

const planOf = (step: Plan['root']['steps'][number]): Plan => ({
  format: 1,
  pipeline: 'large',
  seed: 1,
  params: {},
  root: { steps: [step] },
});

const large = { mockOf: () => ({ outputs: { text: 'x'.repeat(50_000) } }), answers: [], retries: [] };

test('bytes are those of UTF-8', () => {
  for (const value of ['a', '\u00e9\u20ac', '\ud83d\ude00', ['x', { y: null }]]) {
    expect(bytesOf(value)).toBe(Buffer.byteLength(JSON.stringify(value)));
  }
});

test('what is too large to be handed on is refused with what to do', () => {
  expect(checkedSize([1], 'Values', '')).toEqual([1]);
  expect(() => checkedSize('x'.repeat(2_000_000), 'The entries of "tune"', 'Name fewer.')).toThrow(
    'The entries of "tune" are 2.0 MB together; at most 1.9 MB can be handed on. Name fewer.',
  );
});

test('a loop ends, and says why, before the values of its rounds are too large to be handed on', async () => {
  const loop = repeat('rounds', [activity('a', 'note')], { max: 90, next: { text: cel('steps.a.text') } });
  const { state, steps } = await simulatePlan(bundle, planOf(loop), large);
  expect(state).toBe('done');
  const { outputs } = steps.find(({ path }) => path === 'rounds')!;
  expect(outputs).toMatchObject({ ended: 'size', rounds: 37 });
  expect(outputs!.reason).toBe(
    'After round 37 the values of all rounds are 1.9 MB together; at most 1.9 MB can be handed on.',
  );
});

test('legs whose outputs are too large together hold their step', async () => {
  const legs = fanOut('legs', [activity('', 'note')], { legs: { forEach: Array.from({ length: 40 }, (_, i) => i) } });
  const { state, steps } = await simulatePlan(bundle, planOf(legs), large);
  expect(state).toBe('held');
  expect(steps.find(({ path }) => path === 'legs')!.error).toMatch(
    /^The entries of "legs" from its 40 legs are 2.0 MB/,
  );
});
