import { describe, expect, it } from 'vitest';
import { detectionsFromRows } from '../../detection/detections.ts';
import { errorsOfTargets, weightsByError } from '../../detection/error-weights.ts';
import { matchDetections } from '../../detection/match.ts';
import type { Annotation, Box } from '../../detection/types.ts';

const label = (id: string, box: Box, more: Partial<Annotation> = {}): Annotation => ({
  id,
  imageId: 1,
  categoryId: 1,
  box,
  ...more,
});

describe('weights by error', () => {
  it('tells what was found, what was seen beside its place, and what was not seen', () => {
    const annotations = [
      label('found', [0, 0, 10, 10]),
      label('beside', [20, 0, 30, 10]),
      label('missed', [40, 0, 50, 10]),
      label('other', [60, 0, 70, 10], { categoryId: 2 }),
      label('ignored', [80, 0, 90, 10], { ignore: true }),
    ];
    const detections = detectionsFromRows(
      [1],
      [
        { imageId: 1, categoryId: 1, box: [0, 0, 10, 10], score: 0.9 },
        // IoU 4 / 16
        { imageId: 1, categoryId: 1, box: [26, 0, 36, 10], score: 0.8 },
        { imageId: 1, categoryId: 1, box: [60, 0, 70, 10], score: 0.8 },
      ],
    );
    const groundTruth = { categories: [1, 2].map((id) => ({ id, name: String(id) })), imageIds: [1], annotations };
    const { images } = matchDetections(groundTruth, detections, { confidence: 0.3, iou: 0.5 });
    expect(Object.fromEntries(errorsOfTargets(images[0]!, detections))).toEqual({
      found: 'truePositive',
      beside: 'badlyLocated',
      missed: 'falseNegative',
      other: 'falseNegative',
    });
  });

  it('keeps the mean at 1', () => {
    const errors = new Map([
      ['a', 'truePositive'],
      ['b', 'falseNegative'],
      ['c', 'badlyLocated'],
      ['d', 'truePositive'],
    ] as const);
    const weights = { truePositive: 1, falseNegative: 4, badlyLocated: 2 };
    expect(weightsByError(['a', 'b', 'c', 'd'], errors, weights)).toEqual({ a: 0.5, b: 2, c: 1, d: 0.5 });
    // only what is trained on counts
    expect(weightsByError(['a', 'c'], errors, weights)).toEqual({ a: 2 / 3, c: 4 / 3 });
  });

  it('has none where all weigh the same, or where nothing would be left', () => {
    const errors = new Map([['a', 'falseNegative']] as const);
    expect(weightsByError(['a'], errors, { truePositive: 1, falseNegative: 4, badlyLocated: 2 })).toBeNull();
    expect(weightsByError([], errors, { truePositive: 1, falseNegative: 4, badlyLocated: 2 })).toBeNull();
    expect(weightsByError(['a'], errors, { truePositive: 1, falseNegative: 0, badlyLocated: 2 })).toBeNull();
  });
});
