/** When the rounds of a loop no longer become better. */

import { expect, test } from 'vitest';
import { plateauReason, type Standing, standingAfter } from '../../plan/plateau.ts';

const plateau = { metric: 'm', patience: 2, minDelta: 0.1, mode: 'max' } as const;

function after(metrics: readonly (number | undefined)[], changes = {}): Standing {
  let standing: Standing = { stale: 0 };
  metrics.forEach((metric, at) => {
    standing = standingAfter({ ...plateau, ...changes }, standing, at + 1, metric);
  });
  return standing;
}

test('a round counts as better by minDelta at least, against the best so far', () => {
  expect(after([1, 1.05, 1.1])).toEqual({ best: { value: 1.1, round: 3 }, stale: 0 });
  expect(after([1, 1.05, 1.09])).toEqual({ best: { value: 1, round: 1 }, stale: 2 });
  expect(after([2, 1], { minDelta: 0, mode: 'min' })).toEqual({ best: { value: 1, round: 2 }, stale: 0 });
  expect(after([1, 1], { minDelta: 0 })).toEqual({ best: { value: 1, round: 1 }, stale: 1 });
});

test('a round without a metric counts neither way', () => {
  expect(after([undefined, 1, undefined, 0.5])).toEqual({ best: { value: 1, round: 2 }, stale: 1 });
});

test('what else is known between two rounds is left alone', () => {
  const state = { stale: 0, index: 7 };
  expect(standingAfter(plateau, state, 7)).not.toHaveProperty('index');
});

test('the reason names the best round', () => {
  expect(plateauReason(plateau, after([1, 0]))).toBeNull();
  expect(plateauReason(plateau, after([1, 0, 0]))).toBe(
    'For 2 rounds nothing was better by at least 0.1 than 1 in round 1.',
  );
  expect(plateauReason({ ...plateau, patience: 1, minDelta: 0 }, after([1, 0]))).toBe(
    'For 1 round nothing was better than 1 in round 1.',
  );
});
