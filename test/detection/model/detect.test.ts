import { expect, test } from 'vitest';
import { cellGrid } from '../../../detection/model/cells.ts';
import { createDetectorModel } from '../../../detection/model/detect.ts';
import { lossPerGroundTruth } from '../../../detection/model/loss-profile.ts';
import { initialWeights } from '../../../detection/model/network.ts';
import { defaultTrainOptions, trainDetector } from '../../../detection/model/train.ts';
import type { Architecture, NamedTensor } from '../../../detection/types.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

/**
 * Weights that answer the same in every cell of a head, whatever the image: kernels of 0, and the given fields as
 * biases (x, y, w, h, objectness, classes). Other heads see no object anywhere.
 */
function constantWeights(architecture: Architecture, stride: number, fields: readonly number[]): NamedTensor[] {
  return initialWeights(architecture, 1).map((tensor) => {
    const head = /^head(\d+)\/out\/(kernel|bias)$/.exec(tensor.name);
    if (head === null) return tensor;
    const silent = fields.map((_, i) => (i === 4 ? -50 : 0));
    const values = Number(head[1]) === stride ? fields : silent;
    const data = head[2] === 'kernel' ? tensor.data.map(() => 0) : Float32Array.from(values);
    return { ...tensor, data };
  });
}

test('boxes come back in pixels of the original image, clipped to it, best first', () => {
  // One anchor of 32 at stride 16: at every cell a box of 32 around the centre, with probability 1/2.
  const detector = createDetectorModel(tiny, constantWeights(tiny, 16, [0, 0, 0, 0, 0, 0]), { batchSize: 2 });
  // 96 x 48 pixels shown at half size, with 12 rows of padding above and below.
  const image = { ...discImage(7), scale: 0.5, padX: 0, padY: 12, width: 96, height: 48 };
  const { imageIds, image: ids, box, score, category } = detector.detect([image], { nmsIou: 1 });
  detector.dispose();
  expect(imageIds).toEqual([7]);
  expect(new Set(category)).toEqual(new Set([3]));
  expect(new Set(ids)).toEqual(new Set([7]));
  expect(new Set(score)).toEqual(new Set([0.5]));
  const boxes = Array.from({ length: score.length }, (_, i) => Array.from(box.subarray(i * 4, i * 4 + 4)));
  // Centres at 8, 24, 40 in the input: 24 +- 16 is 8..40, in the image 16..80 across and -8..56 down.
  expect(boxes).toContainEqual([16, 0, 80, 48]);
  expect(boxes).toContainEqual([0, 0, 48, 48]);
  for (const [x1, y1, x2, y2] of boxes) {
    expect(Math.min(x1!, y1!)).toBeGreaterThanOrEqual(0);
    expect(x2).toBeLessThanOrEqual(96);
    expect(y2).toBeLessThanOrEqual(48);
  }
});

test('suppression is by category, and the floor and the limit hold', () => {
  const two = {
    ...tiny,
    categories: [
      { id: 3, name: 'disc' },
      { id: 9, name: 'ring' },
    ],
  };
  const logit = (p: number) => Math.log(p / (1 - p));
  const weights = constantWeights(two, 16, [0, 0, 0, 0, logit(0.8), logit(0.5), logit(0.25)]);
  const detector = createDetectorModel(two, weights);
  const images = [1, 2, 3].map((id) => discImage(id));
  // All nine boxes overlap at more than 0: one of each category is left.
  const one = detector.detect(images, { nmsIou: 0 });
  const perImage = one.category.length / 3;
  expect(Array.from(one.category.subarray(0, perImage / 2))).toEqual(Array(perImage / 2).fill(3));
  expect(one.score[0]).toBeCloseTo(0.4, 6);
  expect(one.score[perImage / 2]).toBeCloseTo(0.2, 6);
  expect(detector.detect(images, { nmsIou: 1 }).score.length).toBe(3 * 18);
  expect(detector.detect(images, { nmsIou: 1, scoreFloor: 0.3 }).score.length).toBe(3 * 9);
  expect(detector.detect(images, { nmsIou: 1, maxPerImage: 4 }).score.length).toBe(3 * 4);
  expect(detector.detect([], {}).score.length).toBe(0);
  detector.dispose();
});

test('results are in order of image id, and do not depend on the batch they come in', () => {
  const weights = initialWeights(tiny, 3);
  const images = [5, 2, 9].map((id) => discImage(id));
  const [one, many] = [1, 2].map((batchSize) => createDetectorModel(tiny, weights, { batchSize }));
  const a = one!.detect(images);
  const b = many!.detect(images);
  one!.dispose();
  many!.dispose();
  expect(a.imageIds).toEqual([2, 5, 9]);
  expect(Array.from(a.image)).toEqual(Array.from(b.image));
  for (const [i, score] of a.score.entries()) expect(score).toBeCloseTo(b.score[i]!, 5);
});

test('an image of another size is refused', () => {
  const detector = createDetectorModel(tiny, initialWeights(tiny, 3));
  expect(() => detector.detect([discImage(1, 32)])).toThrow('Image 1 has 3072 bytes, but the network takes 6912.');
  detector.dispose();
});

test('the loss of each ground truth is that of its rows, worked out by hand', () => {
  // Rows of stride 4 with the anchor of 8: a disc of 8 x 8 at the centre of a cell is met exactly.
  const image = {
    ...discImage(1),
    boxes: Float32Array.of(10, 10, 18, 18),
    classes: Int32Array.of(0),
    annotationIds: ['a'],
  };
  const weights = constantWeights(tiny, 4, [0, 0, 0, 0, 0, 0]);
  const options = { assignment: 'best' as const, focal: { alpha: 0.25, gamma: 2, class: false } };
  const [loss] = lossPerGroundTruth(
    { ...tiny, anchors: [[[8, 8]], [[40, 40]], [[48, 48]]] },
    weights,
    [image],
    options,
  );
  expect(loss).toMatchObject({ imageId: 1, annotationId: 'a', class: 0 });
  expect(loss!.box).toBeCloseTo(0, 6);
  // The oracle's focal loss at logit 0.
  expect(loss!.objectness).toBeCloseTo(0.0433217, 6);
  expect(loss!.pTrue).toBeCloseTo(0.5, 6);
  expect(loss!.iou).toBeCloseTo(1, 6);
  expect(loss!.total).toBeCloseTo(0.0433217 * defaultTrainOptions.lossWeights.objectness, 6);
});

test('training lowers the loss of the ground truths it saw', async () => {
  const images = [1, 2, 3, 4].map((id) => discImage(id));
  const before = lossPerGroundTruth(tiny, initialWeights(tiny, 1), images);
  expect(before.map(({ annotationId }) => annotationId)).toEqual(images.flatMap((i) => i.annotationIds));
  const { weights } = await trainDetector(quietJob(tiny, sourceOf(images, 4), { ...defaultTrainOptions, epochs: 60 }));
  const after = lossPerGroundTruth(tiny, weights, images);
  const mean = (list: typeof before) => list.reduce((sum, { total }) => sum + total, 0) / list.length;
  expect(mean(after)).toBeLessThan(mean(before) / 2);
  expect(cellGrid(tiny).count).toBe(144 + 36 + 9);
});
