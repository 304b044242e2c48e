import { expect, test } from 'vitest';
import { anchorsForBoxes } from '../../../detection/model/anchors.ts';
import { createRandom } from '../../../detection/random.ts';

const strides = [8, 16, 32];

test('clusters of sizes are found, in rising area, at the head of their size', () => {
  const random = createRandom(1);
  const centres = [
    [8, 8],
    [12, 20],
    [28, 24],
    [40, 40],
    [50, 60],
    [60, 44],
    [100, 90],
    [150, 140],
    [80, 300],
  ] as const;
  const sizes: number[] = [];
  for (let i = 0; i < 900; i++) {
    const [w, h] = centres[i % 9]!;
    sizes.push(w * (0.95 + 0.1 * random.next()), h * (0.95 + 0.1 * random.next()));
  }
  const anchors = anchorsForBoxes(sizes, { strides, seed: 1 });
  expect(anchors.map((head) => head.length)).toEqual([3, 3, 3]);
  const flat = anchors.flat();
  for (const [w, h] of centres) {
    expect(flat.some(([a, b]) => Math.abs(a / w - 1) < 0.05 && Math.abs(b / h - 1) < 0.05)).toBe(true);
  }
  for (const head of anchors) {
    for (let i = 1; i < head.length; i++)
      expect(head[i]![0] * head[i]![1]).toBeGreaterThan(head[i - 1]![0] * head[i - 1]![1]);
  }
  expect(anchorsForBoxes(sizes, { strides, seed: 1 })).toEqual(anchors);
});

test('a set of small targets only leaves the coarse heads to sizes that suit them', () => {
  const anchors = anchorsForBoxes([8, 8, 9, 10, 12, 11, 14, 15], { strides, seed: 1 });
  for (const [w, h] of anchors[0]!) expect(Math.max(w, h)).toBeLessThanOrEqual(15);
  for (const [w, h] of anchors[2]!) expect(Math.min(w, h)).toBeGreaterThanOrEqual(32);
});

test('fewer boxes than anchors, equal boxes, or none, still give as many different anchors as asked for', () => {
  for (const sizes of [[], [10, 10], [10, 10, 10, 10, 10, 10], [20, 10, 0, 5, Number.NaN, 3]]) {
    const anchors = anchorsForBoxes(sizes, { strides, perHead: 4, seed: 1 });
    expect(anchors.map((head) => new Set(head.map(String)).size)).toEqual([4, 4, 4]);
  }
  expect(anchorsForBoxes([10, 10], { strides, seed: 1 })[0]).toContainEqual([10, 10]);
});
