/** Types of expressions before the run: what is accepted, and every problem at its place. */

import { describe, expect, test } from 'vitest';
import { parseExpression } from '../../spec/expression.ts';
import { checkExpression } from '../../spec/expression-check.ts';
import { type ExpressionType, listType, numberType, typeName } from '../../spec/expression-types.ts';

const record = (
  role: 'steps' | 'outputs' | 'params' | 'round' | 'object',
  owner: string,
  fields: object,
): ExpressionType => ({
  type: 'record',
  role,
  owner,
  fields: new Map(Object.entries(fields) as [string, ExpressionType][]),
});
const model: ExpressionType = { type: 'artifact', artifact: 'model' };
const train = record('outputs', 'step "train" (train)', { model, AP: numberType });
const rounds = record('outputs', 'loop "rounds"', { all: listType(record('object', 'a round', { model })) });
const names = new Map([
  ['steps', record('steps', 'the scope', { train, rounds })],
  ['params', record('params', 'the pipeline', { rounds: numberType, name: { type: 'string' } })],
  ['round', record('round', 'round', { index: numberType })],
]);

const check = (source: string) => checkExpression(parseExpression(source), source, names, '"mine"');
const problemsOf = (source: string) =>
  check(source).problems.map(({ code, range }) => `${code} ${source.slice(range.start, range.end)}`);

describe('types', () => {
  test.each([
    ['steps.train.model', 'a model'],
    ['[steps.train.model] + steps.rounds.all.map(r, r.model)', 'a list of models'],
    ['steps.rounds.all[round.index - 1].model', 'a model'],
    ['steps.rounds.all[size(steps.rounds.all) / 2].model', 'a model'],
    ['round.index + 0.5', 'a number'],
    ['size(steps.rounds.all) > 0 ? steps.train.model : null', 'a model'],
    ['[] + [1]', 'a list of numbers'],
    ['has(steps.train.model) && !(params.rounds in [1, 2])', 'true or false'],
    ['string(params.rounds) + params.name', 'text'],
  ])('%s is %s', (source, type) => {
    expect(check(source)).toMatchObject({ problems: [] });
    expect(typeName(check(source).type)).toBe(type);
  });
});

describe('problems', () => {
  test.each([
    ['steps.trian.model', ['UNKNOWN_STEP trian']],
    ['steps.train.modl', ['UNKNOWN_OUTPUT modl']],
    ['params["rouns"] + 1', ['UNKNOWN_PARAM "rouns"']],
    ['stpes.train', ['UNKNOWN_NAME stpes']],
    ['carry.model', ['UNKNOWN_NAME carry']],
    ['steps.rounds.all.model', ['UNKNOWN_NAME model']],
    ['steps.rounds.all.map(r, r.modle)', ['UNKNOWN_NAME modle']],
    ['now()', ['NOT_DETERMINISTIC now']],
    ['size([1].shuffle())', ['NOT_DETERMINISTIC shuffle']],
    ['params.name.matches("x")', ['UNKNOWN_NAME matches']],
    ['size(1, 2)', ['EXPRESSION_SYNTAX size(1, 2)']],
    ['params.name > 3', ['EXPRESSION_TYPE params.name > 3']],
    ['steps.train.model + 1', ['EXPRESSION_TYPE steps.train.model + 1']],
    ['steps.train.AP ? 1 : 2', ['EXPRESSION_TYPE steps.train.AP']],
    ['true ? 1 : "x"', ['EXPRESSION_TYPE "x"']],
    ['[1, "x"]', ['EXPRESSION_TYPE "x"']],
    ['steps.train.model == 3', ['EXPRESSION_TYPE steps.train.model == 3']],
    ['b"bytes"', ['EXPRESSION_TYPE b"bytes"']],
    ['steps.rounds.all["x"]', ['EXPRESSION_TYPE "x"']],
    ['steps[params.name]', ['EXPRESSION_TYPE params.name']],
    [
      'size(steps.trian.model) > "x" && params.nam',
      ['UNKNOWN_PARAM nam', 'EXPRESSION_TYPE size(steps.trian.model) > "x"', 'UNKNOWN_STEP trian'],
    ],
  ])('%s', (source, expected) => {
    expect(problemsOf(source).sort()).toEqual([...expected].sort());
  });

  test('a mistyped name comes with the nearest one', () => {
    expect(check('steps.trian.model').problems[0]).toMatchObject({
      message: '"mine" reads steps.trian.model, but no step is named "trian".',
      hint: 'Did you mean "train"? Steps here: train, rounds.',
    });
  });
});
