/** `activity:` steps and secrets at compile time: types of inputs and outputs, and where a secret may stand. */

import { describe, expect, test } from 'vitest';
import { mayHoldSecret } from '../../plan/secrets.ts';
import type { ForeignStep, Json } from '../../plan/types.ts';
import { resolveValue } from '../../plan/values.ts';
import { planOf, problemsOf, stepOf } from './compile-text.ts';

const pipeline = (step: string, rest = '') => `
name: foreign
steps:
  data: { uses: synthesize }
  train:
${step
  .trim()
  .split('\n')
  .map((line) => `    ${line}`)
  .join('\n')}
${rest}`;

const sound = `
activity: trainYolo
queue: PyTorch_1
version: 3
with: { dataset: "\${{ steps.data.dataset }}", epochs: 3, token: "\${{ secrets.HUB }}" }
inputs: { dataset: dataset, epochs: number, token: secret }
outputs: { model: model, score: number, curve: [number] }
heartbeat: 30s
timeout: 2h
retry: { max: 2, except: [OutOfMemory] }
onFailure: fail`;

test('an activity has its queue, version, types and policies, and a secret is its name', () => {
  expect(stepOf(planOf(pipeline(sound)), 'train')).toEqual({
    type: 'foreign',
    id: 'train',
    needs: ['data'],
    kind: 'activity:trainYolo',
    activity: 'trainYolo',
    version: 3,
    with: { dataset: { $: 'steps.data.dataset' }, epochs: 3, token: { $secret: 'HUB' } },
    secrets: ['/token'],
    outputs: { model: { artifact: 'model' }, score: 'number', curve: { list: 'number' } },
    reuse: true,
    queue: 'PyTorch_1',
    timeoutMs: 7_200_000,
    heartbeatMs: 30_000,
    retry: { max: 2, initialMs: 1_000, factor: 2, maxMs: 60_000, except: ['OutOfMemory'] },
    onFailure: 'fail',
  });
});

test('in finally it runs in each run, unless the file says otherwise', () => {
  const last = 'finally: { tell: { activity: tell, queue: mail }, keep: { activity: keep, queue: mail, reuse: true } }';
  const plan = planOf(`{ name: a, steps: { a: { uses: synthesize } }, ${last} }`);
  expect(plan.root.finally).toMatchObject([
    { id: 'tell', reuse: false, onFailure: 'fail' },
    { id: 'keep', reuse: true },
  ]);
});

describe('its outputs are typed', () => {
  const read = (with_: string) => problemsOf(pipeline(sound, `  next: { uses: train, with: ${with_} }`));
  test('as declared', () => {
    expect(
      read(
        '{ init: "${{ steps.train.model }}", dataset: "${{ steps.data.dataset }}", epochs: "${{ steps.train.score }}" }',
      ),
    ).toEqual([]);
  });
  test('and nothing else', () => {
    expect(read('{ init: "${{ steps.train.score }}", dataset: "${{ steps.train.weights }}" }')).toEqual([
      '15 WRONG_ARTIFACT steps.train.score',
      '15 UNKNOWN_OUTPUT weights',
    ]);
  });
});

test('every fault of an activity is said at its place', () => {
  expect(
    problemsOf(
      pipeline(`
activity: trainYolo
uses: train
with: { dataset: 3, epoch: 3, token: plain }
inputs: { dataset: dataset, epochs: number, token: secret }
outputs: { model: modle, score: [number, string] }
heartbeat: often`),
    ),
  ).toEqual([
    '4 MISSING_KEY train',
    '6 UNKNOWN_KEY uses',
    '9 INVALID_VALUE modle',
    '9 INVALID_VALUE [number, string]',
    '10 INVALID_VALUE often',
  ]);
});

test('what an activity is given is what it declares', () => {
  const given = `
activity: a
queue: q
with: { dataset: 3, epoch: 3, token: plain, rate: "\${{ steps.data.dataset }}" }
inputs: { dataset: dataset, epochs: number, token: secret, rate: number }`;
  expect(problemsOf(pipeline(given))).toEqual([
    '7 WRONG_ARTIFACT 3',
    '7 UNKNOWN_KEY epoch',
    '7 WRONG_ARTIFACT plain',
    '7 WRONG_ARTIFACT "${{ steps.data.dataset }}"',
    '8 MISSING_KEY epochs',
  ]);
});

