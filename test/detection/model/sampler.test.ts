/** Batches as a pure function of the step. */

import { expect, test } from 'vitest';
import { type BatchSourceOptions, createBatchSource } from '../../../detection/model/sampler.ts';
import type { PreparedImage } from '../../../detection/model/types.ts';

const size = 32;

function image(imageId: number): PreparedImage {
  return {
    imageId,
    pixels: new Uint8Array(size * size * 3).fill(imageId),
    scale: 1,
    padX: 0,
    padY: 0,
    width: size,
    height: size,
    boxes: Float32Array.of(4, 4, 20, 20),
    classes: Int32Array.of(0),
    annotationIds: [`a${imageId}`],
    ignore: new Float32Array(0),
  };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const whole = (ids: readonly number[]) => ids.map((image) => ({ image }));
const options = (changes: Partial<BatchSourceOptions>): BatchSourceOptions => ({
  images: new Map(range(1, 41).map((id) => [id, image(id)])),
  select: whole(range(1, 11)),
  batchSize: 4,
  inputSize: size,
  seed: 1,
  augment: null,
  totalSteps: 100,
  ...changes,
});
const idsOf = (source: ReturnType<typeof createBatchSource>, steps: number) =>
  range(0, steps).flatMap((step) => [...source.batch(step).imageIds]);

test('every epoch shows each image once, in an order of its own, across the borders of batches', () => {
  const ids = idsOf(createBatchSource(options({})), 5);
  const first = ids.slice(0, 10);
  const second = ids.slice(10, 20);
  expect([...first].sort((a, b) => a - b)).toEqual(range(1, 11));
  expect([...second].sort((a, b) => a - b)).toEqual(range(1, 11));
  expect(first).not.toEqual(second);
});

test('a batch depends on its step alone, not on what was asked before', () => {
  const augment = { flip: true, colour: 1, mosaic: 0.5, mosaicOffShare: 0, scale: 0.5, shift: 0.1 };
  const walked = createBatchSource(options({ augment }));
  for (const step of range(0, 7)) walked.batch(step);
  expect(walked.batch(7)).toEqual(createBatchSource(options({ augment })).batch(7));
});

test('fewer images than a batch wrap around', () => {
  const source = createBatchSource(options({ select: whole([3, 5]), batchSize: 5 }));
  const counts = [...source.batch(0).imageIds].sort((a, b) => a - b);
  expect(source.stepsPerEpoch).toBe(1);
  expect([2, 3]).toContain(counts.filter((id) => id === 3).length);
  expect(counts.length).toBe(5);
});

test('replayed images are the given share of an epoch, none of the selection, and come equally often', () => {
  const source = createBatchSource(
    options({ select: whole(range(1, 8)), replay: { from: whole(range(1, 13)), share: 0.3 } }),
  );
  const perEpoch = 10;
  // Five ordinary images, three an epoch: in five epochs each three times.
  const ids = idsOf(source, 13).slice(0, 5 * perEpoch);
  for (const epoch of range(0, 5)) {
    const own = ids.slice(epoch * perEpoch, (epoch + 1) * perEpoch).filter((id) => id < 8);
    expect([...own].sort((a, b) => a - b)).toEqual(range(1, 8));
  }
  for (const id of range(8, 13)) expect(ids.filter((other) => other === id).length).toBe(3);
});

test('a share of 0 replays nothing, and a share of 1 is refused', () => {
  expect(createBatchSource(options({ replay: { from: whole(range(20, 30)), share: 0 } })).stepsPerEpoch).toBe(3);
  expect(() => createBatchSource(options({ replay: { from: whole([20]), share: 1 } }))).toThrow('is 1, expected');
});

test('mosaic ends with the last share of the steps', () => {
  const augment = { flip: false, colour: 0, mosaic: 1, mosaicOffShare: 0.5, scale: 0, shift: 0 };
  const source = createBatchSource(options({ augment, totalSteps: 10 }));
  // Without mosaic every picture is of one colour, its image's id.
  const plain = (step: number) => {
    const batch = source.batch(step);
    const bytes = size * size * 3;
    return batch.imageIds.every((id, i) => batch.pixels.subarray(i * bytes, (i + 1) * bytes).every((p) => p === id));
  };
  expect(plain(4)).toBe(false);
  expect(plain(5)).toBe(true);
});

test('an empty selection and an unknown image are errors that say so', () => {
  expect(() => createBatchSource(options({ select: [] }))).toThrow('at least one image');
  expect(() => createBatchSource(options({ select: whole([99]) })).batch(0)).toThrow('Image 99 is selected');
});

test('windows are packed by their size, never magnified, and their boxes keep to them', () => {
  // Four quarters of one image and a half of another: 2 x 2 windows make a canvas, the half one of its own.
  const quarter = size / 2;
  const select = [
    ...[0, quarter].flatMap((x) =>
      [0, quarter].map((y) => ({ image: 1, window: [x, y, x + quarter, y + quarter] as const })),
    ),
    { image: 2, window: [0, 0, size, quarter] as const },
  ];
  const source = createBatchSource(options({ select, batchSize: 2 }));
  expect(source.stepsPerEpoch).toBe(1);
  const { imageIds, pixels, boxes, ignore } = source.batch(0);
  expect([...imageIds].sort()).toEqual([1, 2]);
  const canvas = imageIds.indexOf(1);
  // The box [4, 4, 20, 20] lies to 56 % in the first quarter, 19 % in two of them, 6 % in the last.
  const [x1, y1, x2, y2] = boxes[canvas]!;
  expect([boxes[canvas]!.length, x2! - x1!, y2! - y1!]).toEqual([4, 12, 12]);
  expect(ignore[canvas]!.length / 4).toBe(3);
  const bytes = size * size * 3;
  expect(pixels.subarray(canvas * bytes, (canvas + 1) * bytes).every((value) => value === 1)).toBe(true);
  // A window of the full width and half the height stands in the middle of its canvas, grey above and below.
  const half = pixels.subarray((1 - canvas) * bytes, (2 - canvas) * bytes);
  expect([half[0], half[bytes / 2], half[bytes - 1]]).toEqual([114, 2, 114]);
  expect([...boxes[1 - canvas]!]).toEqual([4, size / 4 + 4, 20, size / 4 + 16]);
});

test('windows meet others in every epoch, and each is shown once in it', () => {
  const select = range(1, 9).map((image) => ({ image, window: [0, 0, 16, 16] as const }));
  const source = createBatchSource(options({ select, batchSize: 2 }));
  const shown = range(0, 4).map((step) => [...source.batch(step).shown!].sort((a, b) => a - b));
  for (const ids of shown) expect(ids).toEqual(range(1, 9));
  const companions = new Set(range(0, 6).map((step) => [...source.batch(step).imageIds].join(' ')));
  expect(companions.size).toBeGreaterThan(1);
});

test('weights go with their boxes, through mosaics too', () => {
  const weighted = new Map(range(1, 5).map((id) => [id, { ...image(id), weights: Float32Array.of(id) }]));
  const augment = { flip: true, colour: 0, mosaic: 0.5, mosaicOffShare: 0, scale: 0.2, shift: 0 };
  const source = createBatchSource(options({ images: weighted, select: whole(range(1, 5)), augment }));
  for (const step of range(0, 6)) {
    const { boxes, weights, shown } = source.batch(step);
    for (const [i, own] of weights!.entries()) {
      expect(own.length).toBe(boxes[i]!.length / 4);
      for (const weight of own) expect(shown).toContain(weight);
    }
  }
  expect(createBatchSource(options({})).batch(0).weights).toBeUndefined();
});

test('replayed images come from the strata in proportion, in every epoch as nearly as whole images allow', () => {
  // 12 of one kind, 6 of another, 2 of a rare one; 5 of 10 an epoch.
  const stratify = new Map(range(11, 31).map((id) => [id, id < 23 ? 'plain' : id < 29 ? 'crowded' : 'rare']));
  const replay = { from: whole(range(11, 31)), share: 1 / 3, stratify };
  const source = createBatchSource(options({ select: whole(range(1, 11)), replay, batchSize: 15 }));
  const counts = range(0, 4).map((step) => {
    const drawn = source.batch(step).imageIds.filter((id) => id > 10);
    return ['plain', 'crowded', 'rare'].map((name) => drawn.filter((id) => stratify.get(id) === name).length);
  });
  for (const [plain, crowded, rare] of counts) {
    expect(plain! + crowded! + rare!).toBe(5);
    expect(plain).toBe(3);
  }
  // 1.5 and 0.5 an epoch: whole over two of them.
  expect([counts[0]![2]! + counts[1]![2]!, counts[2]![2]! + counts[3]![2]!]).toEqual([1, 1]);
});

test('the side of a batch is drawn anew every so many batches, and its labels keep to its pixels', () => {
  const multiScale = { range: 0.5, every: 3 };
  const source = createBatchSource(options({ multiScale, multipleOf: 8 }));
  const sides = range(0, 90).map((step) => source.batch(step).inputSize!);
  expect([...new Set(sides)].sort((a, b) => a - b)).toEqual([16, 24, 32, 40, 48]);
  for (const step of range(0, 90)) expect(sides[step]).toBe(sides[step - (step % 3)]);
  for (const step of [0, 3, 6, 9]) {
    const { boxes, pixels, inputSize } = source.batch(step);
    expect(pixels.length).toBe(4 * inputSize! ** 2 * 3);
    const factor = inputSize! / size;
    expect([...boxes[0]!]).toEqual([4 * factor, 4 * factor, 20 * factor, 20 * factor]);
  }
});
