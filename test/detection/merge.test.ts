import { describe, expect, it } from 'vitest';
import {
  detectionsAbove,
  detectionsFromRows,
  detectionsOfImages,
  emptyDetections,
  joinDetections,
  rangesByImage,
} from '../../detection/detections.ts';
import { mergeByNms } from '../../detection/merge.ts';
import type { Box } from '../../detection/types.ts';

const row = (imageId: number, box: Box, score: number, categoryId = 1) => ({ imageId, categoryId, box, score });

describe('mergeByNms', () => {
  const first = detectionsFromRows([1, 2], [row(1, [0, 0, 10, 10], 0.5), row(2, [0, 0, 10, 10], 0.4)]);
  const second = detectionsFromRows([1, 3], [row(1, [0, 0, 10, 9], 0.8), row(1, [0, 0, 10, 10], 0.7, 2)]);

  it('keeps the better box within an image and category, and lists all images', () => {
    const merged = mergeByNms([first, second], { iouThreshold: 0.5 });
    expect(merged.imageIds).toEqual([1, 2, 3]);
    expect([...merged.image]).toEqual([1, 1, 2]);
    expect([...merged.score]).toEqual([0.8, 0.7, 0.4]);
    expect([...merged.category]).toEqual([1, 2, 1]);
  });

  it('keeps the earlier model where scores are equal', () => {
    const other = detectionsFromRows([1], [row(1, [0, 0, 10, 9], 0.5)]);
    expect([...mergeByNms([first, other], { iouThreshold: 0.5 }).box.slice(0, 4)]).toEqual([0, 0, 10, 10]);
  });

  it('takes the best of each model and image, above the score', () => {
    const many = detectionsFromRows(
      [1],
      [0.9, 0.5, 0.1].map((score, i) => row(1, [i * 20, 0, i * 20 + 9, 9], score)),
    );
    expect([...mergeByNms([many], { iouThreshold: 0.5, maxPerImage: 2 }).score]).toEqual([0.9, 0.5]);
    expect([...mergeByNms([many], { iouThreshold: 0.5, minScore: 0.5 }).score]).toEqual([0.9, 0.5]);
  });

  it('merges nothing with nothing', () => {
    expect(mergeByNms([emptyDetections([2, 1])], { iouThreshold: 0.5 })).toMatchObject({ imageIds: [1, 2] });
    expect(mergeByNms([], { iouThreshold: 0.5 }).score).toHaveLength(0);
  });
});

describe('detections', () => {
  const all = detectionsFromRows(
    [3, 1, 2],
    [row(2, [0, 0, 1, 1], 0.5), row(1, [0, 0, 2, 2], 0.2), row(2, [0, 0, 3, 3], 0.9), row(1, [0, 0, 4, 4], 0.2)],
  );

  it('are sorted by image, then by falling score, equal ones in their order', () => {
    expect(all.imageIds).toEqual([1, 2, 3]);
    expect([...all.box].filter((_, i) => i % 4 === 2)).toEqual([2, 4, 3, 1]);
    expect([...rangesByImage(all)]).toEqual([
      [1, [0, 2]],
      [2, [2, 4]],
    ]);
  });

  it('are filtered by image and by score, and joined again', () => {
    expect(detectionsOfImages(all, [2, 9])).toMatchObject({ imageIds: [2], score: Float64Array.of(0.9, 0.5) });
    expect(detectionsAbove(all, 0.5)).toMatchObject({ imageIds: [1, 2, 3], score: Float64Array.of(0.9, 0.5) });
    const parts = [detectionsOfImages(all, [2, 3]), detectionsOfImages(all, [1])];
    expect(joinDetections(parts)).toEqual(all);
  });
});
