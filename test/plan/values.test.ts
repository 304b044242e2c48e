/** Values of a plan, as the workflow resolves them. */

import { expect, test } from 'vitest';
import type { PlannedValue } from '../../plan/types.ts';
import { resolveValue } from '../../plan/values.ts';
import { AbsentValueError } from '../../spec/expression.ts';

const scope = { steps: { train: { model: 'm', AP: 0.5 }, rounds: { all: [{ model: 'r' }] } }, round: { index: 2 } };

test('expressions anywhere in a value get theirs, and keep their types', () => {
  const value = {
    models: { $: '[steps.train.model] + steps.rounds.all.map(r, r.model)' },
    list: [{ $: 'steps.train.AP' }, 'x'],
    title: { $text: ['round ', { $: 'round.index' }, ' of ', { $: 'steps.train.model' }] },
    plain: { nested: { none: null } },
  };
  expect(resolveValue(value, scope)).toEqual({
    models: ['m', 'r'],
    list: [0.5, 'x'],
    title: 'round 2 of m',
    plain: { nested: { none: null } },
  });
});

test('an expression that gives null leaves its key out', () => {
  expect(resolveValue({ init: { $: 'has(steps.x.model) ? steps.x.model : null' }, epochs: 3 }, scope)).toEqual({
    epochs: 3,
  });
});

test('reading what a skipped step would have given says what is absent', () => {
  expect(() => resolveValue({ init: { $: 'steps.x.model' } }, scope)).toThrow(AbsentValueError);
});

test('a secret within text stays its name, with the text between in one piece', () => {
  const parts: PlannedValue[] = ['Bearer ', { $secret: 'HUB' }, ' of round ', { $: '1 + 1' }, { $secret: 'OTHER' }];
  expect(resolveValue({ header: { $text: parts } }, { steps: {} })).toEqual({
    header: { $text: ['Bearer ', { $secret: 'HUB' }, ' of round 2', { $secret: 'OTHER' }] },
  });
});

test('what only looks like a secret is none within text', () => {
  const given = { steps: { x: { value: { $secret: 'HUB' } } } };
  expect(() => resolveValue({ $text: ['Bearer ', { $: 'steps.x.value' }] }, given)).toThrow('cannot be part of a text');
});
