/** Answers against forms: every kind of field, defaults, and what is said of an answer that does not fit. */

import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { completeAnswer, type Form, type FormField, faultsOfForm, problemOfAnswer } from '../../plan/form.ts';
import type { Json } from '../../plan/types.ts';

const form: Form = {
  properties: {
    go: { type: 'boolean' },
    epochs: { type: 'integer', minimum: 1, maximum: 100, default: 30 },
    size: { type: 'string', enum: ['small', 'large'] },
    rates: { type: 'array', items: { type: 'number', exclusiveMinimum: 0 }, minItems: 1, uniqueItems: true },
  },
  required: ['go', 'epochs'],
};

test('an answer may leave out what has a default or is not required', () => {
  expect(problemOfAnswer(form, { go: true })).toBeNull();
  expect(completeAnswer(form, { rates: [0.1], go: true })).toEqual({ go: true, epochs: 30, rates: [0.1] });
});

test('every fault of an answer is said at once, with what is expected', () => {
  expect(problemOfAnswer(form, { epochs: 0, size: 'huge', rates: [], note: 'x' })).toBe(
    'The form has no field "note"; its fields: go, epochs, rates, size. "go" is missing; expected true or false. ' +
      '"epochs" is 0; expected a whole number from 1 to 100. ' +
      '"rates" is []; expected a list whose entries are each a number above 0, none twice with at least 1 of them. ' +
      '"size" is "huge"; expected "small" or "large".',
  );
  expect(problemOfAnswer(form, ['go'])).toBe(
    'An answer is an object with "go", "epochs", "rates", "size", not ["go"].',
  );
  expect(problemOfAnswer(form, undefined)).toMatch(/, not nothing\.$/);
});

describe('a field accepts what JSON Schema accepts', () => {
  const fields: FormField[] = [
    { type: 'boolean' },
    { type: 'integer', minimum: -2, maximum: 3 },
    { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
    { type: 'number', multipleOf: 0.1 },
    { type: 'string', minLength: 2, maxLength: 3 },
    { type: 'string', pattern: '^a+$' },
    { type: 'string', enum: ['aa', 'b'] },
    { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 2 },
    { type: 'array', items: { type: 'integer' }, uniqueItems: true },
  ];
  const values: Json[] = [true, false, null, 0, 1, 3, 4, -2.5, 0.3, 0.75, '', 'a', 'aa', 'b', '💚💚', 'aaaa'];
  values.push([], ['a'], ['a', 'b'], ['a', 'b', 'c'], [1, 1], [1, 2], { a: 1 });

  test.each(fields.map((field) => [JSON.stringify(field), field] as const))('%s', (_, field) => {
    // ajv calls 0.3 no multiple of 0.1, as binary has it; a person calls it one.
    const ajv = new Ajv2020({ multipleOfPrecision: 9 });
    const validate = ajv.compile(field);
    const accepted = values.filter((value) => problemOfAnswer({ properties: { f: field } }, { f: value }) === null);
    expect(accepted).toEqual(values.filter((value) => validate(value)));
  });
});

test('a form that contradicts itself says where', () => {
  const broken: Form = {
    properties: {
      by: { type: 'string' },
      epochs: { type: 'integer', default: 1.5 },
      name: { type: 'string', pattern: '(' },
    },
    required: ['go'],
  };
  expect(faultsOfForm(broken)).toEqual([
    { pointer: '/required/0', message: '"go" is required, but the form has no such field.' },
    { pointer: '/properties/by', message: '"by" cannot be a field: every gate has an output of that name.' },
    { pointer: '/properties/epochs/default', message: '"epochs.default" is 1.5; expected a whole number.' },
    { pointer: '/properties/name/pattern', message: '"(" is no regular expression.' },
  ]);
});
