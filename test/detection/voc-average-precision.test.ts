import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type DetectionRow, detectionsFromRows, emptyDetections } from '../../detection/detections.ts';
import type { Annotation, Box } from '../../detection/types.ts';
import { evaluateVoc } from '../../detection/voc-average-precision.ts';
import { hasOracles, oraclesFolder } from './oracles.ts';

describe('evaluateVoc', () => {
  it.skipIf(!hasOracles).each([
    [0.1, 0.3333333333, 0.3371980676],
    [0.3, 0.2683982683, 0.2456866804],
    [0.5, 0.0303030303, 0.0222222222],
    [0.75, 0, 0],
  ])('equals the table of the oracle at IoU %d', (iou, elevenPoint, everyPoint) => {
    const { groundTruth, detections } = readOracle();
    expect(evaluateVoc(groundTruth, detections, { rule: '2007', iou }).mAP).toBeCloseTo(elevenPoint, 9);
    expect(evaluateVoc(groundTruth, detections, { rule: '2012', iou }).mAP).toBeCloseTo(everyPoint, 9);
  });

  const groundTruth = {
    categories: [
      { id: 1, name: 'berry' },
      { id: 2, name: 'bud' },
    ],
    imageIds: [1],
    annotations: [
      { id: 'a', imageId: 1, categoryId: 1, box: [0, 0, 9, 9] as Box },
      { id: 'b', imageId: 1, categoryId: 1, box: [40, 40, 49, 49] as Box, ignore: true },
    ],
  };

  it('counts the last pixel: widths of [0, 9] are 10', () => {
    // 50 of 100 pixels
    const half = detectionsFromRows([1], [{ imageId: 1, categoryId: 1, box: [0, 0, 9, 4], score: 1 }]);
    expect(evaluateVoc(groundTruth, half, { rule: '2012', iou: 0.5 }).perCategory.berry).toEqual({ AP: 1 });
  });

  it('forgives what is found of a difficult one, and leaves a category without ground truth out of the mean', () => {
    const both = detectionsFromRows(
      [1],
      [
        { imageId: 1, categoryId: 1, box: [40, 40, 49, 49], score: 0.9 },
        { imageId: 1, categoryId: 1, box: [0, 0, 9, 9], score: 0.8 },
        { imageId: 1, categoryId: 2, box: [0, 0, 9, 9], score: 0.8 },
      ],
    );
    expect(evaluateVoc(groundTruth, both, { rule: '2007' })).toEqual({
      mAP: expect.closeTo(1, 12),
      perCategory: { berry: { AP: expect.closeTo(1, 12) }, bud: { AP: -1 } },
    });
  });

  it('gives 0 without detections', () => {
    expect(evaluateVoc(groundTruth, emptyDetections([1]), { rule: '2012' }).mAP).toBe(0);
  });
});

/** One text file an image: `class x y w h`, and `class score x y w h`. */
function readOracle() {
  const read = (folder: string) =>
    readdirSync(`${oraclesFolder}voc-ap/${folder}`).flatMap((name) =>
      readFileSync(`${oraclesFolder}voc-ap/${folder}/${name}`, 'utf8')
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => ({ imageId: Number.parseInt(name, 10), values: line.trim().split(/\s+/).slice(1).map(Number) })),
    );
  const annotations: Annotation[] = read('ground-truth').map(({ imageId, values: [x, y, w, h] }, i) => ({
    id: `a${i}`,
    imageId,
    categoryId: 1,
    box: [x!, y!, x! + w!, y! + h!],
  }));
  const rows: DetectionRow[] = read('detections').map(({ imageId, values: [score, x, y, w, h] }) => ({
    imageId,
    categoryId: 1,
    box: [x!, y!, x! + w!, y! + h!],
    score: score!,
  }));
  const imageIds = [...new Set([...annotations, ...rows].map(({ imageId }) => imageId))];
  return {
    groundTruth: { categories: [{ id: 1, name: 'object' }], imageIds, annotations },
    detections: detectionsFromRows(imageIds, rows),
  };
}
