/** What may change in a run that goes on: here what has an end of its own. */

import { describe, expect, test } from 'vitest';
import type { FanOutStep, PlannedScope, PlannedStep } from '../../plan/types.ts';
import { problemsOfUpgrade, stepsBegunAgain } from '../../plan/upgrade.ts';
import { activity, fanOut, imported, repeat } from '../small-plans.ts';

const scopeWith = (last: PlannedStep): PlannedScope => {
  const scope = { steps: [activity('a', 'note')], finally: [last] };
  return { steps: [imported('fit', [], { scope })] };
};
const problems = (last: PlannedStep, hasEnded: boolean) =>
  problemsOfUpgrade(scopeWith(activity('last', 'note')), scopeWith(last), {
    hasBegun: () => true,
    hasEnded: () => hasEnded,
  }).map(({ step, why }) => `${step} ${why}`);

test('the end of a file that has begun stays as it is', () => {
  expect(problems(activity('last', 'note', { with: { value: 1 } }), false)).toEqual([
    'fit has begun, and its finally.last.with.value changed; it cannot begin again for that, because it has a finally of its own, which would run',
  ]);
  expect(problems(activity('last', 'note', { queue: 'gpu' }), false)).toHaveLength(1);
});

test('how the end of a file was tried that has ended is history, what it did is not', () => {
  expect(problems(activity('last', 'note', { queue: 'gpu' }), true)).toEqual([]);
  expect(problems(activity('last', 'note', { with: { value: 1 } }), true)).toEqual([
    'fit has ended, and its finally.last.with.value changed',
  ]);
});

describe('what is within a step that has begun', () => {
  const legs = (...sizes: number[]) => ({ matrix: sizes.map((size) => ({ name: `size=${size}`, values: { size } })) });
  const note = (id: string, value: number, needs: string[] = []) => activity(id, 'note', { with: { value }, needs });
  const tune = (value: number, changes: Partial<FanOutStep> = {}): PlannedScope => ({
    steps: [
      note('data', 1),
      note('other', 1),
      fanOut('tune', [note('x', 1), note('z', value, ['x'])], { legs: legs(1, 2), needs: ['data'], ...changes }),
    ],
  });
  const fileWith = (...steps: PlannedStep[]): PlannedScope => ({
    steps: [imported('fit', [imported('inner', steps)])],
  });
  /** What was recorded; `data` alone has ended. */
  const refusals = (before: PlannedScope, after: PlannedScope, ...recorded: string[]) =>
    problemsOfUpgrade(before, after, {
      hasBegun: (id) => recorded.some((path) => path === id || path.startsWith(`${id}[`) || path.startsWith(`${id}.`)),
      hasEnded: (id) => id === 'data',
      recorded,
    }).map(({ step, why, path }) => `${step} ${why}${path === undefined ? '' : ` (${path})`}`);

  test('may change, be added and removed where it has not begun in any leg', () => {
    const begun = ['data', 'tune', 'tune[size=1].x'];
    expect(refusals(tune(1), tune(2), ...begun)).toEqual([]);
    expect(refusals(tune(1), tune(1, { legs: legs(1, 4), concurrency: 1 }), ...begun)).toEqual([]);
    expect(stepsBegunAgain(tune(1), tune(2), { hasBegun: () => true, hasEnded: (id) => id === 'data' })).toEqual([
      'tune',
    ]);
    expect(
      stepsBegunAgain(tune(1), tune(1, { concurrency: 1 }), { hasBegun: () => true, hasEnded: () => false }),
    ).toEqual([]);
  });

  test('stays as it was where it has begun, in whichever leg', () => {
    expect(refusals(tune(1), tune(2), 'tune', 'tune[size=2].z')).toEqual([
      'tune has begun, and in it tune[size=2].z has, whose with.value changed (tune[size=2].z)',
    ]);
    const without = tune(1, { scope: { steps: [note('z', 1)] } });
    expect(refusals(tune(1), without, 'tune', 'tune[size=2].x')).toEqual([
      'tune has begun, and in it tune[size=2].x has, which the changed file has no more (tune[size=2].x)',
    ]);
    expect(refusals(tune(1), tune(1, { legs: legs(2) }), 'tune', 'tune[size=1].x')).toEqual([
      'tune has begun, and so has its leg size=1, which the changed file has no more',
    ]);
  });

  test('is looked for through files that import others, and in rounds that have begun', () => {
    expect(
      refusals(fileWith(note('a', 1), note('b', 1)), fileWith(note('a', 1), note('b', 2)), 'fit', 'fit.inner.a'),
    ).toEqual([]);
    expect(
      refusals(fileWith(note('a', 1), note('b', 1)), fileWith(note('a', 2), note('b', 2)), 'fit', 'fit.inner.a'),
    ).toEqual(['fit has begun, and in it fit.inner.a has, whose with.value changed (fit.inner.a)']);
    const loop = (value: number) => fileWith(repeat('loop', [note('a', value)]));
    expect(refusals(loop(1), loop(2), 'fit', 'fit.inner.loop[1].a')).toEqual([
      'fit has begun, and in it fit.inner.loop[1].a has, whose steps.a.with.value changed (fit.inner.loop[1].a)',
    ]);
  });

  test('begins again only with what is there, and with the same around it', () => {
    expect(refusals(tune(1), tune(2, { needs: ['data', 'other'] }), 'tune')).toEqual([
      'tune has begun, and would read other, which has not ended',
    ]);
    expect(refusals(tune(1), tune(2, { when: 'true' }), 'tune')).toEqual(['tune has begun, and its when changed']);
  });
});
