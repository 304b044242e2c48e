/** Augmentation keeps labels where their pixels are. */

import { expect, test } from 'vitest';
import { type AugmentOptions, augmentImage, copyImage, mosaic } from '../../../detection/model/augment.ts';
import type { PreparedImage } from '../../../detection/model/types.ts';
import { createRandom } from '../../../detection/random.ts';

const size = 64;
const off: AugmentOptions = { flip: false, colour: 0, mosaic: 0, mosaicOffShare: 0, scale: 0, shift: 0 };

/** A grey image with one white box. */
function boxImage(imageId: number, box: readonly [number, number, number, number]): PreparedImage {
  const pixels = new Uint8Array(size * size * 3).fill(60);
  for (let y = box[1]; y < box[3]; y++) pixels.fill(250, (y * size + box[0]) * 3, (y * size + box[2]) * 3);
  return {
    imageId,
    pixels,
    scale: 1,
    padX: 0,
    padY: 0,
    width: size,
    height: size,
    boxes: Float32Array.from(box),
    classes: Int32Array.of(0),
    annotationIds: ['a'],
    ignore: new Float32Array(0),
  };
}

/** Mean of the green channel inside a box. */
function meanInside(pixels: Uint8Array, boxes: Float32Array, at = 0): number {
  let sum = 0;
  let count = 0;
  for (let y = Math.ceil(boxes[at + 1]!); y < Math.floor(boxes[at + 3]!); y++) {
    for (let x = Math.ceil(boxes[at]!); x < Math.floor(boxes[at + 2]!); x++) {
      sum += pixels[(y * size + x) * 3 + 1]!;
      count++;
    }
  }
  return sum / count;
}

test('with everything off the image is itself, to the byte', () => {
  const image = boxImage(1, [10, 20, 30, 40]);
  const out = new Uint8Array(size * size * 3);
  const labels = augmentImage(image, size, off, createRandom(1), out);
  expect(out).toEqual(image.pixels);
  expect([...labels.boxes]).toEqual([10, 20, 30, 40]);
});

test('a flip mirrors pixels and boxes', () => {
  const image = boxImage(1, [0, 20, 10, 40]);
  const out = new Uint8Array(size * size * 3);
  const flipped = [1, 2, 3, 4, 5, 6, 7, 8]
    .map((seed) => [...augmentImage(image, size, { ...off, flip: true }, createRandom(seed), out).boxes])
    .filter((box) => box[0] !== 0);
  expect(flipped.length).toBeGreaterThan(0);
  expect(flipped[0]).toEqual([54, 20, 64, 40]);
});

test('whatever is drawn, the target lies under its box', () => {
  const strong: AugmentOptions = { flip: true, colour: 0, mosaic: 0, mosaicOffShare: 0, scale: 0.5, shift: 0.2 };
  const out = new Uint8Array(size * size * 3);
  for (let seed = 0; seed < 50; seed++) {
    const labels = augmentImage(boxImage(1, [20, 20, 44, 36]), size, strong, createRandom(seed), out);
    for (let i = 0; i < labels.boxes.length; i += 4) expect(meanInside(out, labels.boxes, i)).toBeGreaterThan(235);
  }
});

test('a mosaic shows four images, each target under its box, inside the square', () => {
  const options: AugmentOptions = { flip: true, colour: 0, mosaic: 1, mosaicOffShare: 0, scale: 0.4, shift: 0 };
  const image = boxImage(1, [16, 16, 48, 48]);
  const out = new Uint8Array(size * size * 3);
  let most = 0;
  for (let seed = 0; seed < 50; seed++) {
    const labels = mosaic([image, image, image, image], size, options, createRandom(seed), out);
    most = Math.max(most, labels.classes.length);
    for (let i = 0; i < labels.boxes.length; i += 4) {
      expect(meanInside(out, labels.boxes, i)).toBeGreaterThan(225);
      expect(Math.min(labels.boxes[i]!, labels.boxes[i + 1]!)).toBeGreaterThanOrEqual(0);
      expect(Math.max(labels.boxes[i + 2]!, labels.boxes[i + 3]!)).toBeLessThanOrEqual(size);
    }
  }
  expect(most).toBe(4);
});

test('a box of which little is left becomes an ignore region', () => {
  const image = boxImage(1, [0, 0, 20, 20]);
  const out = new Uint8Array(size * size * 3);
  let ignored = 0;
  for (let seed = 0; seed < 100; seed++) {
    const labels = augmentImage(image, size, { ...off, shift: 0.3 }, createRandom(seed), out);
    for (let i = 0; i < labels.boxes.length; i += 4) {
      const area = (labels.boxes[i + 2]! - labels.boxes[i]!) * (labels.boxes[i + 3]! - labels.boxes[i + 1]!);
      expect(area / 400).toBeGreaterThanOrEqual(0.2 - 1e-6);
    }
    ignored += labels.ignore.length / 4;
  }
  expect(ignored).toBeGreaterThan(0);
});

test('colour changes turn hue about grey: a grey pixel only gets lighter or darker', () => {
  const out = new Uint8Array(size * size * 3);
  augmentImage(boxImage(1, [0, 0, 64, 64]), size, { ...off, colour: 1 }, createRandom(5), out);
  const [red, green, blue] = [out[0]!, out[1]!, out[2]!];
  expect(Math.max(red, green, blue) - Math.min(red, green, blue)).toBeLessThanOrEqual(1);
});

test('the same seed gives the same pixels', () => {
  const strong: AugmentOptions = { flip: true, colour: 1, mosaic: 1, mosaicOffShare: 0, scale: 0.5, shift: 0.2 };
  const image = boxImage(1, [16, 16, 48, 48]);
  const first = new Uint8Array(size * size * 3);
  const second = new Uint8Array(size * size * 3);
  mosaic([image, image, image, image], size, strong, createRandom(9), first);
  mosaic([image, image, image, image], size, strong, createRandom(9), second);
  expect(first).toEqual(second);
});

test('an image without targets adds no labels', () => {
  const empty = { ...boxImage(1, [1, 1, 2, 2]), boxes: new Float32Array(0), classes: new Int32Array(0) };
  const out = new Uint8Array(size * size * 3);
  expect(copyImage(empty, size, out).boxes.length).toBe(0);
  expect(augmentImage(empty, size, off, createRandom(1), out).boxes.length).toBe(0);
});
