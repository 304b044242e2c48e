/** What a loop can do beside its rounds, from a file to the plan. */

import { describe, expect, test } from 'vitest';
import type { RepeatStep } from '../../plan/types.ts';
import { compileText, planOf, problemsOf, stepOf } from './compile-text.ts';

const loop = (repeat: string, next = 'AP: "${{ steps.train.AP }}"', epochs = '${{ 1 }}') => `
      name: loop
      params: { time: { type: duration, default: 6h }, patience: { type: integer, default: 2 } }
      steps:
        data: { uses: synthesize, with: { images: 24, imageSize: 64 } }
        rounds:
          repeat: { max: 5, ${repeat} }
          steps:
            train: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "${epochs}" } }
          next: { ${next} }
        best: { uses: export, with: { model: "\${{ steps.rounds.best.model }}" } }`;

const model = 'AP: "${{ steps.train.AP }}", model: "${{ steps.train.model }}"';

test('a plateau and a budget are in the plan, with what params say', () => {
  const repeat =
    'plateau: { metric: steps.train.AP, patience: "${{ params.patience }}" }, budget: "${{ params.time }}"';
  expect(stepOf(planOf(loop(repeat, model)), 'rounds') as RepeatStep).toMatchObject({
    plateau: { metric: 'steps.train.AP', patience: 2, minDelta: 0, mode: 'max' },
    budgetMs: 6 * 3_600_000,
  });
});

test('without a plateau there is no best round', () => {
  expect(problemsOf(loop('budget: 6h', model))).toEqual(['10 UNKNOWN_OUTPUT best']);
});

test('a metric is a number', () => {
  expect(problemsOf(loop('plateau: { metric: steps.train.model }', model))).toEqual([
    '6 EXPRESSION_TYPE steps.train.model',
  ]);
});

test('patience and budget are known before the run', () => {
  const repeat = 'plateau: { metric: steps.train.AP, patience: "${{ steps.data.images }}" }, budget: soon';
  expect(problemsOf(loop(repeat, model)).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    '6 EXPRESSION_TYPE',
    '6 INVALID_VALUE',
  ]);
});

test('the round before is typed, and asked for before it is read', () => {
  const repeat = 'plateau: { metric: steps.train.AP }, until: round.previous.AP > steps.train.AP';
  expect(problemsOf(loop(repeat, model, '${{ has(round.previous.AP) && round.previous.AP > 0.5 ? 2 : 1 }}'))).toEqual(
    [],
  );
  expect(problemsOf(loop(repeat, model, '${{ round.index > 1 ? round.previous.AP : 1 }}'))).toEqual([]);
  expect(problemsOf(loop(repeat, model, '${{ round.previous.AP }}'))).toEqual(['8 MAYBE_ABSENT round.previous.AP']);
  expect(problemsOf(loop(repeat, model, '${{ has(round.previous.loss) ? 2 : 1 }}'))).toEqual(['8 UNKNOWN_NAME loss']);
  expect(problemsOf(loop(repeat, model, '${{ has(round.previous.model) ? round.previous.model : 1 }}'))).toEqual([
    '8 EXPRESSION_TYPE 1',
  ]);
});

describe('what a loop does not hand on is told with what to add', () => {
  const reading = (read: string, next = '') => `
    name: a
    steps:
      data: { uses: synthesize }
      rounds:
        repeat: { max: 3 }
        steps:
          fit: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
        ${next}
      out: { uses: evaluate, with: { models: ["\${{ ${read} }}"], dataset: "\${{ steps.data.dataset }}" } }
  `;

  test.each([
    ['steps.rounds.last.model', '', 'add `model: ${{ steps.fit.model }}` to it, then read steps.rounds.last.model.'],
    ['steps.rounds.all[0].model', '', 'add `model: ${{ steps.fit.model }}` to it, then read steps.rounds.last.model.'],
    ['steps.rounds.model', '', 'add `model: ${{ steps.fit.model }}` to it, then read steps.rounds.last.model.'],
    ['steps.rounds.last.x', '', 'add `x: ${{ steps.STEP.OUTPUT }}` to it, then read steps.rounds.last.x.'],
    ['steps.rounds.m', 'next: { m: "${{ steps.fit.model }}" }', 'A round has it: steps.rounds.last.m'],
    ['steps.rounds.last.mm', 'next: { m: "${{ steps.fit.model }}" }', 'Did you mean "m"?'],
  ])('%s of a loop with %j', (read, next, hint) => {
    const { diagnostics } = compileText(reading(read, next));
    const found = diagnostics.find(({ code }) => code === 'UNKNOWN_NAME' || code === 'UNKNOWN_OUTPUT');
    expect(found?.hint).toContain(hint);
  });
});
