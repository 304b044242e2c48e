import { expect, test } from 'vitest';
import { planDiff } from '../../cli/plan-diff.ts';
import type { ActivityStep, Plan } from '../../plan/types.ts';

const step = (id: string, values: ActivityStep['with']): ActivityStep => ({
  id,
  type: 'activity',
  kind: 'train',
  version: 1,
  needs: [],
  with: values,
  queue: 'train',
  timeoutMs: 1,
  heartbeatMs: 1,
  retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 },
  onFailure: 'hold',
});

const plan = (steps: readonly ActivityStep[], seed = 1): Plan => ({
  format: 1,
  pipeline: 'p',
  seed,
  params: {},
  root: { steps },
});

test('plans differ by step and parameter, wherever the step stands', () => {
  const before = plan([
    step('a', { epochs: 10, dataset: { $: 'steps.x.dataset' } }),
    step('b', { focal: { gamma: 2 } }),
  ]);
  const after = plan(
    [step('b', { focal: { gamma: 2 } }), step('a', { epochs: 20, dataset: { $: 'steps.y.dataset' } })],
    2,
  );
  expect(planDiff(before, after)).toEqual([
    'seed: 1 -> 2',
    'steps.a.with.epochs: 10 -> 20',
    'steps.a.with.dataset: "steps.x.dataset" -> "steps.y.dataset"',
  ]);
  expect(planDiff(before, before)).toEqual([]);
});

test('a long list of differences is cut, and says how many are left', () => {
  const values = (offset: number) => Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`v${i}`, i + offset]));
  const lines = planDiff(plan([step('a', values(0))]), plan([step('a', values(1))]), 3);
  expect(lines).toEqual([
    'steps.a.with.v0: 0 -> 1',
    'steps.a.with.v1: 1 -> 2',
    'steps.a.with.v2: 2 -> 3',
    'and 17 more differences',
  ]);
});

test('a step that was added or removed is one difference', () => {
  const [a, b, c] = [step('a', { epochs: 1 }), step('b', { epochs: 1 }), step('c', { focal: { gamma: 2 } })];
  expect(planDiff(plan([a, b]), plan([a, c]), 12, (place) => (place === 'steps.c' ? 7 : undefined))).toEqual([
    'steps.b: removed, was train',
    'steps.c: added, train (line 7)',
  ]);
});
