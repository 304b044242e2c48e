/** TypeScript of an expression gives what its CEL gives, also where that is a failure or nothing. */

import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { Json } from '../../plan/types.ts';
import { type Names, nameOf, negated, typescriptOf } from '../../plan/typescript/expression.ts';
import { typeOfJson } from '../../plan/value-types.ts';
import { AbsentValueError, evaluateExpression } from '../../spec/expression.ts';
import { anyType } from '../../spec/expression-types.ts';
import * as library from '../../workflows/compiled/values.ts';

const train = { AP: 0.5, steps: 7, name: 'small', parts: [1, 2.5, 4], tags: ['b', 'a'], site: { size: 2 }, gone: null };
const foreign = { value: 3, text: 'x', list: [1, 'a'], object: { k: 1 } } as { readonly [name: string]: Json };
const steps: { readonly [id: string]: { readonly [name: string]: Json } } = { train, foreign };

const names: Names = {
  steps: new Map([
    ['train', nameOf('train.out', typeOfJson(train))],
    ['foreign', nameOf('foreign.out', record(foreign))],
    ['skipped', nameOf('skipped.out', typeOfJson(train))],
  ]),
  others: new Map([['round', nameOf('round', typeOfJson({ index: 2 }))]]),
};

/** What another program gives has any type. */
function record(values: { readonly [name: string]: Json }) {
  const type = typeOfJson(values);
  if (type.type !== 'record') throw new Error('Internal error: no record.');
  return { ...type, fields: new Map([...type.fields.keys()].map((name) => [name, anyType])) };
}

function fromTypeScript(code: string): Json {
  const skipped = {
    get out() {
      throw new AbsentValueError('steps.skipped');
    },
  };
  const seen = {
    train: { out: library.present(train, 'steps.train') },
    foreign: { out: library.present(foreign, 'steps.foreign') },
    skipped,
    round: { index: 2 },
  };
  return library.plain(runInNewContext(`(${code})`, { ...library, ...seen }));
}

const outcomeOf = (compute: () => Json): Json => {
  try {
    // Another realm's lists are no lists of this one.
    return { value: JSON.parse(JSON.stringify(compute())) as Json };
  } catch (error) {
    return error instanceof AbsentValueError ? 'absent' : 'failed';
  }
};

const written: readonly (readonly [cel: string, code: string])[] = [
  ['steps.train.AP > 0.4', 'train.out.AP > 0.4'],
  ['5 / 2', '5 / 2'],
  ['-steps.train.steps % 4', '-train.out.steps % 4'],
  ['1 - (2 - 3)', '1 - (2 - 3)'],
  ['(1 + 2) * 3', '(1 + 2) * 3'],
  [
    'has(steps.skipped.AP) ? steps.skipped.AP : steps.train.AP',
    'has(() => skipped.out.AP) ? skipped.out.AP : train.out.AP',
  ],
  ['[steps.train.AP] + steps.train.parts', '[train.out.AP, ...train.out.parts]'],
  ['steps.train.parts.map(p, p * 2)', 'train.out.parts.map((p) => p * 2)'],
  ['steps.train.parts[round.index - 1]', 'at(train.out.parts, round.index - 1)'],
  ['steps.foreign.value / steps.foreign.value', 'divide(number(foreign.out.value), number(foreign.out.value))'],
  ['true || false && true', 'true || (false && true)'],
];

test.each(written)('%s is written as %s', (cel, code) => {
  expect(typescriptOf(cel, names, new Set()).code).toBe(code);
});

test('a condition is negated as a person would', () => {
  expect(negated('!(1 > 2)', names, new Set())).toBe('1 > 2');
  expect(negated('round.index > 2', names, new Set())).toBe('!(round.index > 2)');
  expect(negated('has(steps.train.AP)', names, new Set())).toBe('!has(() => train.out.AP)');
});

describe('TypeScript gives what CEL gives', () => {
  test.each([
    ...written.map(([cel]) => cel),
    'steps.skipped.AP',
    'steps.train.absent',
    'has(steps.train.absent)',
    'has(steps.train.gone)',
    'steps.train.parts[3]',
    'steps.train.parts[0.5]',
    'steps.foreign.list[2]',
    'steps.foreign.list[1] + "b"',
    'steps.foreign.object.k + 1',
    'steps.foreign.object.l',
    'steps.foreign.object["k"]',
    'steps.foreign.text + 1',
    'steps.foreign.value > 2 && steps.foreign.text < "y"',
    'steps.foreign.value < steps.foreign.text',
    'steps.foreign.text ? 1 : 2',
    '1 / (steps.train.steps - 7)',
    '1 % (steps.train.steps - 7)',
    '1e308 * 10',
    '"a" in ["a", "b"] && !(3 in steps.train.parts)',
    '"size" in steps.train.site',
    'steps.foreign.value in [1, 3]',
    'steps.train.site == {"size": 2}',
    'steps.train.parts != [1, 2.5, 4]',
    '1 == 1.0',
    'steps.train.gone == null',
    'size(steps.train.name) + size(steps.train.parts) + size(steps.train.site) + steps.train.tags.size()',
    'size(steps.foreign.value)',
    'int(2.9) + int("-3") + double("1e1")',
    'int("0x10")',
    'string(1.5) + string(true) + string(steps.foreign.text)',
    'string(steps.foreign.list)',
    'min(3, steps.train.AP) + max(steps.train.parts) + min(steps.foreign.value, 2)',
    'min([])',
    'steps.train.tags.join("-") + steps.train.parts.join() + steps.foreign.list.join("+")',
    'steps.train.tags.filter(t, t.startsWith("a") || t.endsWith("z") || t.contains("q"))',
    'steps.train.parts.all(p, p > 0) && steps.train.parts.exists(p, p > 3) && steps.train.parts.exists_one(p, p > 3)',
    'steps.train.parts.map(p, p > 1, p > 2 ? "big" : "small")',
    'steps.foreign.list.map(x, string(x))',
    'steps.foreign.value.map(x, x)',
    '{"a": steps.train.AP, "b-c": [1]}',
    'true ? null : steps.train.AP',
    "'it\\'s \"quoted\"'",
    'steps.train.parts.map(class, class + 1)',
  ])('%s', (cel) => {
    const { code } = typescriptOf(cel, names, new Set());
    expect(
      outcomeOf(() => fromTypeScript(code)),
      code,
    ).toEqual(outcomeOf(() => evaluateExpression(cel, { steps, round: { index: 2 } })));
  });
});
