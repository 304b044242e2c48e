/**
 * The places that the heads predict at: every cell of every head with every anchor is a row. One order for network,
 * targets and detection: by head (rising stride), then y, x, anchor.
 */

import type { Architecture } from '../types.ts';

export interface CellGrid {
  /** Rows of one image. */
  readonly count: number;
  /** Fields of a row: x, y, width, height, objectness, then one a category; all raw. */
  readonly fields: number;
  /** [N*5] left and top edge of the cell, stride, width and height of the anchor, in input pixels. */
  readonly cells: Float32Array;
  readonly heads: readonly {
    readonly stride: number;
    /** Cells along a side. */
    readonly side: number;
    /** Row of the first cell. */
    readonly start: number;
    readonly anchors: readonly (readonly [number, number])[];
  }[];
}

export const CELL_FIELDS = 5;

export function cellGrid({ strides, anchors, imageSize, categories }: Architecture): CellGrid {
  let count = 0;
  const heads = strides.map((stride, i) => {
    const side = imageSize / stride;
    const start = count;
    count += side * side * anchors[i]!.length;
    return { stride, side, start, anchors: anchors[i]! };
  });
  const cells = new Float32Array(count * CELL_FIELDS);
  let at = 0;
  for (const { stride, side, anchors: sizes } of heads) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        for (const [width, height] of sizes) {
          cells.set([x * stride, y * stride, stride, width, height], at);
          at += CELL_FIELDS;
        }
      }
    }
  }
  return { count, fields: 5 + categories.length, cells, heads };
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/**
 * The box that the raw outputs at `raw[offset..offset+3]` stand for, as xyxy in input pixels. The centre can leave
 * its cell by half a cell (as with YOLOv4's `scale_x_y`), so that a target on an edge is in reach of both sides;
 * width and height go from 0 to 4 anchors and cannot overflow as the exponential can (Scaled-YOLOv4, Wang et al., 2021).
 */
export function decodeBox(
  raw: Float32Array,
  offset: number,
  { cells }: CellGrid,
  row: number,
): [number, number, number, number] {
  const cell = row * CELL_FIELDS;
  const stride = cells[cell + 2]!;
  const cx = cells[cell]! + (2 * sigmoid(raw[offset]!) - 0.5) * stride;
  const cy = cells[cell + 1]! + (2 * sigmoid(raw[offset + 1]!) - 0.5) * stride;
  const width = cells[cell + 3]! * (2 * sigmoid(raw[offset + 2]!)) ** 2;
  const height = cells[cell + 4]! * (2 * sigmoid(raw[offset + 3]!)) ** 2;
  return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2];
}
