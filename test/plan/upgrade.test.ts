/** What may change in a run that goes on: here what has an end of its own. */

import { describe, expect, test } from 'vitest';
import { bodyOfRound } from '../../plan/loop-body.ts';
import type { FanOutStep, PlannedScope, PlannedStep, RepeatStep } from '../../plan/types.ts';
import { problemsOfUpgrade, type RunSoFar, roundsWithin, stepsBegunAgain, upgradedScope } from '../../plan/upgrade.ts';
import { activity, fanOut, imported, repeat } from '../small-plans.ts';

const scopeWith = (last: PlannedStep): PlannedScope => {
  const scope = { steps: [activity('a', 'note')], finally: [last] };
  return { steps: [imported('fit', [], { scope })] };
};
const problems = (last: PlannedStep, hasEnded: boolean, recorded: readonly string[] = []) =>
  problemsOfUpgrade(scopeWith(activity('last', 'note')), scopeWith(last), {
    hasBegun: () => true,
    hasEnded: () => hasEnded,
    recorded,
  }).map(({ step, why }) => `${step} ${why}`);

test('the end of a file that has begun may change until a step of it has begun', () => {
  const changed = activity('last', 'note', { with: { value: 1 } });
  expect(problems(changed, false, ['fit', 'fit.a'])).toEqual([]);
  expect(problems(changed, false, ['fit', 'fit.a', 'fit.last'])).toEqual([
    'fit has begun, and in it the finally of a file has begun with fit.last',
  ]);
  expect(problems(activity('last', 'note', { queue: 'gpu' }), false, ['fit.last'])).toHaveLength(1);
});

test('how the end of a file was tried that has ended is history, what it did is not', () => {
  expect(problems(activity('last', 'note', { queue: 'gpu' }), true)).toEqual([]);
  expect(problems(activity('last', 'note', { with: { value: 1 } }), true)).toEqual([
    'fit has ended, and its finally.last.with.value changed',
  ]);
});

