/** Training dynamics: the vectors of the oracles, forgetting, convergence, and what a box is called. */

import { describe, expect, it } from 'vitest';
import {
  aumThreshold,
  type Dynamics,
  deviation,
  forgettingEvents,
  mean,
  quantile,
  SERIES,
  settledFrom,
  summarizeDynamics,
} from '../../detection/dynamics.ts';
import { marginOf } from '../../detection/model/loss-profile.ts';
import { thresholdBoxes } from '../../detection/threshold-boxes.ts';
import type { Annotation } from '../../detection/types.ts';

/** One target a row: its p_true over the epochs; loss is 1 - p_true, IoU 1 and the margin the logit unless given. */
function dynamicsOf(
  rows: readonly (readonly number[])[],
  given: { readonly iou?: readonly (readonly number[])[]; readonly planted?: readonly number[] } = {},
): Dynamics {
  const count = rows[0]!.length;
  const flat = (of: (p: number, t: number, e: number) => number) =>
    Float32Array.from(rows.flatMap((row, t) => row.map((p, e) => of(p, t, e))));
  const empty = () => new Float32Array(rows.length * count);
  return {
    epochs: Array.from({ length: count }, (_, e) => e + 1),
    targets: rows.map((_, t) => ({
      imageId: t + 1,
      annotationId: `a${t}`,
      planted: given.planted?.includes(t) ?? false,
    })),
    series: {
      ...(Object.fromEntries(SERIES.map((name) => [name, empty()])) as Dynamics['series']),
      pTrue: flat((p) => p),
      total: flat((p) => 1 - p),
      iou: flat((_, t, e) => given.iou?.[t]?.[e] ?? 1),
      margin: flat((p) => Math.log(p / (1 - p))),
    },
  };
}

describe('summaries', () => {
  it('give confidence and variability of the published vectors', () => {
    const [sure, wavering, lost] = summarizeDynamics(
      dynamicsOf([
        [0.9, 0.95, 0.97, 0.99],
        [0.1, 0.8, 0.2, 0.9],
        [0.05, 0.03, 0.04, 0.02],
      ]),
    );
    expect(sure!.confidence).toBeCloseTo(0.9525, 6);
    expect(sure!.variability).toBeCloseTo(0.033448, 6);
    expect(wavering!.confidence).toBeCloseTo(0.5, 6);
    expect(wavering!.variability).toBeCloseTo(0.353553, 6);
    expect(wavering!.forgotten).toBe(1);
    expect(wavering!.correctness).toBe(0.5);
    expect(lost!.confidence).toBeCloseTo(0.035, 6);
    expect(lost!.variability).toBeCloseTo(0.01118, 5);
    expect([sure, wavering, lost].map((one) => one!.neverLearnt)).toEqual([false, false, true]);
  });

  it('count as matched only what also lies in the right place', () => {
    const [inPlace, beside] = summarizeDynamics(
      dynamicsOf(
        [
          [0.9, 0.9],
          [0.9, 0.9],
        ],
        {
          iou: [
            [0.5, 0.9],
            [0.4, 0.49],
          ],
        },
      ),
    );
    expect([inPlace!.correctness, beside!.correctness]).toEqual([1, 0]);
    expect(beside!.neverLearnt).toBe(true);
  });

  it('take the mean margin as area under the margin', () => {
    const [one] = summarizeDynamics(dynamicsOf([[0.5, 0.75]]));
    expect(one!.aum).toBeCloseTo(Math.log(3) / 2, 5);
  });
});

describe('never converging', () => {
  const learnt = [0.2, 0.6, 0.8, 0.9, 0.9, 0.9];
  const others = [learnt, learnt, learnt, learnt];

  it('is a loss among the highest fifth in each of the last epochs, and a confidence never above one half', () => {
    const low = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
    expect(neverConverged([...others, low])).toEqual([false, false, false, false, true]);
    // Once above one half, early on.
    expect(neverConverged([...others, [0.1, 0.55, 0.1, 0.1, 0.1, 0.1]])).not.toContain(true);
    // Not among the highest fifth in one of the last five epochs.
    const dip = learnt.with(2, 0.05);
    expect(neverConverged([learnt, learnt, learnt, dip, low])).not.toContain(true);
    // Six epochs ago does not count.
    expect(neverConverged([learnt, learnt, learnt, learnt.with(0, 0.05), low])).toContain(true);
  });

  it('does not count threshold boxes among the boxes', () => {
    const low = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
    const lower = [0.01, 0.01, 0.01, 0.01, 0.01, 0.01];
    const dynamics = dynamicsOf([...others, low, lower], { planted: [5] });
    expect(summarizeDynamics(dynamics).map((one) => one.neverConverged)).toEqual([
      false,
      false,
      false,
      false,
      true,
      false,
    ]);
  });

  function neverConverged(rows: readonly (readonly number[])[]): boolean[] {
    return summarizeDynamics(dynamicsOf(rows)).map((one) => one.neverConverged);
  }
});

