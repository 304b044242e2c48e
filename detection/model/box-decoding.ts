/** How the raw outputs of a head become a box: in plain numbers, and in tensors for the loss. */

import type { Architecture } from '../types.ts';
import type { Tensor } from './tf.ts';

/**
 * - `bounded`, ours: the centre can leave its cell by half a cell, so that a target on an edge is in reach of both sides; width
 *   and height go from 0 to 4 anchors and cannot overflow as the exponential can (Scaled-YOLOv4, Wang et al., 2021).
 * - `exponential`, darknet's: the centre can leave its cell by (scale - 1) / 2 (`scale_x_y`), which differs between
 *   heads; width and height are anchors times e^x.
 */
export type BoxDecoding =
  | { readonly kind: 'bounded' }
  | {
      readonly kind: 'exponential';
      readonly centreScales: readonly { readonly stride: number; readonly scale: number }[];
    };

/** `scale_x_y` of darknet's yolov4.cfg and yolov4-tiny.cfg. */
const CENTRE_SCALES = {
  yolov4: [
    { stride: 8, scale: 1.2 },
    { stride: 16, scale: 1.1 },
    { stride: 32, scale: 1.05 },
  ],
  'yolov4-tiny': [
    { stride: 16, scale: 1.05 },
    { stride: 32, scale: 1.05 },
  ],
} as const;

export function boxDecoding({ structure = 'csp' }: Architecture): BoxDecoding {
  if (structure === 'csp') return { kind: 'bounded' };
  return { kind: 'exponential', centreScales: CENTRE_SCALES[structure] };
}

/** e^10 anchors are larger than any image; beyond, training would overflow. */
export const EXPONENT_MAX = 10;

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/**
 * The box that `raw[offset..offset+3]` stand for, as xyxy in input pixels. `cells[cell..cell+4]` are the left and top edge
 * of its cell, the stride, and the width and height of its anchor.
 */
export function decodeBoxAt(
  decoding: BoxDecoding,
  raw: Float32Array,
  offset: number,
  cells: Float32Array,
  cell: number,
): [number, number, number, number] {
  const stride = cells[cell + 2]!;
  let scale = 2;
  let across: number;
  let down: number;
  if (decoding.kind === 'bounded') {
    across = (2 * sigmoid(raw[offset + 2]!)) ** 2;
    down = (2 * sigmoid(raw[offset + 3]!)) ** 2;
  } else {
    scale = decoding.centreScales.find((head) => head.stride === stride)!.scale;
    across = Math.exp(Math.min(EXPONENT_MAX, raw[offset + 2]!));
    down = Math.exp(Math.min(EXPONENT_MAX, raw[offset + 3]!));
  }
  const cx = cells[cell]! + (scale * sigmoid(raw[offset]!) - (scale - 1) / 2) * stride;
  const cy = cells[cell + 1]! + (scale * sigmoid(raw[offset + 1]!) - (scale - 1) / 2) * stride;
  const width = cells[cell + 3]! * across;
  const height = cells[cell + 4]! * down;
  return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2];
}

/** Centre and size, each [P, 2], of raw outputs `xy` and `wh` [P, 2] at the cells [P, 5]; rows of stride 1 pad and decode to anything finite. */
export function decodeBoxes(
  decoding: BoxDecoding,
  xy: Tensor,
  wh: Tensor,
  cells: Tensor,
): { centre: Tensor; size: Tensor } {
  // Methods of the tensors and not functions of `tf`, so that the plain form can be used without TensorFlow.
  const [corner, stride, anchor] = cells.split([2, 1, 2], 1) as [Tensor, Tensor, Tensor];
  if (decoding.kind === 'bounded') {
    return {
      centre: corner.add(xy.sigmoid().mul(2).sub(0.5).mul(stride)),
      size: anchor.mul(wh.sigmoid().mul(2).square()),
    };
  }
  let scale: Tensor = stride.zerosLike();
  for (const head of decoding.centreScales) {
    scale = scale.add(stride.equal(head.stride).cast('float32').mul(head.scale));
  }
  const offset = xy.sigmoid().mul(scale).sub(scale.sub(1).mul(0.5));
  return { centre: corner.add(offset.mul(stride)), size: anchor.mul(wh.minimum(EXPONENT_MAX).exp()) };
}
