/** CEL expressions: numbers as people mean them, what is absent, limits, references. */

import { describe, expect, test } from 'vitest';
import { AbsentValueError, ExpressionError, evaluateExpression, parseExpression } from '../../spec/expression.ts';
import { referencesOf } from '../../spec/expression-references.ts';
import { bareExpression, splitExpressions } from '../../spec/expression-text.ts';

const model = { artifact: 'model', digest: 'ab', bytes: 3 };
const scope = {
  steps: {
    train: { model, AP: 0.5, steps: 7 },
    rounds: {
      all: [
        { model: 'm1', AP: 1 },
        { model: 'm2', AP: 2 },
      ],
      last: { model: 'm2', AP: 2 },
    },
    none: { all: [] },
    skipped: {},
  },
  carry: { model },
  round: { index: 2 },
};
const evaluate = (source: string) => evaluateExpression(source, scope);

describe('numbers', () => {
  test.each([
    ['round.index + 1', 3],
    ['5 / 2', 2.5],
    ['1 == 1.0', true],
    ['steps.train.AP > 0', true],
    ['steps.train.AP * 2 + 1', 2],
    ['size(steps.rounds.all) / 2 < 0.3', false],
    ['size(steps.rounds.all) > 0 && steps.train.steps / 2 < 3.6', true],
    ['steps.rounds.all[round.index - 1].model', 'm2'],
    ['steps.rounds.all[size(steps.rounds.all) - 1].AP - 0.5', 1.5],
    ['7 % 4', 3],
    ['-steps.train.AP', -0.5],
    ['1e3 + 0x10', 1016],
    ['int(2.7)', 2],
    ['int("12") + double("0.5")', 12.5],
    ['max(1, 2.5, round.index)', 2.5],
    ['min([3, 1.5])', 1.5],
    ['2 in [1.0, 2.0]', true],
  ])('%s is %j', (source, value) => {
    const result = evaluate(source);
    expect(result).toBe(value);
    expect(typeof result).not.toBe('bigint');
  });

  test.each(['1 / 0', '5 % 0', '1e308 * 10'])('%s is no number', (source) => {
    expect(() => evaluate(source)).toThrow(ExpressionError);
  });
});

describe('values', () => {
  test.each([
    ['steps.train.model', model],
    ['[steps.train.model] + [carry.model]', [model, model]],
    ['steps.rounds.all.map(r, r.model)', ['m1', 'm2']],
    ['steps.rounds.all.map(r, r.AP > 1, r.model)', ['m2']],
    ['steps.rounds.all.filter(r, r.AP > 1).size()', 1],
    ['steps.rounds.all.exists(r, r.AP == 2)', true],
    ['steps.rounds.all.all(r, r.AP == 2)', false],
    ['steps.rounds.all.exists_one(r, r.AP == 2)', true],
    ['["a", "b"].join("+")', 'a+b'],
    ['"hard-cases".startsWith("hard") && "abc".contains("b")', true],
    ['string(1.5) + "x"', '1.5x'],
    ['steps.train.AP > 0.4 ? "good" : "bad"', 'good'],
    ['{"a": 1}.a', 1],
    ['steps.train.model == carry.model', true],
    ['!(1 > 2 || false)', true],
    ['null', null],
  ])('%s', (source, value) => {
    expect(evaluate(source)).toEqual(value);
  });
});

describe('what is not there', () => {
  test.each([
    ['steps.skipped.model', 'steps.skipped.model'],
    ['steps.missing.model', 'steps.missing'],
    ['[steps.train.model, steps.none.last.model]', 'steps.none.last'],
  ])('%s tells what is absent', (source, reference) => {
    expect(() => evaluate(source)).toThrow(AbsentValueError);
    expect(() => evaluate(source)).toThrow(`${reference} is not there.`);
  });

  test('has() asks before', () => {
    expect(evaluate('has(steps.skipped.model) ? steps.skipped.model : steps.train.model')).toEqual(model);
    expect(evaluate('has(steps.none.last)')).toBe(false);
    expect(evaluate('has(steps.rounds.last.model)')).toBe(true);
  });

  test('inherited properties are not there either', () => {
    expect(() => evaluate('steps.constructor')).toThrow(AbsentValueError);
    expect(() => evaluate('steps.train.__proto__')).toThrow(AbsentValueError);
    expect(() => evaluate('toString("x")')).toThrow(ExpressionError);
    expect(() => evaluate('"x".constructor("y")')).toThrow(ExpressionError);
  });

  test('an index is that of an entry', () => {
    expect(() => evaluate('steps.rounds.all[2]')).toThrow('Index 2 of a list with 2 entries');
    expect(() => evaluate('steps.rounds.all[0.5]')).toThrow(ExpressionError);
    expect(() => evaluate('steps.rounds.all[-1]')).toThrow(ExpressionError);
  });
});

