/** `defaults` of a file: what steps take from it, and where its problems are shown. */

import { expect, test } from 'vitest';
import type { ActivityStep, FanOutStep } from '../../plan/types.ts';
import { compileText, planOf, problemsOf, stepOf, withOf } from './compile-text.ts';

const file = (defaults: string, steps = '') => `
      name: defaults
      defaults: ${defaults}
      steps:
        data: { uses: synthesize, with: { images: 24, imageSize: 64 } }
        first: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
        ${steps}`;

test('a step takes what it does not say, of its kind before that of all kinds', () => {
  const plan = planOf(
    file(
      '{ retry: 7, timeout: 1h, train: { timeout: 2h, with: { epochs: 3, batchSize: 2 }, queue: gpu } }',
      'own: { uses: train, timeout: 3h, retry: { max: 1 }, with: { dataset: "${{ steps.data.dataset }}", epochs: 9 } }',
    ),
  );
  const step = (path: string) => stepOf(plan, path) as ActivityStep;
  expect([step('data').retry.max, step('data').timeoutMs]).toEqual([7, 3_600_000]);
  expect([step('first').retry.max, step('first').timeoutMs, step('first').queue]).toEqual([7, 7_200_000, 'gpu']);
  expect([step('own').retry.max, step('own').timeoutMs]).toEqual([1, 10_800_000]);
  expect(withOf(plan, 'first')).toMatchObject({ epochs: 3, batchSize: 2 });
  expect(withOf(plan, 'own')).toMatchObject({ epochs: 9, batchSize: 2 });
});

test('steps in rounds and legs take them too', () => {
  const plan = planOf(
    file(
      '{ train: { with: { epochs: 3 } } }',
      'legs: { forEach: [1], uses: train, with: { dataset: "${{ steps.data.dataset }}" } }',
    ),
  );
  expect((stepOf(plan, 'legs') as FanOutStep).scope.steps[0]).toMatchObject({ with: { epochs: 3 } });
});

test('a parameter that others of the step rule out is not taken', () => {
  const init =
    'more: { uses: train, with: { dataset: "${{ steps.data.dataset }}", init: "${{ steps.first.model }}" } }';
  expect(withOf(planOf(file('{ train: { with: { width: 0.125, epochs: 2 } } }', init)), 'more')).not.toHaveProperty(
    'width',
  );
});

test('defaults change nothing else: the plan is that of the same steps written out', () => {
  const short = compileText(file('{ train: { with: { epochs: 3 } } }'));
  const long = compileText(`
      name: defaults
      steps:
        data: { uses: synthesize, with: { images: 24, imageSize: 64 } }
        first: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 3 } }`);
  expect(short.planDigest).toBe(long.planDigest);
});

test('what is wrong in them is said once, where it stands', () => {
  const two = 'second: { uses: train, with: { dataset: "${{ steps.data.dataset }}" } }';
  expect(problemsOf(file('{ train: { with: { epochs: 0, epoch: 3 } }, trian: { retry: 1 } }', two))).toEqual([
    '2 INVALID_VALUE 0',
    '2 UNKNOWN_KEY epoch',
    '2 UNKNOWN_KEY trian',
  ]);
  expect(problemsOf(file('{ train: { with: { epochs: "${{ steps.no.x }}" } } }'))).toEqual(['2 UNKNOWN_STEP no']);
});
