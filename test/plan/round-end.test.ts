/** What comes of a round, in the workflow and where rounds are found together. */

import { describe, expect, test } from 'vitest';
import { valuesBytesMax } from '../../plan/limits.ts';
import { type LoopState, type RoundResult, roundResult, roundValues, stateAfter } from '../../plan/round-end.ts';

const seen = {
  steps: { train: { AP: 40, model: 'm2' }, gain: { value: 0.4 } },
  carry: { model: 'm1', dataset: 'd' },
  round: { index: 2 },
};
const cel = ($: string) => ({ $ });

describe('what a round hands on', () => {
  test('is read from its steps, and stays what it was where a step was skipped', () => {
    const next = { model: cel('steps.train.model'), dataset: cel('steps.review.dataset') };
    expect(roundResult({ next }, seen)).toEqual({
      next: { model: 'm2', dataset: 'd' },
      ended: false,
      metric: undefined,
      emptied: false,
    });
  });

  test('comes with the metric, and with the gain among what "until" sees', () => {
    const until = 'round.gain.value < 0.5 && round.index == 2';
    expect(roundResult({ next: {}, until, gain: 'gain', metric: 'steps.train.AP' }, seen)).toMatchObject({
      ended: true,
      metric: 40,
    });
  });

  test('is nothing where no image was found for the next round', () => {
    const next = { select: cel('steps.mine.hardImages') };
    expect(roundResult({ next, endWhenEmpty: 'select' }, seen).emptied).toBe(true);
  });

  test('fails where the condition or the metric is of another type', () => {
    expect(() => roundResult({ next: {}, until: 'steps.train.AP' }, seen)).toThrow('must be true or false');
    expect(() => roundResult({ next: {}, metric: 'steps.train.model' }, seen)).toThrow('expected a number');
  });
});

describe('after a round', () => {
  const before: LoopState = { carry: { a: 1, b: 2 }, index: 3, startedAtMs: 7, stale: 0 };
  const round: RoundResult = { next: { a: 5 }, ended: false, emptied: false };

  test('the loop goes on with what the round handed on', () => {
    const { state, end } = stateAfter({}, before, round, 10);
    expect(end).toBeNull();
    expect(state).toMatchObject({ carry: { a: 5, b: 2 }, index: 4, previous: { a: 5 }, bytes: 7, startedAtMs: 7 });
    expect(roundValues(state)).toEqual({ index: 4, previous: { a: 5 } });
    expect(roundValues(before)).toEqual({ index: 3 });
  });

  test('it ends where "until" holds, where nothing gets better, and where its values are too large', () => {
    expect(stateAfter({ until: 'x' }, before, { ...round, ended: true }, 10).end).toEqual({
      ended: 'until',
      reason: 'After round 3, "x" held.',
    });
    const plateau = { metric: 'm', patience: 1, minDelta: 0, mode: 'max' } as const;
    const worse = { ...before, best: { value: 9, round: 2 } };
    expect(stateAfter({ plateau }, worse, { ...round, metric: 8 }, 10).end?.ended).toBe('plateau');
    expect(stateAfter({}, { ...before, bytes: valuesBytesMax }, round, 10).end?.ended).toBe('size');
    // The last round has none behind it.
    expect(stateAfter({}, { ...before, bytes: valuesBytesMax }, round, 3).end).toBeNull();
  });
});
