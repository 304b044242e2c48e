/**
 * The places that the heads predict at: every cell of every head with every anchor is a row. One order for network,
 * targets and detection: by head (rising stride), then y, x, anchor.
 */

import type { Architecture } from '../types.ts';
import { type BoxDecoding, boxDecoding, decodeBoxAt } from './box-decoding.ts';

export { sigmoid } from './box-decoding.ts';

export interface CellGrid {
  /** Rows of one image. */
  readonly count: number;
  /** Fields of a row: x, y, width, height, objectness, then one a category; all raw. */
  readonly fields: number;
  /** [N*5] left and top edge of the cell, stride, width and height of the anchor, in input pixels. */
  readonly cells: Float32Array;
  readonly decoding: BoxDecoding;
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

export function cellGrid(architecture: Architecture): CellGrid {
  const { strides, anchors, imageSize, categories } = architecture;
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
  return { count, fields: 5 + categories.length, cells, decoding: boxDecoding(architecture), heads };
}

/** The box that the raw outputs at `raw[offset..offset+3]` of a row stand for, as xyxy in input pixels. */
export function decodeBox(
  raw: Float32Array,
  offset: number,
  { cells, decoding }: CellGrid,
  row: number,
): [number, number, number, number] {
  return decodeBoxAt(decoding, raw, offset, cells, row * CELL_FIELDS);
}
