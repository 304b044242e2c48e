/** What holds of a run after each operation, and which steps an operation is about. */

import { describe, expect, test } from 'vitest';
import type { Json, OperationRecord } from '../../plan/types.ts';
import { problemOfOperation, type Situation } from '../../workflows/operation-check.ts';
import { dependentsOf, missingPart, rootStepOf, stepPaths } from '../../workflows/plan-paths.ts';
import { merged, noOrders, ordersAfter } from '../../workflows/standing-orders.ts';
import { activity, cel, fanOut, repeat } from '../small-plans.ts';

//  a ── b ── rounds (x ── y)       c
const scope = {
  steps: [
    activity('a', 'note'),
    activity('b', 'note', { needs: ['a'] }),
    activity('c', 'note'),
    repeat('rounds', [activity('x', 'note'), activity('y', 'note', { needs: ['x'] })], { needs: ['b'] }),
  ],
};

const operation = (name: OperationRecord['operation'], more: Partial<OperationRecord> = {}): OperationRecord => ({
  operation: name,
  at: '2026-01-02T03:04:05.000Z',
  number: 1,
  by: 'ada',
  ...more,
});

const ordersOf = (...operations: OperationRecord[]) => operations.reduce(ordersAfter, noOrders);

describe('orders', () => {
  test('hold until they are taken back', () => {
    expect(ordersOf(operation('pause', { now: true })).pause).toEqual({ now: true });
    expect(ordersOf(operation('pause'), operation('resume'))).toMatchObject({ pause: null, version: 2 });
    expect(ordersOf(operation('pause'), operation('cancel')).pause).toBeNull();
    const skip = operation('skip', { steps: ['a'], reason: 'no data' });
    expect(ordersOf(skip).skipped).toEqual({ a: 'skipped by ada: no data' });
    expect(ordersOf(skip, operation('reset', { steps: ['a'] })).skipped).toEqual({});
  });

  test('change parameters one after another, mappings key by key', () => {
    const first = operation('retry', { steps: ['a'], set: { epochs: 2, replay: { share: 0.5, from: 'x' } } });
    const second = operation('reset', { steps: ['a'], set: { replay: { share: 0.1 } } });
    expect(ordersOf(first, second).changed).toEqual({ a: { epochs: 2, replay: { share: 0.1, from: 'x' } } });
    const model: Json = { artifact: 'model', digest: 'd', bytes: 1 };
    expect(merged({ model, list: [1, 2] }, { model: { digest: 'e' }, list: [3] })).toEqual({
      model: { digest: 'e' },
      list: [3],
    });
  });
});

describe('a path', () => {
  test('is shown as people look for it', () => {
    expect(stepPaths(scope)).toEqual(['a', 'b', 'c', 'rounds', 'rounds[N].x', 'rounds[N].y']);
    expect(rootStepOf('rounds[2].x')).toBe('rounds');
  });

  test('that no run can have is told with what there is', () => {
    const legs = { matrix: [1, 2].map((size) => ({ name: `size=${size}`, values: { size } })) };
    const inner = fanOut('tune', [activity('x', 'note')], { legs });
    const whole = {
      steps: [inner, repeat('rounds', [inner], { max: 2 }), repeat('open', [inner], { max: cel('1 + 1') })],
    };
    const missing = (path: string) => missingPart(whole, path);
    expect(missing('rounds[3].tune[size=1].x')).toBe('the loop rounds has 2 rounds at most.');
    expect(missing('tune[size=3].x')).toBe('the legs of tune are size=1, size=2.');
    expect(missing('open[9].tune[size=3].x')).toBe('the legs of tune are size=1, size=2.');
    expect(missing('rounds[2]')).toBe('that is a whole round. Name a step in it: rounds[2].tune.');
    expect(missing('rounds[2].tune[size=1]')).toBe('that is a whole leg. Name a step in it: rounds[2].tune[size=1].x.');
    for (const path of ['tune', 'rounds[2].tune[size=2].x', 'open[9].tune', 'tune.x', 'tune[', '']) {
      expect(missing(path), path).toBeNull();
    }
  });

  test('of a step is followed by all that needs it', () => {
    expect([...dependentsOf(scope, 'a')]).toEqual(['a', 'b', 'rounds']);
    expect([...dependentsOf(scope, 'c')]).toEqual(['c']);
  });
});

describe('an operation is refused', () => {
  const situation: Situation = {
    run: 'r',
    scope,
    orders: noOrders,
    held: ['rounds[1].x'],
    cancelled: false,
    events: 100,
    isCompiled: false,
    beginsAgain: false,
    hasEnded: (id) => id === 'c',
  };
  const problem = (name: string, message: unknown, more: Partial<Situation> = {}) =>
    problemOfOperation(name, message, { ...situation, ...more });

  test('where nobody asks for it, or it has no known form', () => {
    expect(problem('pause', null)).toBe('The message of "pause" is an object with "by" (who asks).');
    expect(problem('pause', {})).toBe('"pause" needs "by": who asks.');
    expect(problem('pause', { by: 'ada', reason: 3 })).toBe('"reason" is a text.');
    expect(problem('pause', { by: 'ada', now: 'yes' })).toBe('"now" is true or false.');
    expect(problem('reset', { by: 'ada', path: 'a', set: {} })).toBe(
      '"set" is an object of parameters and their new values.',
    );
    expect(problem('reset', { by: 'ada', path: 'rounds', set: { max: 3 } })).toBe(
      'rounds has no parameters of its own that could be changed.',
    );
    expect(problem('retry', { by: 'ada', set: { x: 1 } })).toBe('Changed parameters need the "path" of their step.');
  });

  test('where there is nothing to do', () => {
    const paused = { orders: { ...noOrders, pause: { now: false } } };
    expect(problem('pause', { by: 'ada' }, paused)).toBe('The run r is paused already.');
    // What runs can still be stopped.
    expect(problem('pause', { by: 'ada', now: true }, paused)).toBeNull();
    expect(problem('pause', { by: 'ada' }, { events: 3_801 })).toBe(
      'The run r has taken so many messages in one history of its workflow, which it cannot leave now, that it is not paused any more.',
    );
    expect(problem('resume', { by: 'ada' }, { ...paused, events: 3_801 })).toBeNull();
    // Its own steps alone may take it there.
    expect(problem('pause', { by: 'ada' }, { events: 40_000, isCompiled: true })).toBeNull();
    expect(problem('pause', { by: 'ada' }, { events: 45_001, isCompiled: true })).toBe(
      'The run r has a compiled workflow, which stays in one history, and that has become so long that it is not paused any more.',
    );
    expect(problem('resume', { by: 'ada' })).toBe('The run r is not paused, so there is nothing to resume.');
    expect(problem('retry', { by: 'ada' }, { held: [] })).toBe('No step of r is held, so there is nothing to retry.');
    expect(problem('skip', { by: 'ada', path: 'c', reason: 'x' })).toBe('The step c of r has ended already.');
    expect(problem('skip', { by: 'ada', path: 'q', reason: 'x' })).toBe(
      'The run r has no step "q". Its steps: a, b, c, rounds, rounds[N].x, rounds[N].y.',
    );
    expect(problem('resume', { by: 'ada' }, { cancelled: true })).toBe('The run r is being cancelled.');
  });
});
