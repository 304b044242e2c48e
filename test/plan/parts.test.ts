/** Scopes that are too large for one workflow, and what their steps cost it. */

import { expect, test } from 'vitest';
import { eventsMax } from '../../plan/limits.ts';
import { plannedScope, withFinally } from '../../plan/parts.ts';
import { eventsOfStep, partsOfScope } from '../../plan/step-events.ts';
import { activity, cel, fanOut, repeat } from '../small-plans.ts';

test('a step costs the workflow of its scope the same, whatever is inside', () => {
  const few = repeat('rounds', [activity('a', 'note')], { max: 3 });
  const more = repeat('rounds', [activity('a', 'note'), activity('b', 'note')], { max: 3 });
  expect(eventsOfStep(activity('a', 'note'))).toBe(6);
  expect(eventsOfStep(more)).toBe(eventsOfStep(few));
});

test('loops and legs of any number cost less than a history may have', () => {
  const legs = fanOut('legs', [activity('', 'note')], { legs: { forEach: cel('steps.a.list') } });
  const rounds = repeat('rounds', [activity('a', 'note')], { max: cel('steps.a.value'), endWhenEmpty: 'select' });
  expect([eventsOfStep(legs), eventsOfStep(rounds)].map((events) => events < eventsMax)).toEqual([true, true]);
});

test('a scope with too many steps has parts, each after those it needs and none too long', () => {
  const steps = Array.from({ length: 2_000 }, (_, i) =>
    activity(`s${i}`, 'note', { needs: i === 0 ? [] : [`s${i - 1}`] }),
  );
  const scope = plannedScope(steps);
  expect(scope.parts).toEqual([0, 500, 1_000, 1_500]);
  expect(partsOfScope(scope).flat()).toEqual(steps);
  expect(plannedScope(steps.slice(0, 500)).parts).toBeUndefined();
});

test('the end of a scope has parts of its own where the workflow of the scope has no room for it', () => {
  const steps = (count: number, name: string) =>
    Array.from({ length: count }, (_, i) => activity(`${name}${i}`, 'note'));
  expect(withFinally(plannedScope(steps(3, 's')), [])).toEqual({ steps: steps(3, 's') });
  expect(withFinally(plannedScope(steps(300, 's')), steps(200, 'e')).finallyParts).toBeUndefined();
  const both = withFinally(plannedScope(steps(300, 's')), steps(201, 'e'));
  expect([both.parts, both.finallyParts]).toEqual([undefined, [0]]);
  const large = withFinally(plannedScope(steps(2_000, 's')), steps(600, 'e'));
  expect([large.parts!.length, large.finallyParts]).toEqual([4, [0, 500]]);
});
