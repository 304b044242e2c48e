/** Params from the command line and from defaults, by their types. */

import { describe, expect, test } from 'vitest';
import { readParams } from '../../plan/params.ts';
import type { ParamSpec } from '../../spec/types.ts';

const read = (param: ParamSpec, value: string) => {
  const { values, problems } = readParams({ params: { x: param }, places: new Map() }, { x: value }, true);
  return problems.length > 0 ? problems.map(({ code, message }) => `${code} ${message}`) : values.x;
};

describe('text of the command line', () => {
  test.each([
    ['integer', '2', 2],
    ['integer', '1e3', 1000],
    ['number', '-0.5', -0.5],
    ['boolean', 'true', true],
    ['string', '12', '12'],
    ['string', '', ''],
    ['duration', '1h30m', '1h30m'],
    ['list', 'val,test', ['val', 'test']],
    ['list', '1, 2.5,true', [1, 2.5, true]],
    ['list', '["a,b", 3]', ['a,b', 3]],
    ['list', '', []],
  ] as const)('%s %j', (type, text, value) => {
    expect(read({ type }, text)).toEqual(value);
  });

  test.each([
    ['integer', 'two', 'a whole number'],
    ['integer', '2.5', 'a whole number'],
    ['integer', '', 'a whole number'],
    ['number', 'NaN', 'a number'],
    ['number', 'Infinity', 'a number'],
    ['boolean', 'yes', 'true or false'],
    ['duration', '5 days', 'a duration such as 30s, 45m, 4h, 7d or 1h30m'],
    ['list', '[{"$": "steps"}]', 'a list, such as a,b,c'],
    ['list', '[1', 'a list, such as a,b,c'],
  ] as const)('%s %j is refused', (type, text, expected) => {
    expect(read({ type }, text)).toEqual([`INVALID_PARAM -p x=${text}: expected ${expected}.`]);
  });

  test('ranges and choices hold', () => {
    expect(read({ type: 'integer', minimum: 1, maximum: 3 }, '4')).toEqual([
      'INVALID_PARAM -p x=4: expected a whole number from 1 to 3.',
    ]);
    expect(read({ type: 'string', enum: ['slow', 'fast'] }, 'medium')).toEqual([
      'INVALID_PARAM -p x=medium: expected "slow" or "fast".',
    ]);
  });
});

test('a folder that cannot be read is told with its reason', () => {
  const declared = { params: { data: { type: 'path' } as const }, places: new Map() };
  const { problems } = readParams(declared, { data: { unreadable: './x does not exist.' } }, true);
  expect(problems).toMatchObject([
    { code: 'INVALID_PARAM', message: 'The param "data" names a folder that cannot be read: ./x does not exist.' },
  ]);
});

test('an unknown param comes with the nearest one', () => {
  const { problems } = readParams(
    { params: { rounds: { type: 'integer', default: 2 } }, places: new Map() },
    { rouns: '3' },
    true,
  );
  expect(problems).toMatchObject([{ code: 'UNKNOWN_PARAM', hint: 'Did you mean "rounds"? Params: rounds.' }]);
});