describe('a secret', () => {
  const alone = (value: string) => problemsOf(pipeline(`activity: a\nqueue: q\nwith: { token: ${value} }`));

  test('goes into an input of an activity, at any depth', () => {
    expect(alone('"${{ secrets.HUB }}"')).toEqual([]);
    expect(alone('{ headers: [{ key: "${{ secrets.HUB }}" }] }')).toEqual([]);
  });

  test('may be part of a text, beside others and expressions', () => {
    const step = `
activity: a
queue: q
with:
  plain: "Bearer \${{ secrets.HUB }}"
  whole: "\${{ secrets.HUB }}\${{ secrets.OTHER }} of \${{ steps.survey.images }} images, \${{ 1 + 1 }}"`;
    const survey = '  survey: { activity: survey, queue: q, outputs: { images: number } }';
    expect(stepOf(planOf(pipeline(step, survey)), 'train')).toMatchObject({
      with: {
        plain: { $text: ['Bearer ', { $secret: 'HUB' }] },
        whole: {
          $text: [
            { $secret: 'HUB' },
            { $secret: 'OTHER' },
            ' of ',
            { $: 'steps.survey.images' },
            ' images, ',
            expect.anything(),
          ],
        },
      },
      secrets: ['/plain', '/whole'],
    });
  });

  test('is planned with its place; what is only written like one is data', () => {
    const planned = (value: string) => {
      const step = stepOf(planOf(pipeline(`activity: a\nqueue: q\nwith: { given: ${value} }`)), 'train');
      const { with: values, secrets } = step as ForeignStep;
      return [resolveValue(values, { steps: {} }), secrets];
    };
    expect(planned('[{ "a/b": "${{ secrets.HUB }}" }]')).toEqual([
      { given: [{ 'a/b': { $secret: 'HUB' } }] },
      ['/given/0/a~1b'],
    ]);
    expect(planned('[{ $secret: HUB }]')).toEqual([{ given: [{ $secret: 'HUB' }] }, undefined]);
    expect(planned('{ $: 1 + 1 }')).toEqual([{ given: { $: '1 + 1' } }, undefined]);
    expect(planned('{ x: { $text: [a, "b\\n", -1, { $secret: HUB }] } }')).toEqual([
      { given: { x: { $text: ['a', 'b\n', -1, { $secret: 'HUB' }] } } },
      undefined,
    ]);
    expect(planned('"${{ {\\"$secret\\": \\"HUB\\"} }}"')).toEqual([{ given: { $secret: 'HUB' } }, undefined]);
  });

  test('leaves expressions what they are in an object that is only written like a mark', () => {
    const of = (value: string) => `
name: p
params: { word: { type: string, default: HUB } }
steps:
  a: { activity: a, queue: q, outputs: { n: number } }
  b: { activity: b, queue: q, with: { given: ${value} } }
`;
    const given = (value: string) => {
      const { with: values, needs } = stepOf(planOf(of(value)), 'b') as ForeignStep;
      return [(resolveValue(values, { steps: { a: { n: 2 } } }) as { given: Json }).given, needs];
    };
    expect(given('{ $text: [n, "${{ steps.a.n }}", "n=${{ steps.a.n }}, ${{ params.word }}"] }')).toEqual([
      { $text: ['n', 2, 'n=2, HUB'] },
      ['a'],
    ]);
    expect(given('{ $text: "${{ [params.word] }}" }')).toEqual([{ $text: ['HUB'] }, []]);
    expect(given('{ $secret: "${{ params.word }}" }')).toEqual([{ $secret: 'HUB' }, []]);
    expect(given('{ $: "${{ params.word }}" }')).toEqual([{ $: 'HUB' }, []]);
    expect(given('{ $text: [{ $text: ["${{ steps.a.n }}"] }, [{ x: -1 }]] }')).toEqual([
      { $text: [{ $text: [2] }, [{ x: -1 }]] },
      ['a'],
    ]);
    for (const secret of ['"${{ secrets.HUB }}"', '{ x: "Bearer ${{ secrets.HUB }}" }']) {
      expect(problemsOf(of(`{ $text: [${secret}] }`))).toEqual(['5 MISPLACED_SECRET secrets.HUB']);
    }
  });

  test('makes the text that it is part of a secret, also for declared inputs', () => {
    const given = (type: string) =>
      problemsOf(
        pipeline(`activity: a\nqueue: q\ninputs: { token: ${type} }\nwith: { token: "Bearer \${{ secrets.HUB }}" }`),
      );
    expect(given('secret')).toEqual([]);
    expect(given('string')).toEqual(['8 WRONG_ARTIFACT "Bearer ${{ secrets.HUB }}"']);
  });

  test('in a text does not hide what else is wrong in it', () => {
    expect(alone('"${{ secrets.HUB }} ${{ steps.data.dataset }} ${{ steps.dat.dataset }}"')).toEqual([
      '7 EXPRESSION_TYPE steps.data.dataset',
      '7 UNKNOWN_STEP dat',
    ]);
  });

  test.each([
    ['"${{ secrets.HUB + steps.data.truth }}"', 'secrets.HUB'],
    ['"Bearer ${{ secrets.HUB + \'!\' }}"', 'secrets.HUB'],
    ['"${{ secrets.HUB }} of ${{ size(secrets.OTHER) }}"', 'secrets.OTHER'],
    ['"${{ [secrets.HUB] }}"', 'secrets.HUB'],
  ])('is not made part of %s', (value, place) => {
    expect(alone(value)).toEqual([`7 MISPLACED_SECRET ${place}`]);
  });

  test('goes nowhere else', () => {
    expect(
      problemsOf(`
        name: leaks
        steps:
          a: { uses: synthesize, when: secrets.A == 'x', with: { images: "\${{ secrets.B }}" }, timeout: "\${{ secrets.C }}" }
          b: { approve: { message: "Is \${{ secrets.D }} right?", show: { e: "\${{ secrets.E }}" } } }
          c: { repeat: { max: 1, carry: { f: "\${{ secrets.F }}" } }, steps: { d: { uses: synthesize } } }
      `).filter((problem) => problem.includes('SECRET')),
    ).toEqual([
      '3 MISPLACED_SECRET secrets.A',
      '3 MISPLACED_SECRET secrets.B',
      '4 MISPLACED_SECRET secrets.D',
      '4 MISPLACED_SECRET secrets.E',
      '5 MISPLACED_SECRET secrets.F',
    ]);
  });

  test('may stand in a parameter whose schema is marked for it', () => {
    expect(mayHoldSecret({ type: 'string', secret: true })).toBe(true);
    expect(mayHoldSecret({ anyOf: [{ type: 'null' }, { type: 'string', secret: true }] })).toBe(true);
    expect(mayHoldSecret({ type: 'string' })).toBe(false);
    expect(mayHoldSecret(null)).toBe(false);
  });
});
