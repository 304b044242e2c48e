/** Boxes as plain numbers: conversions, area, overlap measures, clipping. xyxy with edges, never pixel centres. */

import type { Box } from './types.ts';

/** COCO's form [x, y, width, height], x and y being the upper left corner. */
export type XywhBox = readonly [number, number, number, number];
/** YOLO's form [centre x, centre y, width, height]. */
export type CxcywhBox = readonly [number, number, number, number];

export function xywhToXyxy([x, y, width, height]: XywhBox): Box {
  return [x, y, x + width, y + height];
}

export function xyxyToXywh([x1, y1, x2, y2]: Box): XywhBox {
  return [x1, y1, x2 - x1, y2 - y1];
}

export function cxcywhToXyxy([cx, cy, width, height]: CxcywhBox): Box {
  return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2];
}

export function xyxyToCxcywh([x1, y1, x2, y2]: Box): CxcywhBox {
  return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
}

/** Square pixels; 0 for a box without extent. */
export function area(box: Box): number {
  return Math.max(0, box[2] - box[0]) * Math.max(0, box[3] - box[1]);
}

/** Square pixels that both boxes cover. */
export function intersection(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return width > 0 && height > 0 ? width * height : 0;
}

/** Intersection over union, 0..1; 0 where neither box has an area, so that it never is NaN. */
export function iou(a: Box, b: Box): number {
  const shared = intersection(a, b);
  return shared > 0 ? shared / (area(a) + area(b) - shared) : 0;
}

/** The share of `a` that lies inside `b`, 0..1: COCO's overlap with a crowd. */
export function coverage(a: Box, b: Box): number {
  const shared = intersection(a, b);
  return shared > 0 ? shared / area(a) : 0;
}

/** Generalized IoU (Rezatofighi et al. 2019), -1..1. */
export function giou(a: Box, b: Box): number {
  const union = area(a) + area(b) - intersection(a, b);
  const hull = hullWidth(a, b) * hullHeight(a, b);
  return hull > 0 ? iou(a, b) - (hull - union) / hull : 0;
}

/** Distance IoU (Zheng et al. 2020), -1..1. */
export function diou(a: Box, b: Box): number {
  const dx = (a[0] + a[2] - b[0] - b[2]) / 2;
  const dy = (a[1] + a[3] - b[1] - b[3]) / 2;
  const diagonalSquared = hullWidth(a, b) ** 2 + hullHeight(a, b) ** 2;
  return diagonalSquared > 0 ? iou(a, b) - (dx * dx + dy * dy) / diagonalSquared : 0;
}

/** Complete IoU (Zheng et al. 2020): DIoU less a term for unequal aspect. `b` is the target. */
export function ciou(a: Box, b: Box): number {
  const angleA = Math.atan2(a[2] - a[0], a[3] - a[1]);
  const angleB = Math.atan2(b[2] - b[0], b[3] - b[1]);
  const aspect = (4 / Math.PI ** 2) * (angleB - angleA) ** 2;
  // Equal boxes have aspect 0 and IoU 1, where alpha would be 0/0.
  const alpha = aspect > 0 ? aspect / (1 - iou(a, b) + aspect) : 0;
  return diou(a, b) - alpha * aspect;
}

/** The part of the box inside the image; without extent (x2 <= x1 or y2 <= y1) where it lies outside. */
export function clip(box: Box, imageWidth: number, imageHeight: number): Box {
  return [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(imageWidth, box[2]), Math.min(imageHeight, box[3])];
}

function hullWidth(a: Box, b: Box): number {
  return Math.max(a[2], b[2]) - Math.min(a[0], b[0]);
}

function hullHeight(a: Box, b: Box): number {
  return Math.max(a[3], b[3]) - Math.min(a[1], b[1]);
}
