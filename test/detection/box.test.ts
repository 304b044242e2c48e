import { describe, expect, it } from 'vitest';
import {
  area,
  ciou,
  clip,
  coverage,
  cxcywhToXyxy,
  diou,
  giou,
  iou,
  xywhToXyxy,
  xyxyToCxcywh,
  xyxyToXywh,
} from '../../detection/box.ts';
import type { Box } from '../../detection/types.ts';

describe('conversions', () => {
  it('lead there and back', () => {
    const box: Box = [3, 5, 10, 21];
    expect(xyxyToXywh(box)).toEqual([3, 5, 7, 16]);
    expect(xyxyToCxcywh(box)).toEqual([6.5, 13, 7, 16]);
    expect(xywhToXyxy(xyxyToXywh(box))).toEqual(box);
    expect(cxcywhToXyxy(xyxyToCxcywh(box))).toEqual(box);
  });
});

describe('overlap', () => {
  it('of [0,0,4,2] and [1,1,3,5] is 2 of 14 square pixels', () => {
    expect(iou([0, 0, 4, 2], [1, 1, 3, 5])).toBe(2 / 14);
    expect(coverage([0, 0, 4, 2], [1, 1, 3, 5])).toBe(2 / 8);
  });

  it('is 0 for boxes that only touch, and never NaN', () => {
    expect(iou([0, 0, 2, 2], [2, 0, 4, 2])).toBe(0);
    expect(iou([1, 1, 1, 1], [1, 1, 1, 1])).toBe(0);
    expect(giou([1, 1, 1, 1], [1, 1, 1, 1])).toBe(0);
    expect(diou([1, 1, 1, 1], [1, 1, 1, 1])).toBe(0);
    expect(ciou([1, 1, 1, 1], [1, 1, 1, 1])).toBe(0);
  });

  it('has the values of the oracles', () => {
    const cases: [Box, Box, { iou: number; giou?: number; diou: number; ciou: number }][] = [
      [[0, 0, 4, 2], [1, 1, 3, 5], { iou: 0.142857, giou: -0.157143, diou: 0.045296, ciou: 0.017817 }],
      [[0, 0, 10, 10], [2, 0, 12, 5], { iou: 0.363636, diou: 0.321628, ciou: 0.319033 }],
      [[0, 0, 2, 2], [3, 3, 7, 4], { iou: 0, giou: -0.714286, diou: -0.342308, ciou: -0.354835 }],
    ];
    for (const [a, b, expected] of cases) {
      expect(iou(a, b)).toBeCloseTo(expected.iou, 6);
      if (expected.giou !== undefined) expect(giou(a, b)).toBeCloseTo(expected.giou, 6);
      expect(diou(a, b)).toBeCloseTo(expected.diou, 6);
      expect(ciou(a, b)).toBeCloseTo(expected.ciou, 6);
    }
  });

  it('of a box with itself is 1 by every measure', () => {
    const box: Box = [2, 3, 9, 5];
    for (const measure of [iou, giou, diou, ciou]) expect(measure(box, box)).toBe(1);
  });
});

describe('clip', () => {
  it('cuts at the image border', () => {
    expect(clip([-2, 3, 12, 8], 10, 6)).toEqual([0, 3, 10, 6]);
  });

  it('leaves nothing of a box outside', () => {
    expect(area(clip([20, 20, 30, 30], 10, 10))).toBe(0);
  });
});