describe('limits', () => {
  test.each([
    ['long', `"${'x'.repeat(10_001)}"`],
    ['deep', `${'('.repeat(100)}1${')'.repeat(100)}`],
    ['deep without brackets', `${'-'.repeat(3000)}1`],
    ['wide', Array.from({ length: 3000 }, () => '1').join('+')],
    ['endless', hungry()],
  ])('%s', (_, source) => {
    expect(() => evaluate(source)).toThrow(expect.objectContaining({ code: 'EXPRESSION_LIMIT' }));
  });
});

/** Loops in loops: 20^6 steps. */
function hungry(): string {
  const list = `[${Array.from({ length: 20 }, (_, i) => i).join(',')}]`;
  return ['a', 'b', 'c', 'd', 'e', 'f'].reduce((body, name) => `${list}.map(${name}, ${body})`, '1');
}

describe('references', () => {
  const read = (source: string) =>
    referencesOf(parseExpression(source)).map(({ root, keys, range }) => [
      [root, ...keys.map(({ name }) => name)].join('.'),
      source.slice(range.start, range.end),
    ]);

  test('are found with their places, names of elements apart', () => {
    expect(read('[steps.model1.model] + steps.rounds.all.map(r, r.model + steps["x"].y)')).toEqual([
      ['steps.model1.model', 'steps.model1.model'],
      ['steps.rounds.all', 'steps.rounds.all'],
      ['steps.x.y', 'steps["x"].y'],
    ]);
  });

  test('of a list stop at the index', () => {
    expect(read('steps.rounds.all[round.index - 1].dataset')).toEqual([
      ['steps.rounds.all', 'steps.rounds.all'],
      ['round.index', 'round.index'],
    ]);
  });
});

describe('expressions in text', () => {
  test('one alone keeps its type, with text around it is a part', () => {
    expect(splitExpressions(' ${{ a.b }} ').whole?.source).toBe('a.b');
    expect(
      splitExpressions('x ${{ a }}-${{ b }}').parts.map((part) => (typeof part === 'string' ? part : part.source)),
    ).toEqual(['x ', 'a', '-', 'b']);
  });

  test('braces of maps and in strings do not end it', () => {
    expect(splitExpressions('${{ {"a": {"b": "}}"}}.a }}').whole?.source).toBe('{"a": {"b": "}}"}}.a');
    expect(splitExpressions('${{ a').unclosedAt).toBe(0);
  });

  test('conditions are bare or wrapped', () => {
    expect(bareExpression(' a > 1 ')?.source).toBe('a > 1');
    expect(bareExpression('${{ a > 1 }}')?.source).toBe('a > 1');
    expect(bareExpression('x ${{ a > 1 }}')).toBeNull();
  });
});

describe('what would not end', () => {
  const doubled = (times: number) => `[[1, 2]]${'.map(a, a + a)'.repeat(times)}`;
  test.each([
    ['a list doubled 40 times', doubled(40), /steps/],
    ['a text doubled 40 times', `["ab"]${'.map(a, a + a)'.repeat(40)}`, /characters/],
    ['a tree of shared lists', `[1]${'.map(a, [a, a])'.repeat(40)}`, /values/],
    ['two such trees compared', `[1]${'.map(a, [a, a])'.repeat(25)} == [1]${'.map(a, [a, a])'.repeat(25)}`, /steps/],
    [
      'a text joined from itself',
      `[["x", "y"]]${'.map(a, [a.join("0123456789"), a.join("")])'.repeat(30)}`,
      /characters/,
    ],
  ])('%s', (_, source, message) => {
    const start = performance.now();
    expect(() => evaluateExpression(source, { steps: {} })).toThrow(message);
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test('a list of a thousand entries is none of it', () => {
    const steps = { rounds: { all: Array.from({ length: 1000 }, (_, i) => ({ AP: i })) } };
    expect(evaluateExpression('max(steps.rounds.all.map(r, r.AP))', { steps })).toBe(999);
  });
});

test.each(['9007199254740993', 'int("0x10")', 'double(" 5")', 'int("")'])('%s is refused, not rounded', (source) => {
  expect(() => evaluateExpression(source, { steps: {} })).toThrow(ExpressionError);
});
