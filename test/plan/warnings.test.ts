/** What is legal and probably wrong is told, where it stands; a comment silences it. */

import { describe, expect, test } from 'vitest';
import { problemsOf, warningsOf } from '../plan/compile-text.ts';

const base = `
name: a
steps:
  data: { uses: synthesize }
  model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }`;
const mine = `
  mine: { uses: mine, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }`;
const review = `
  review: { uses: review-labels, with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.mine.candidates }}" } }`;

describe('an unused step', () => {
  test('is one that only serves others', () => {
    expect(warningsOf(`${base}${mine}`)).toEqual(['5 UNUSED_STEP mine']);
  });

  test('is none that `needs` names, that a round reads, or that the loop around it reads', () => {
    expect(
      warningsOf(
        `${base}${mine}\n  last: { uses: train, needs: [mine], with: { dataset: "\${{ steps.data.dataset }}" } }`,
      ),
    ).toEqual([]);
    const loop = (next: string) => `${base}
  rounds:
    repeat: { max: 2, carry: { model: "\${{ steps.model.model }}" } }
    steps:
      mine: { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
      train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
    next: { model: "\${{ steps.train.model }}"${next} }`;
    expect(warningsOf(loop(''))).toEqual(['8 UNUSED_STEP mine']);
    expect(warningsOf(loop(', share: "${{ steps.mine.hardShare }}"'))).toEqual([]);
  });
});

test('errors come first: warnings wait until there are none', () => {
  expect(warningsOf(`${base}${mine}\n  x: { uses: detct }`)).toEqual([]);
  expect(problemsOf(`${base}${mine}\n  x: { uses: detct }`)).toEqual(['6 UNKNOWN_KIND detct']);
});

describe('a loop', () => {
  const loop = (repeat: string) => `${base}
  rounds:
    repeat: { max: ${repeat}, carry: { model: "\${{ steps.model.model }}" } }
    steps:
      train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
    next: { model: "\${{ steps.train.model }}" }`;
  test.each([
    ['20', []],
    ['21', ['6 UNBOUNDED_LOOP 21']],
    ['1000, until: steps.train.AP > 0.5', []],
    ['1000, budget: 3d', []],
  ])('max: %s', (repeat, problems) => {
    expect(warningsOf(loop(repeat))).toEqual(problems);
  });
});

describe('a training on hard cases', () => {
  const hard = (replay: string) => `${base}${mine}${review}
  hard: { uses: train, with: { init: "\${{ steps.model.model }}", dataset: "\${{ steps.review.dataset }}", select: "\${{ steps.mine.hardImages }}"${replay} } }`;
  test.each([
    ['', ['7 NO_REPLAY hard']],
    [', replay: { from: "${{ steps.review.allImages }}", share: 0 }', ['7 NO_REPLAY 0']],
    [', replay: { from: "${{ steps.review.allImages }}" }', []],
  ])('with "%s"', (replay, problems) => {
    expect(warningsOf(hard(replay))).toEqual(problems);
  });

  test('in the legs of a matrix is warned of too', () => {
    const legs = hard(', replay: { from: "${{ steps.review.allImages }}", share: 0 }').replace(
      'hard: { ',
      'hard: { matrix: { width: [1, 2] }, ',
    );
    expect(warningsOf(legs)).toEqual(['7 NO_REPLAY 0']);
  });

  test('has nothing to replay where nobody reviewed', () => {
    expect(warningsOf(hard('').replace(review, '').replace('steps.review.dataset', 'steps.data.dataset'))).toEqual([]);
  });
});

test('a threshold that params set hides candidates too', () => {
  const at = (confidence: string) =>
    `${base}\n  loss: { uses: profile-loss, with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.data.dataset }}", confidence: "\${{ params.c }}" } }\nparams: { c: { type: number, default: ${confidence} } }`;
  expect(warningsOf(at('0.9'))).toEqual([]);
  expect(warningsOf(at('0.95'))).toEqual(['5 HIDDEN_CANDIDATES "${{ params.c }}"']);
  expect(warningsOf(`${base}${mine}${review.replace(' } }', ', limit: 0 } }')}`)).toEqual(['6 HIDDEN_CANDIDATES 0']);
});

describe('test images', () => {
  const table = (splits: string, line: string) => `${base}
  table: { uses: evaluate, with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.data.dataset }}", splits: ${splits} } }
  ${line}`;
  const report =
    'report: { uses: report, with: { tables: ["${{ steps.table.metrics }}"], title: "AP ${{ steps.table.AP }}" } }';
  const choice =
    'found: { uses: detect, when: steps.table.AP > 0.5, with: { model: "${{ steps.model.model }}", dataset: "${{ steps.data.dataset }}" } }';
  test.each([
    ['decide nothing in a report', '[val, test]', report, []],
    ['must not decide a condition', '[val, test]', choice, ['6 TEST_DECIDES steps.table.AP']],
    ['are not looked at', '[val]', choice, []],
  ])('%s', (_, splits, line, problems) => {
    expect(warningsOf(table(splits, line))).toEqual(problems);
  });
});

describe('a comment', () => {
  const step = '  more: { uses: synthesize }';
  test.each([
    ['behind the line', `${step} # hardcase: allow UNUSED_STEP`],
    ['above it, with other comments between', `  # hardcase: allow UNUSED_STEP, NO_REPLAY\n  # for later\n\n${step}`],
  ])('%s silences a warning', (_, lines) => {
    expect(warningsOf(`${base}\n${lines}`).filter((problem) => problem.includes('UNUSED'))).toEqual([]);
  });

  test('that allows what is not there is told', () => {
    expect(warningsOf(`${base}\n  # hardcase: allow UNUSED_STEP, NO_REPLAY\n${step}`)).toEqual([
      '5 IDLE_ALLOW NO_REPLAY',
    ]);
    expect(warningsOf(`${base} # hardcase: allow CYCEL`)).toEqual(['4 IDLE_ALLOW CYCEL']);
  });

  test('cannot allow an error, nor itself be silenced', () => {
    expect(problemsOf(`${base}\n  x: { uses: detct } # hardcase: allow UNKNOWN_KIND`)).toEqual([
      '5 UNKNOWN_KIND detct',
    ]);
  });
});
