/** Letterbox frames, resampling, and labels brought into the frame. */

import { expect, test } from 'vitest';
import { frameOf, letterbox, prepareLabels, resizeBilinear } from '../../../detection/model/input.ts';

const rgb = (width: number, height: number, value: (x: number, y: number) => number) => {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.fill(value(x, y), (y * width + x) * 3, (y * width + x + 1) * 3);
  }
  return { pixels, width, height };
};

test('a wide image stands in the middle of the square, between grey bands', () => {
  const frame = frameOf(8, 4, 4);
  expect(frame).toEqual({ scale: 0.5, padX: 0, padY: 1, contentWidth: 4, contentHeight: 2 });
  const square = letterbox(
    rgb(8, 4, () => 200),
    frame,
    4,
  );
  const column = [0, 1, 2, 3].map((row) => square[row * 4 * 3]);
  expect(column).toEqual([114, 200, 200, 114]);
});

test('an image that its decoder has resized already is copied', () => {
  const image = rgb(4, 2, (x, y) => 10 * x + y);
  const square = letterbox(image, frameOf(400, 200, 4), 4);
  expect([...square.subarray(4 * 3, 3 * 4 * 3)]).toEqual([...image.pixels]);
});

test('halving averages the pixels in between, and doubling keeps the corners', () => {
  const halved = resizeBilinear(
    rgb(2, 2, (x, y) => 10 + 20 * x + 40 * y),
    1,
    1,
  );
  expect(halved[0]).toBe(40);
  const doubled = resizeBilinear(
    rgb(2, 1, (x) => 100 * x),
    4,
    1,
  );
  expect([0, 1, 2, 3].map((x) => doubled[x * 3])).toEqual([0, 25, 75, 100]);
});

test('an image with the wrong number of bytes is refused with both numbers', () => {
  const image = { pixels: new Uint8Array(5), width: 1, height: 1 };
  expect(() => letterbox(image, frameOf(1, 1, 4), 4)).toThrow('has 5 bytes, expected 3');
});

test('boxes move into the frame, and crowds, ignore regions and unknown categories become ignore regions', () => {
  const entry = { width: 100, height: 50 };
  const labels = prepareLabels(
    entry,
    frameOf(100, 50, 50),
    [
      { id: 'a', imageId: 1, categoryId: 7, box: [10, 10, 30, 20] },
      { id: 'b', imageId: 1, categoryId: 7, box: [0, 0, 10, 10], crowd: true },
      { id: 'c', imageId: 1, categoryId: 7, box: [0, 0, 20, 10], ignore: true },
      { id: 'd', imageId: 1, categoryId: 9, box: [90, 40, 120, 60] },
    ],
    [
      { id: 3, name: 'leaf' },
      { id: 7, name: 'cherry' },
    ],
  );
  expect([...labels.boxes]).toEqual([5, 17, 15, 22]);
  expect([...labels.classes]).toEqual([1]);
  expect(labels.annotationIds).toEqual(['a']);
  // The last one is clipped to the image first.
  expect([...labels.ignore]).toEqual([0, 12, 5, 17, 0, 12, 10, 17, 45, 32, 50, 37]);
});

test('an image without labels has empty arrays', () => {
  const labels = prepareLabels({ width: 10, height: 10 }, frameOf(10, 10, 32), [], [{ id: 1, name: 'x' }]);
  expect([labels.boxes.length, labels.classes.length, labels.ignore.length]).toEqual([0, 0, 0]);
});
