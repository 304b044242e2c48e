/** The rules of a quarantine, what becomes of labels, and how a fluctuation is measured. */

import { describe, expect, it } from 'vitest';
import type { TargetSummary } from '../../detection/dynamics.ts';
import { fluctuationDifference, fluctuationOf, lastThird } from '../../detection/fluctuation.ts';
import {
  applyQuarantine,
  NoThresholdBoxesError,
  pickByRule,
  type QuarantineRule,
  withoutQuarantine,
} from '../../detection/quarantine.ts';
import type { Annotation } from '../../detection/types.ts';

const settings = { confidence: 0.5, epochs: 5, top: 0.2 };

function summary(annotationId: string, over: Partial<TargetSummary> = {}): TargetSummary {
  return {
    annotationId,
    imageId: 1,
    planted: false,
    confidence: 0.8,
    variability: 0.1,
    correctness: 1,
    forgotten: 0,
    neverLearnt: false,
    aum: 2,
    lateLoss: 1,
    neverConverged: false,
    category: 'easy',
    ...over,
  };
}

const pickedIds = (summaries: readonly TargetSummary[], rule: QuarantineRule) =>
  [...pickByRule(summaries, rule, settings).reasons.keys()].sort();

describe('the rules', () => {
  it('pick what never converged', () => {
    const summaries = [summary('a', { neverConverged: true, lateLoss: 4.123456, confidence: 0.1 }), summary('b')];
    const picked = pickByRule(summaries, { by: 'never-converging' }, settings);
    expect([...picked.reasons]).toEqual([['a', 'never converged: late loss 4.12, confidence 0.1 ± 0.1']]);
    expect(picked.rule).toBe(
      'loss among the highest 20 % in each of the last 5 profiled epochs, and confidence never above 0.5',
    );
  });

  it('pick the share with the highest late loss, threshold boxes apart', () => {
    const summaries = ['a', 'b', 'c', 'd'].map((id, i) => summary(id, { lateLoss: i }));
    const withPlanted = [...summaries, summary('threshold-1', { planted: true, lateLoss: 99 })];
    expect(pickedIds(withPlanted, { by: 'share', share: 0.5 })).toEqual(['c', 'd']);
    expect(pickedIds(withPlanted, { by: 'share', share: 0.15 })).toEqual([]);
  });

  it('pick what lies below the threshold boxes, and need some', () => {
    const summaries = [summary('a', { aum: -1 }), summary('b', { aum: 1 })];
    const planted = [
      summary('threshold-1', { planted: true, aum: -2 }),
      summary('threshold-2', { planted: true, aum: 0 }),
    ];
    expect(pickedIds([...summaries, ...planted], { by: 'aum', percentile: 0.99 })).toEqual(['a']);
    expect(() => pickedIds(summaries, { by: 'aum', percentile: 0.99 })).toThrow(NoThresholdBoxesError);
  });
});

describe('labels', () => {
  const box = (id: string, over: Partial<Annotation> = {}): Annotation => ({
    id,
    imageId: 1,
    categoryId: 1,
    box: [0, 0, 10, 10],
    ...over,
  });
  const isTrain = (imageId: number) => imageId === 1;
  const none = new Map<string, never>();

  it('keep a held box as an ignore region with its reason, from which it comes back as it was', () => {
    const labels = [box('a', { area: 77 }), box('b')];
    const { annotations, held } = applyQuarantine(labels, isTrain, new Map([['a', 'why']]), new Set(['a', 'b']), none);
    expect(annotations).toEqual([{ ...box('a', { area: 77 }), ignore: true, quarantine: 'why' }, box('b')]);
    expect(held).toEqual([{ annotation: box('a', { area: 77 }), reason: 'why', rounds: 1 }]);
    expect(annotations.map(withoutQuarantine)).toEqual(labels);
  });

  it('never change in validation and test, nor where a reviewer or a crowd is', () => {
    const labels = [box('val', { imageId: 2 }), box('crowd', { crowd: true }), box('ignored', { ignore: true })];
    const reasons = new Map(labels.map(({ id }) => [id, 'why']));
    const result = applyQuarantine(labels, isTrain, reasons, new Set(reasons.keys()), none);
    expect(result).toEqual({ annotations: labels, held: [], released: [] });
  });

  it('get a box back that the rule no longer picks, and count the rounds of one that stays', () => {
    const held = [box('a', { ignore: true, quarantine: 'first' }), box('b', { ignore: true, quarantine: 'first' })];
    const before = new Map(held.map((one) => [one.id, { rounds: 2, annotation: withoutQuarantine(one) }]));
    const result = applyQuarantine(held, isTrain, new Map([['a', 'again']]), new Set(['a', 'b']), before);
    expect(result.annotations).toEqual([held[0], box('b')]);
    expect(result.held).toEqual([{ annotation: box('a'), reason: 'again', rounds: 3 }]);
    expect(result.released.map(({ annotation, rounds }) => [annotation.id, rounds])).toEqual([['b', 2]]);
  });

  it('stay as they are where the training did not cover them', () => {
    const held = box('a', { ignore: true, quarantine: 'first' });
    const result = applyQuarantine([held], isTrain, new Map(), new Set(), none);
    expect(result.annotations).toEqual([held]);
    expect(result.held[0]!.reason).toBe('held before, and not covered by this training');
  });

  it('hold a box of the history again unless it was corrected since', () => {
    const history = new Map([['a', { rounds: 1, annotation: box('a') }]]);
    const again = applyQuarantine([box('a')], isTrain, new Map(), new Set(), history);
    expect(again.held.map(({ rounds }) => rounds)).toEqual([2]);
    const corrected = applyQuarantine([box('a', { box: [1, 0, 10, 10] })], isTrain, new Map(), new Set(), history);
    expect(corrected.held).toEqual([]);
  });
});

describe('fluctuation', () => {
  it('is the standard deviation about the line of the last third, with an interval around it', () => {
    expect(lastThird([1, 2, 3, 4, 5, 6, 7])).toEqual([5, 6, 7]);
    // A figure that rises steadily is calm.
    const calm = fluctuationOf([0.5, 0.6, 0.7, 0.8], 1)!;
    expect([calm.value, calm.low, calm.high].every((value) => value < 1e-12)).toBe(true);
    expect(calm.count).toBe(4);
    // Their line rises by 0.08; about it lie 0.07, -0.21, 0.21 and -0.07.
    const values = [0.5, 0.3, 0.8, 0.6];
    const wild = fluctuationOf(values, 1)!;
    expect(wild.value).toBeCloseTo(Math.sqrt(0.0245), 10);
    expect(wild.low).toBeLessThan(wild.value);
    expect(wild.high).toBeGreaterThan(wild.low);
    expect(fluctuationOf(values, 1)).toEqual(wild);
    expect(fluctuationOf([0.5, 0.6, 0.4], 1)).toBe(null);
  });

  it('of two trainings differs by their difference', () => {
    const difference = fluctuationDifference([0.5, 0.5, 0.5, 0.5], [0.1, 0.5, 0.9, 0.2, 0.8], 1)!;
    expect(difference.value).toBeLessThan(0);
    expect(difference.high).toBeLessThanOrEqual(0);
    expect(fluctuationDifference([0.5], [0.1, 0.2, 0.3], 1)).toBe(null);
  });
});
