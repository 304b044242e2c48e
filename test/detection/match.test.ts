import { describe, expect, it } from 'vitest';
import { detectionsFromRows, emptyDetections } from '../../detection/detections.ts';
import { hardImages, matchDetections } from '../../detection/match.ts';
import type { Annotation, Box } from '../../detection/types.ts';

const categories = [
  { id: 1, name: 'berry' },
  { id: 2, name: 'bud' },
];
const options = { confidence: 0.3, iou: 0.5 };

function label(id: string, imageId: number, box: Box, more: Partial<Annotation> = {}): Annotation {
  return { id, imageId, categoryId: 1, box, ...more };
}

function found(imageId: number, score: number, box: Box, categoryId = 1) {
  return { imageId, categoryId, box, score };
}

describe('matchDetections', () => {
  it('counts right, wrong and missed by image and category', () => {
    const groundTruth = {
      categories,
      imageIds: [1, 2, 3],
      annotations: [
        label('a', 1, [0, 0, 10, 10]),
        label('b', 1, [20, 0, 30, 10], { categoryId: 2 }),
        label('c', 2, [0, 0, 10, 10]),
      ],
    };
    const detections = detectionsFromRows(
      [1, 2, 3],
      [
        found(1, 0.9, [0, 0, 10, 9]),
        found(1, 0.8, [20, 0, 30, 10]),
        found(2, 0.5, [0, 0, 10, 10]),
        found(2, 0.29, [40, 40, 50, 50]),
      ],
    );
    const matches = matchDetections(groundTruth, detections, options);
    expect(matches).toMatchObject({ truePositives: 2, falsePositives: 1, falseNegatives: 1 });
    expect(
      matches.images.map((image) => [image.imageId, image.found.length, image.wrong, image.missed.length]),
    ).toEqual([
      [1, 1, [1], 1],
      [2, 1, [], 0],
      [3, 0, [], 0],
    ]);
    expect(matches.images[0]!.found[0]).toMatchObject({ detection: 0, iou: 0.9, annotation: { id: 'a' } });
    expect(matches.perCategory.get(1)).toEqual({ truePositives: 2, falsePositives: 1, falseNegatives: 0 });
    expect(matches.perCategory.get(2)).toEqual({ truePositives: 0, falsePositives: 0, falseNegatives: 1 });
    expect(hardImages(matches)).toEqual([1]);
  });

  it('lets a label be found once, by the surest detection', () => {
    const groundTruth = { categories, imageIds: [1], annotations: [label('a', 1, [0, 0, 10, 10])] };
    const detections = detectionsFromRows([1], [found(1, 0.5, [0, 0, 10, 10]), found(1, 0.9, [0, 0, 10, 8])]);
    const image = matchDetections(groundTruth, detections, options).images[0]!;
    expect(image.found).toMatchObject([{ detection: 0, iou: 0.8 }]);
    expect(image.wrong).toEqual([1]);
  });

  it('gives the taken label no detection when a free one fits too', () => {
    const groundTruth = {
      categories,
      imageIds: [1],
      annotations: [label('a', 1, [0, 0, 10, 10]), label('b', 1, [0, 2, 10, 12])],
    };
    const detections = detectionsFromRows([1], [found(1, 0.9, [0, 0, 10, 10]), found(1, 0.8, [0, 0, 10, 11])]);
    expect(matchDetections(groundTruth, detections, options)).toMatchObject({ truePositives: 2, falsePositives: 0 });
  });

  it('neither misses nor blames in crowds and ignore regions', () => {
    const groundTruth = {
      categories,
      imageIds: [1],
      annotations: [
        label('crowd', 1, [0, 0, 50, 50], { crowd: true }),
        label('unclear', 1, [100, 100, 120, 120], { ignore: true, categoryId: 2 }),
      ],
    };
    const detections = detectionsFromRows(
      [1],
      [
        found(1, 0.9, [0, 0, 10, 10]),
        found(1, 0.8, [20, 20, 30, 30]),
        found(1, 0.7, [100, 100, 120, 120]),
        found(1, 0.6, [30, 0, 40, 10], 2),
      ],
    );
    const matches = matchDetections(groundTruth, detections, options);
    expect(matches).toMatchObject({ truePositives: 0, falsePositives: 1, falseNegatives: 0 });
    expect(matches.images[0]).toMatchObject({ ignored: [0, 1, 2], wrong: [3] });
  });

  it('misses everything where nothing is detected, and has no hard image where nothing is labelled', () => {
    const annotations = [label('a', 1, [0, 0, 10, 10])];
    const missed = matchDetections({ categories, imageIds: [1], annotations }, emptyDetections([1]), options);
    expect(missed.images[0]!.missed).toEqual(annotations);
    const nothing = matchDetections({ categories, imageIds: [1], annotations: [] }, emptyDetections([1]), options);
    expect(hardImages(nothing)).toEqual([]);
  });
});
