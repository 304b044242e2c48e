/** Features of crops: what looks alike comes together, and what a feature is expected to cost. */

import { describe, expect, it } from 'vitest';
import {
  clusterCount,
  clusterFeatures,
  DESCRIPTOR_LENGTH,
  describeCrop,
  expectedProbability,
  fitHalfCount,
  focalLossAt,
} from '../../detection/features.ts';
import { createRandom } from '../../detection/random.ts';

const size = 32;

/** A square of one colour on another, with a little noise. */
function square(colour: readonly number[], ground: readonly number[], seed: number): Uint8Array {
  const random = createRandom(seed);
  const pixels = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const inside = x >= 10 && x < 22 && y >= 10 && y < 22;
      pixels.set(
        (inside ? colour : ground).map((value) => value + random.int(9)),
        (y * size + x) * 3,
      );
    }
  }
  return pixels;
}

describe('clusters', () => {
  it('put together what looks alike, the largest first, the same for the same seed', () => {
    const kinds = [
      [[200, 30, 30], 9],
      [[30, 30, 200], 6],
      [[60, 120, 60], 3],
    ] as const;
    const crops = kinds.flatMap(([colour, count], kind) =>
      Array.from({ length: count }, (_, i) =>
        describeCrop(square(colour, [60, 110, 60], 10 * kind + i), size, [10, 10, 22, 22]),
      ),
    );
    expect(crops.every(({ length }) => length === DESCRIPTOR_LENGTH)).toBe(true);
    const clusters = Array.from(clusterFeatures(crops, 3, 1));
    expect(clusters).toEqual([...Array(9).fill(0), ...Array(6).fill(1), ...Array(3).fill(2)]);
    expect(Array.from(clusterFeatures(crops, 3, 1))).toEqual(clusters);
  });

  it('are the square root of half the targets, 2 to 24, and none of nothing', () => {
    expect([0, 1, 3, 50, 200, 27_000].map(clusterCount)).toEqual([0, 1, 2, 5, 10, 24]);
    expect(clusterFeatures([], 0, 1)).toHaveLength(0);
  });

  it('take a box at the edge of the image', () => {
    const descriptor = describeCrop(square([9, 9, 9], [9, 9, 9], 1), size, [-3, 28, 6, 40]);
    expect(Array.from(descriptor).every(Number.isFinite)).toBe(true);
  });
});

describe('what a feature is expected to cost', () => {
  it('falls with its count, by focal loss at n / (n + h)', () => {
    expect(expectedProbability(10, 10)).toBe(0.5);
    expect(focalLossAt(0.5, { gamma: 2, alpha: 0.25 })).toBeCloseTo(0.25 * 0.25 * Math.log(2), 12);
    expect(focalLossAt(0.5, { gamma: 0, alpha: -1 })).toBeCloseTo(Math.log(2), 12);
  });

  it('finds the count at which p_true is one half', () => {
    const features = [2, 8, 30, 200].map((count) => ({ count, pTrue: count / (count + 12) }));
    expect(fitHalfCount(features)).toBeCloseTo(12, 0);
  });
});
