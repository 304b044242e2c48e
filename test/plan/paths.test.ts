/** Paths of steps, and the steps that they mean. */

import { describe, expect, test } from 'vitest';
import { findStep, parsePath, stepPath } from '../../plan/paths.ts';
import type { PlannedScope } from '../../plan/types.ts';
import { activity, fanOut, gate, repeat } from '../small-plans.ts';

const matrix = [{ name: 'lr=0.01', values: { lr: 0.01 } }];
const scope: PlannedScope = {
  steps: [
    activity('data', 'note'),
    fanOut('tune', [activity('', 'train')], { legs: { matrix } }),
    repeat('rounds', [gate('review'), fanOut('sites', [gate('check')], { legs: { forEach: [] } })]),
  ],
};
const typeAt = (path: string) => findStep(scope, path)?.type ?? null;

test('dots and commas between brackets belong to a leg', () => {
  expect(parsePath('tune[lr=0.01,width=0.25].train')).toEqual([
    { id: 'tune', leg: 'lr=0.01,width=0.25' },
    { id: 'train', leg: null },
  ]);
  expect(['', 'a.', 'a..b', 'a[1', 'a]', 'a[1]b'].map(parsePath)).toEqual([null, null, null, null, null, null]);
});

describe('a path', () => {
  test('finds steps in rounds and legs of any number', () => {
    expect(typeAt('data')).toBe('activity');
    expect(typeAt('rounds[3].review')).toBe('gate');
    expect(typeAt('rounds[1].sites[20].check')).toBe('gate');
  });

  test('of a leg is that of its only step', () => {
    expect(typeAt('tune[lr=0.01]')).toBe('activity');
    expect(stepPath('tune[lr=0.01]', '')).toBe('tune[lr=0.01]');
  });

  test('finds nothing where there is no such round, leg or step', () => {
    const nowhere = [
      'rounds.review',
      'rounds[0].review',
      'rounds[x].review',
      'rounds[1]',
      'tune[lr=1]',
      'data.more',
      'no',
    ];
    expect(nowhere.map(typeAt)).toEqual(nowhere.map(() => null));
  });
});
