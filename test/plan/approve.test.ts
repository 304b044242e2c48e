/** What the compiler makes of `approve` steps: the types of their outputs, and every fault of a form. */

import { describe, expect, test } from 'vitest';
import { planOf, problemsOf, stepOf } from './compile-text.ts';

const pipeline = (approve: string, rest = '') => `
name: asks
params: { patience: { type: duration, default: 2d } }
steps:
  data: { uses: synthesize }
  ok:
    approve:
${approve
  .trim()
  .split('\n')
  .map((line) => `      ${line}`)
  .join('\n')}
${rest}`;

test('a gate has its form, its people and its times', () => {
  const plan = planOf(
    pipeline(`
message: "Train on \${{ steps.data.dataset.images }}?"
form: { properties: { go: { type: boolean }, epochs: { type: integer, minimum: 1, default: 30 } }, required: [go] }
assignees: [ann, ben]
after: { remind: 4h, escalate: { in: "\${{ params.patience }}", to: [cleo] }, expire: { in: 7d, then: { go: false } } }
`).replace('.images }}', ' == steps.data.dataset }}'),
  );
  expect(stepOf(plan, 'ok')).toEqual({
    type: 'approve',
    kind: 'approve',
    version: 1,
    id: 'ok',
    needs: ['data'],
    with: {
      message: { $text: ['Train on ', { $: 'steps.data.dataset == steps.data.dataset' }, '?'] },
      assignees: ['ann', 'ben'],
      after: { remind: '4h', escalate: { in: '2d', to: ['cleo'] }, expire: { in: '7d' } },
    },
    form: {
      type: 'object',
      properties: { go: { type: 'boolean' }, epochs: { type: 'integer', minimum: 1, default: 30 } },
      required: ['go'],
    },
    expired: { go: false, epochs: 30 },
    onFailure: 'hold',
  });
});

test('a gate without a form asks for a yes or no', () => {
  const plan = planOf(pipeline('message: Go on?', '  after: { uses: synthesize, when: steps.ok.approved }'));
  expect(stepOf(plan, 'ok')).toMatchObject({ form: { required: ['approved'] }, onFailure: 'hold' });
  expect(stepOf(planOf(pipeline('after: { expire: { in: 1d, then: fail } }')), 'ok')).toMatchObject({
    expired: 'fail',
    onFailure: 'fail',
  });
});

describe('the answer is typed by the form', () => {
  const form =
    'form: { properties: { go: { type: boolean }, epochs: { type: integer }, sizes: { type: array, items: { type: number } } } }';
  const read = (expression: string) => problemsOf(pipeline(form, `  after: { uses: synthesize, when: ${expression} }`));

  test.each([
    'steps.ok.go',
    'steps.ok.epochs > 3',
    'steps.ok.sizes[0] < 1 && !steps.ok.expired',
    "steps.ok.by == 'ann'",
  ])('%s', (expression) => expect(read(`"${expression}"`)).toEqual([]));

  test.each([
    ['steps.ok.epochs', '8 EXPRESSION_TYPE steps.ok.epochs'],
    ['steps.ok.gone', '8 UNKNOWN_OUTPUT gone'],
    ['steps.ok.go + 1 > 2', '8 EXPRESSION_TYPE steps.ok.go + 1'],
  ])('but not %s', (expression, problem) => expect(read(`"${expression}"`)).toEqual([problem]));
});

test('every fault of a gate is said at its place', () => {
  expect(
    problemsOf(
      pipeline(`
form:
  properties:
    go: { type: bool }
    epochs: { type: integer, default: none }
    by: { type: string }
    rate: { type: number, maximun: 3 }
  required: [stop]
assignees: "\${{ steps.data.dataset }}"
after: { remind: soon, expire: { in: "\${{ params.patience }}", then: { epochs: 0.5 } } }
`),
    ),
  ).toEqual([
    '9 INVALID_VALUE bool',
    '10 INVALID_VALUE none',
    '11 INVALID_VALUE { type: string }',
    '12 UNKNOWN_KEY maximun',
    '13 INVALID_VALUE stop',
    '14 EXPRESSION_TYPE ${{ steps.data.dataset }}',
    '15 INVALID_VALUE soon',
    '15 INVALID_VALUE { epochs: 0.5 }',
  ]);
});

test('a gate is no step of a kind as well', () => {
  const both = 'steps: { a: { approve: {}, uses: synthesize, retry: 3 } }';
  expect(problemsOf(`{ name: a, ${both} }`)).toEqual(['1 UNKNOWN_KEY uses', '1 UNKNOWN_KEY retry']);
});
