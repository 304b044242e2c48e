import { describe, expect, it } from 'vitest';
import { coveredArea, hardWindows, isWithin } from '../../detection/hard-windows.ts';
import { createRandom } from '../../detection/random.ts';
import type { Box } from '../../detection/types.ts';

const image = { width: 200, height: 100, share: 0.25 };
const inside = (window: Box, box: Box) =>
  window[0] <= box[0] && window[1] <= box[1] && window[2] >= box[2] && window[3] >= box[3];

describe('hardWindows', () => {
  it('centres a window on a lone error', () => {
    // half of the 50 pixels on each side of (100, 50)
    expect(hardWindows([[96, 46, 104, 54]], image)).toEqual([[75, 25, 125, 75]]);
  });

  it('shows what is near together in one window, and what is far apart in two', () => {
    const near: Box[] = [
      [10, 10, 18, 18],
      [34, 30, 42, 38],
    ];
    expect(hardWindows(near, image)).toEqual([[1, 0, 51, 50]]);
    expect(hardWindows([...near, [150, 60, 160, 70]], image)).toHaveLength(2);
  });

  it('ends where the image ends', () => {
    expect(hardWindows([[190, 92, 200, 100]], image)).toEqual([[150, 50, 200, 100]]);
    // the window would be 100 pixels high, the image has 60
    expect(hardWindows([[5, 5, 10, 10]], { width: 200, height: 60, share: 0.5 })).toEqual([[0, 0, 100, 60]]);
  });

  it('grows for an error that is larger than it, with what is around that', () => {
    // a quarter of 80 and of 20 pixels on each side
    expect(hardWindows([[60, 40, 140, 60]], image)).toEqual([[40, 25, 160, 75]]);
    expect(hardWindows([[0, 0, 200, 100]], image)).toEqual([[0, 0, 200, 100]]);
  });

  it('has no windows where there is no error', () => {
    expect(hardWindows([], image)).toEqual([]);
  });

  it('holds every error, inside the image, with at most one window an error, whatever their order', () => {
    const random = createRandom('windows');
    for (let trial = 0; trial < 200; trial++) {
      const [width, height] = [40 + random.int(300), 40 + random.int(300)];
      const errors = Array.from({ length: random.int(30) }, (): Box => {
        const [w, h] = [2 + 30 * random.next(), 2 + 30 * random.next()];
        const [x, y] = [random.next() * (width - w), random.next() * (height - h)];
        return [x, y, x + w, y + h];
      });
      const windows = hardWindows(errors, { width, height, share: 0.2 + 0.5 * random.next() });
      expect(windows.length).toBeLessThanOrEqual(errors.length);
      for (const error of errors) expect(windows.some((window) => inside(window, error))).toBe(true);
      for (const window of windows) {
        expect(inside([0, 0, width, height], window)).toBe(true);
        expect(window.every(Number.isInteger)).toBe(true);
      }
      const shuffled = [...errors].sort((a, b) => a[2] - b[2]);
      expect(hardWindows(shuffled, { width, height, share: 0.3 })).toEqual(
        hardWindows(errors, { width, height, share: 0.3 }),
      );
    }
  });
});

describe('what windows cover', () => {
  it('counts once what two of them share', () => {
    expect(coveredArea([])).toBe(0);
    expect(coveredArea([[0, 0, 10, 10]])).toBe(100);
    expect(
      coveredArea([
        [0, 0, 10, 10],
        [5, 5, 15, 15],
        [30, 0, 40, 10],
      ]),
    ).toBe(275);
  });

  it('goes by the middle of a box', () => {
    expect(isWithin([8, 0, 11, 4], [[0, 0, 10, 10]])).toBe(true);
    expect(isWithin([9, 0, 12, 4], [[0, 0, 10, 10]])).toBe(false);
  });
});
