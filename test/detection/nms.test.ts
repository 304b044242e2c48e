import { describe, expect, it } from 'vitest';
import { nms, nmsByCategory, sortByScore, suppressPairwise } from '../../detection/nms.ts';

describe('nms', () => {
  it('keeps nothing of nothing', () => {
    expect([...nms(new Float64Array(0), new Float64Array(0), 0.5)]).toEqual([]);
  });

  it('suppresses above the threshold, not at it', () => {
    // IoU of the first two is 5 / 10, of the first and third 6 / 10
    const boxes = Float64Array.of(0, 0, 10, 1, 0, 0, 5, 1, 0, 0, 6, 1);
    const scores = Float64Array.of(0.9, 0.8, 0.1);
    expect([...nms(boxes, scores, 0.5)]).toEqual([0, 1]);
    expect([...nms(boxes, scores, 0.49)]).toEqual([0]);
  });

  it('keeps the first of equal scores', () => {
    const boxes = Float64Array.of(0, 0, 4, 4, 0, 0, 4, 4, 8, 8, 9, 9);
    expect([...nms(boxes, Float64Array.of(0.5, 0.5, 0.7), 0.5)]).toEqual([2, 0]);
  });

  it('never suppresses a box without area', () => {
    expect([...nms(Float64Array.of(1, 1, 1, 1, 1, 1, 1, 1), Float64Array.of(1, 1), 0)]).toEqual([0, 1]);
  });

  it('names both lengths where they do not fit', () => {
    expect(() => nms(new Float64Array(5), new Float64Array(2), 0.5)).toThrow(
      'nms got 5 coordinates for 2 scores, expected 8.',
    );
  });

  it('gives on the grid what comparing all pairs gives', () => {
    let state = 1;
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state / 0x7fffffff;
    };
    for (let round = 0; round < 60; round++) {
      const count = 256 + Math.floor(random() * 600);
      const boxes = new Float64Array(count * 4);
      const scores = new Float64Array(count);
      const extent = [20, 300, 1e5][round % 3]!;
      for (let i = 0; i < count; i++) {
        const x = (random() - 0.3) * extent;
        const y = (random() - 0.3) * extent;
        const size = extent * 2 ** (-random() * 14);
        boxes.set([x, y, x + size * (0.2 + random()), y + size * (0.2 + random())], i * 4);
        scores[i] = Math.round(random() * 50) / 50;
      }
      // some copies, nested, empty and enormous boxes
      for (let i = 0; i < 40; i++) boxes.copyWithin(4 * Math.floor(random() * count), 4 * i, 4 * i + 4);
      boxes.set([0, 0, 0, 0, -1e9, -1e9, 1e9, 1e9, 0, 0, 1e-6, 1e-6], 0);
      for (const threshold of [0, 0.05, 0.3, 0.5, 0.9, 1]) {
        const expected = suppressPairwise(boxes, sortByScore(scores), threshold);
        expect([...nms(boxes, scores, threshold)]).toEqual([...expected]);
      }
    }
  });
});

describe('nmsByCategory', () => {
  const boxes = Float64Array.of(0, 0, 4, 4, 0, 0, 4, 4, 0, 0, 4, 4);
  const scores = Float64Array.of(0.5, 0.9, 0.7);

  it('suppresses only within a category', () => {
    expect([...nmsByCategory(boxes, scores, [1, 2, 1], 0.5)]).toEqual([1, 2]);
  });

  it('keeps the best up to the limit', () => {
    expect([...nmsByCategory(boxes, scores, [1, 2, 3], 0.5, 2)]).toEqual([1, 2]);
  });
});