describe('a run in parts', () => {
  const note = (id: string, value = 1) => activity(id, 'note', { with: { value } });
  const scope = (...steps: PlannedStep[]): PlannedScope => ({ steps, parts: [0, 2] });
  const whys = (before: PlannedScope, after: PlannedScope, ...recorded: string[]) =>
    problemsOfUpgrade(before, after, {
      hasBegun: (id) => recorded.some((path) => path.split(/[.[]/)[0] === id),
      hasEnded: (id) => id === 'a',
      recorded,
      ended: ['a'],
    }).map(({ step, why }) => `${step} ${why}`);

  test('follows where what has begun stays as it was', () => {
    const before = scope(note('a'), note('b'), note('c'), note('d'));
    expect(whys(before, scope(note('a'), note('b', 2), note('c'), note('d', 2), note('e')), 'a', 'c')).toEqual([]);
    expect(whys(before, scope(note('a', 2), note('b'), note('c', 2), note('d')), 'a', 'c')).toEqual([
      'a has ended, and its with.value changed',
      'c has begun, and its with.value changed',
    ]);
  });

  test('keeps a file with an end and the rounds of a loop where another step of their part changes', () => {
    const fit = imported('fit', [], { scope: { steps: [note('x')], finally: [note('last')] } });
    const before = scope(note('a'), fit, note('c'), note('d'));
    expect(whys(before, scope(note('a'), fit, note('c', 2), note('d')), 'a', 'fit')).toEqual([]);
    expect(whys(before, { steps: [note('a'), fit, note('e')], parts: [0, 1] }, 'a', 'fit')).toEqual([
      'fit has begun, and has a finally of its own, which would run, because its part begins again',
    ]);
    const loop = (max: number) => repeat('loop', [note('x')], { max });
    const rounds = (max: number) => whys(scope(note('a'), loop(5)), scope(note('a'), loop(max)), 'loop[3].x', 'loop');
    expect(rounds(3)).toEqual([]);
    expect(rounds(2)).toEqual(['loop has begun, up to round 3, and its max is 2 now']);
  });
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
  /** What was recorded; `data` alone has ended, and what has a dot behind its path. */
  const soFar = (...paths: string[]): RunSoFar => {
    const recorded = paths.map((path) => path.replace(/\.$/, ''));
    return {
      hasBegun: (id) => recorded.some((path) => path === id || path.startsWith(`${id}[`) || path.startsWith(`${id}.`)),
      hasEnded: (id) => id === 'data',
      recorded,
      ended: recorded.filter((path) => paths.includes(`${path}.`)),
    };
  };
  const refusals = (before: PlannedScope, after: PlannedScope, ...recorded: string[]) =>
    problemsOfUpgrade(before, after, soFar(...recorded)).map(
      ({ step, why, path }) => `${step} ${why}${path === undefined ? '' : ` (${path})`}`,
    );

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

  test('is looked for through files that import others', () => {
    expect(
      refusals(fileWith(note('a', 1), note('b', 1)), fileWith(note('a', 1), note('b', 2)), 'fit', 'fit.inner.a'),
    ).toEqual([]);
    expect(
      refusals(fileWith(note('a', 1), note('b', 1)), fileWith(note('a', 2), note('b', 2)), 'fit', 'fit.inner.a'),
    ).toEqual(['fit has begun, and in it fit.inner.a has, whose with.value changed (fit.inner.a)']);
  });

  describe('is a loop under way: its later rounds', () => {
    const loop = (value: number, changes: Partial<RepeatStep> = {}) =>
      repeat('loop', [note('a', value)], { max: 4, ...changes });
    const file = (value: number, changes: Partial<RepeatStep> = {}) => fileWith(loop(value, changes));
    const inLegs = (value: number, changes: Partial<RepeatStep> = {}): PlannedScope => ({
      steps: [fanOut('tune', [loop(value, changes)], { legs: legs(1, 2) })],
    });
    const loopIn = (scope: PlannedScope): RepeatStep => {
      const [step] = scope.steps;
      return step?.type === 'repeat' ? step : loopIn((step as FanOutStep).scope);
    };
    const valuesOf = (scope: PlannedScope) =>
      [1, 2, 3, 4].map((round) => {
        const [a] = bodyOfRound(loopIn(scope), round).scope.steps;
        return (a as { with: { value?: unknown } }).with.value;
      });
    const never = () => false;

    test('follow, from the first that has begun in no leg', () => {
      expect(refusals(file(1), file(2), 'fit', 'fit.inner.loop', 'fit.inner.loop[1].a')).toEqual([]);
      expect(roundsWithin(file(1), file(2), soFar('fit', 'fit.inner.loop', 'fit.inner.loop[2].a'))).toEqual({
        'fit.inner.loop': 3,
      });
      const begun = ['tune', 'tune[size=1].loop[1].a', 'tune[size=2].loop[2].a', 'tune[size=1].loop'];
      expect(refusals(inLegs(1), inLegs(2), ...begun)).toEqual([]);
      const from = roundsWithin(inLegs(1), inLegs(2), soFar(...begun));
      expect(from).toEqual({ 'tune[].loop': 3 });
      expect(valuesOf(upgradedScope(inLegs(1), inLegs(2), never, from))).toEqual([1, 1, 2, 2]);
      expect(roundsWithin(inLegs(1), inLegs(2), soFar('tune'))).toEqual({});
      expect(valuesOf(upgradedScope(inLegs(1), inLegs(2), never, {}))).toEqual([2, 2, 2, 2]);
    });

    test('stay as they are where something else changes then, and change once more by another edit', () => {
      const once = upgradedScope(file(1), file(2), never, { 'fit.inner.loop': 2 });
      // The file has one body for all rounds, as the newest of the run is.
      expect(stepsBegunAgain(once, file(2), { hasBegun: () => true, hasEnded: never })).toEqual([]);
      const beside = (scope: PlannedScope): PlannedScope => {
        const [fit] = scope.steps as [FanOutStep];
        return { steps: [{ ...fit, scope: { steps: [...fit.scope.steps, note('z', 1)] } }] };
      };
      const begun = ['fit', 'fit.inner.loop', 'fit.inner.loop[2].a'];
      expect(refusals(once, beside(file(2)), ...begun)).toEqual([]);
      expect(roundsWithin(once, beside(file(2)), soFar(...begun))).toEqual({});
      expect(valuesOf(upgradedScope(once, beside(file(2)), never, {}))).toEqual([1, 2, 2, 2]);
      const twice = upgradedScope(once, file(3), never, roundsWithin(once, file(3), soFar(...begun)));
      expect(valuesOf(twice)).toEqual([1, 2, 3, 3]);
    });

    test('may be more or fewer, but no fewer than have begun', () => {
      const begun = ['fit', 'fit.inner.loop', 'fit.inner.loop[3].a'];
      expect(refusals(file(1), file(1, { max: 9 }), ...begun)).toEqual([]);
      expect(loopIn(upgradedScope(file(1), file(1, { max: 9 }), never, { 'fit.inner.loop': 4 }))).toEqual(
        loop(1, { max: 9 }),
      );
      expect(refusals(file(1), file(1, { max: 3 }), ...begun)).toEqual([]);
      expect(refusals(file(1), file(1, { max: 2 }), ...begun)).toEqual([
        'fit has begun, and in it fit.inner.loop has, up to round 3, and its max is 2 now (fit.inner.loop)',
      ]);
      expect(refusals(file(1), file(1, { max: { $: 'params.n' } }), ...begun)).toEqual([
        'fit has begun, and in it fit.inner.loop has, and its max changed to what only the run will know (fit.inner.loop)',
      ]);
    });

    test('are all there were where the loop has ended, and begin with what it began with', () => {
      const ended = ['tune', 'tune[size=1].loop.', 'tune[size=1].loop[4].a', 'tune[size=2].loop[1].a'];
      expect(refusals(inLegs(1), inLegs(2), ...ended)).toEqual([
        'tune has begun, and in it tune[size=1].loop has, whose steps.a.with.value changed (tune[size=1].loop)',
      ]);
      expect(refusals(file(1), file(1, { carry: { x: 1 } }), 'fit', 'fit.inner.loop')).toEqual([
        'fit has begun, and in it fit.inner.loop has, whose carry.x changed; only what later rounds do can (fit.inner.loop)',
      ]);
    });
  });

  test('is looked for in the leg that a fork has changed, too, and in that one alone', () => {
    const forked = (value: number, scope: PlannedStep[] = [note('x', 1), note('z', value, ['x'])]) =>
      tune(1, { forked: [{ leg: 'size=2', scope: { steps: scope } }] });
    expect(refusals(forked(1), forked(2), 'tune', 'tune[size=1].z', 'tune[size=2].x')).toEqual([]);
    expect(refusals(forked(1), forked(2), 'tune', 'tune[size=2].z')).toEqual([
      'tune has begun, and in it tune[size=2].z has, whose with.value changed (tune[size=2].z)',
    ]);
    const looping = (value: number) => forked(1, [repeat('loop', [note('a', value)], { max: 4 })]);
    const begun = ['tune', 'tune[size=2].loop[1].a', 'tune[size=1].loop[3].a'];
    const from = roundsWithin(looping(1), looping(2), soFar(...begun));
    expect(from).toEqual({ 'tune[size=2].loop': 2 });
    const [, , after] = upgradedScope(looping(1), looping(2), () => false, from).steps;
    expect(after).toMatchObject({ forked: [{ leg: 'size=2', scope: { steps: [{ bodies: [{ from: 2 }] }] } }] });
  });

  test('begins again only with what is there, and with the same around it', () => {
    expect(refusals(tune(1), tune(2, { needs: ['data', 'other'] }), 'tune')).toEqual([
      'tune has begun, and would read other, which has not ended',
    ]);
    expect(refusals(tune(1), tune(2, { when: 'true' }), 'tune')).toEqual(['tune has begun, and its when changed']);
  });
});
