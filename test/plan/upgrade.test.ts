/** What may change in a run that goes on: here what has an end of its own. */

import { expect, test } from 'vitest';
import type { PipelineStep, PlannedScope, PlannedStep } from '../../plan/types.ts';
import { problemsOfUpgrade } from '../../plan/upgrade.ts';
import { activity } from '../small-plans.ts';

const scopeWith = (last: PlannedStep): PlannedScope => {
  const scope = { steps: [activity('a', 'note')], finally: [last] };
  const file: PipelineStep = {
    type: 'pipeline',
    id: 'fit',
    pipeline: 'fit',
    needs: [],
    params: {},
    outputs: {},
    scope,
  };
  return { steps: [file] };
};
const problems = (last: PlannedStep, hasEnded: boolean) =>
  problemsOfUpgrade(scopeWith(activity('last', 'note')), scopeWith(last), {
    hasBegun: () => true,
    hasEnded: () => hasEnded,
  }).map(({ step, why }) => `${step} ${why}`);

test('the end of a file that has begun stays as it is', () => {
  expect(problems(activity('last', 'note', { with: { value: 1 } }), false)).toEqual([
    'fit has begun, and its scope.finally.last.with.value changed',
  ]);
  expect(problems(activity('last', 'note', { queue: 'gpu' }), false)).toHaveLength(1);
});

test('how the end of a file was tried that has ended is history, what it did is not', () => {
  expect(problems(activity('last', 'note', { queue: 'gpu' }), true)).toEqual([]);
  expect(problems(activity('last', 'note', { with: { value: 1 } }), true)).toEqual([
    'fit has ended, and its scope.finally.last.with.value changed',
  ]);
});