describe('the first epochs', () => {
  it('do not count while the network takes everything for an object', () => {
    // Everything is an object in epoch 1, but no box is in its place yet.
    const dynamics = dynamicsOf(
      [
        [1, 0.9, 0.9, 0.9],
        [1, 0.1, 0.1, 0.1],
      ],
      {
        iou: [
          [0.1, 0.9, 0.9, 0.9],
          [0.1, 0.2, 0.2, 0.2],
        ],
      },
    );
    expect(settledFrom(dynamics)).toBe(1);
    expect(summarizeDynamics(dynamics)[1]!.confidence).toBeCloseTo(0.1, 6);
    expect(summarizeDynamics(dynamics, { settled: 0 })[1]!.confidence).toBeCloseTo(0.325, 6);
  });
});

describe('what a box is called', () => {
  it('follows from confidence, variability and convergence', () => {
    const easy = Array.from({ length: 12 }, (_, i) => [0.5, 0.7, 0.8, 0.9, 0.9, 0.8 + i / 100]);
    const summaries = summarizeDynamics(
      dynamicsOf(
        [
          [0.1, 0.8, 0.2, 0.9, 0.1, 0.3], // matched now and then
          [0.3, 0.3, 0.3, 0.3, 0.3, 0.3], // never, and never in doubt
          [0.7, 0.7, 0.7, 0.7, 0.7, 0.9], // sure, but of another place
          [0.49, 0.01, 0.01, 0.4, 0.01, 0.01], // never, but it wavered
          ...easy,
        ],
        {
          iou: [
            [1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1],
            [0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
          ],
        },
      ),
    );
    const names = summaries.map((one) => one.category);
    expect(names.slice(0, 5)).toEqual(['hard', 'mislabelled', 'mislabelled', 'unlearnable', 'easy']);
  });
});

describe('the threshold', () => {
  it('is the percentile of the threshold boxes, between the two nearest', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    const dynamics = dynamicsOf([[0.5], [0.75], [0.9]], { planted: [0, 1] });
    expect(aumThreshold(summarizeDynamics(dynamics), 0.5)).toBeCloseTo(Math.log(3) / 2, 5);
    expect(aumThreshold(summarizeDynamics(dynamicsOf([[0.5]])))).toBe(null);
  });

  it('comes from boxes that touch no label, have sizes of the data, and are the same for the same seed', () => {
    const images = [1, 2, 3].map((id) => ({ id, width: 100, height: 80 }));
    const annotations: Annotation[] = images.flatMap(({ id }) => [
      { id: `${id}-a`, imageId: id, categoryId: 1, box: [10, 10, 30, 22] },
      { id: `${id}-b`, imageId: id, categoryId: 2, box: [50, 40, 58, 70], ignore: id === 3 },
    ]);
    const planted = thresholdBoxes(images, annotations, 0.6, 7);
    expect(planted).toHaveLength(3);
    for (const { imageId, box, categoryId } of planted) {
      expect([box[2] - box[0], box[3] - box[1]].map(Math.round)).toEqual(categoryId === 1 ? [20, 12] : [8, 30]);
      const touching = annotations.filter(
        (one) =>
          one.imageId === imageId &&
          one.box[0] < box[2] &&
          box[0] < one.box[2] &&
          one.box[1] < box[3] &&
          box[1] < one.box[3],
      );
      expect(touching).toEqual([]);
    }
    expect(thresholdBoxes(images, annotations, 0.6, 7)).toEqual(planted);
    expect(thresholdBoxes(images, annotations, 0.6, 8)).not.toEqual(planted);
    expect(thresholdBoxes(images, annotations, 0, 7)).toEqual([]);
    expect(thresholdBoxes(images, [], 0.5, 7)).toEqual([]);
  });
});

describe('the margin', () => {
  it('is the logit of objectness with one category', () => {
    expect(marginOf([1.5, -3], 0)).toBe(1.5);
  });

  it('is the logit of the score less the largest other, background included', () => {
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const logit = (a: number, b: number) => {
      const score = sigmoid(a) * sigmoid(b);
      return Math.log(score / (1 - score));
    };
    // The other category is less likely than background.
    expect(marginOf([2, 3, -4], 0)).toBeCloseTo(logit(2, 3), 10);
    expect(marginOf([2, 3, -4], 1)).toBeCloseTo(logit(2, -4) - logit(2, 3), 10);
    expect(Number.isFinite(marginOf([-800, 800, 800], 0))).toBe(true);
  });
});

it('a list without a change from matched to not has no forgetting', () => {
  expect(forgettingEvents([])).toBe(0);
  expect(forgettingEvents([false, true, true])).toBe(0);
  expect(forgettingEvents([true, false, true, false])).toBe(2);
  expect([mean([1, 3]), deviation([1, 3])]).toEqual([2, 1]);
});
