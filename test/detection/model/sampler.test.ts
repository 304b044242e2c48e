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
