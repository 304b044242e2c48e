/** Where the canvas looks: image pixels to canvas pixels and back. Pure, so that it can be tested without a canvas. */

import type { Box } from '../../detection/types.ts';

export interface View {
  /** Canvas pixels a pixel of the image. */
  readonly scale: number;
  /** Place of the image's origin on the canvas. */
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

const scaleMax = 64;

/** The whole box, centred, with a margin. */
export function fitBox([x1, y1, x2, y2]: Box, canvas: Size, margin = 0): View {
  const width = Math.max(1, canvas.width - 2 * margin);
  const height = Math.max(1, canvas.height - 2 * margin);
  const scale = Math.min(scaleMax, width / (x2 - x1), height / (y2 - y1));
  return {
    scale,
    x: canvas.width / 2 - (scale * (x1 + x2)) / 2,
    y: canvas.height / 2 - (scale * (y1 + y2)) / 2,
  };
}

/** Zooms around a point of the canvas, which keeps its place in the image. */
export function zoomAt(view: View, factor: number, at: readonly [number, number], scaleMin: number): View {
  const scale = Math.min(scaleMax, Math.max(scaleMin, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: at[0] - (at[0] - view.x) * ratio, y: at[1] - (at[1] - view.y) * ratio };
}

export const pan = (view: View, dx: number, dy: number): View => ({ ...view, x: view.x + dx, y: view.y + dy });

export const toImage = ({ scale, x, y }: View, [cx, cy]: readonly [number, number]): [number, number] => [
  (cx - x) / scale,
  (cy - y) / scale,
];

/** The part of the image that is seen, in whole pixels inside it. */
export function seenPart(view: View, canvas: Size, image: Size): Box | null {
  const [x1, y1] = toImage(view, [0, 0]);
  const [x2, y2] = toImage(view, [canvas.width, canvas.height]);
  const box: Box = [
    Math.max(0, Math.floor(x1)),
    Math.max(0, Math.floor(y1)),
    Math.min(image.width, Math.ceil(x2)),
    Math.min(image.height, Math.ceil(y2)),
  ];
  return box[2] > box[0] && box[3] > box[1] ? box : null;
}

/** What of a box is taken hold of: edges by name, `move` inside, null outside. */
export type Grip = 'n' | 's' | 'e' | 'w' | 'ne' | 'nw' | 'se' | 'sw' | 'move';

/** `reach` in image pixels. A corner wins over an edge, an edge over the inside. */
export function gripAt([x1, y1, x2, y2]: Box, [x, y]: readonly [number, number], reach: number): Grip | null {
  const inX = x > x1 - reach && x < x2 + reach;
  const inY = y > y1 - reach && y < y2 + reach;
  if (!inX || !inY) return null;
  // In a box smaller than the reach the nearer edge counts.
  const west = Math.abs(x - x1) < reach && Math.abs(x - x1) <= Math.abs(x - x2);
  const east = !west && Math.abs(x - x2) < reach;
  const north = Math.abs(y - y1) < reach && Math.abs(y - y1) <= Math.abs(y - y2);
  const south = !north && Math.abs(y - y2) < reach;
  const name = `${north ? 'n' : south ? 's' : ''}${west ? 'w' : east ? 'e' : ''}`;
  return name === '' ? 'move' : (name as Grip);
}

/** The box after its grip was moved by so many image pixels; inside the image, never smaller than a pixel, never inside out. */
export function drag(box: Box, grip: Grip, dx: number, dy: number, image: Size): Box {
  let [x1, y1, x2, y2] = box;
  if (grip === 'move') {
    const mx = Math.min(image.width - x2, Math.max(-x1, dx));
    const my = Math.min(image.height - y2, Math.max(-y1, dy));
    return [x1 + mx, y1 + my, x2 + mx, y2 + my];
  }
  if (grip.includes('w')) x1 = Math.min(x2 - 1, Math.max(0, x1 + dx));
  if (grip.includes('e')) x2 = Math.max(x1 + 1, Math.min(image.width, x2 + dx));
  if (grip.includes('n')) y1 = Math.min(y2 - 1, Math.max(0, y1 + dy));
  if (grip.includes('s')) y2 = Math.max(y1 + 1, Math.min(image.height, y2 + dy));
  return [x1, y1, x2, y2];
}

/** The box between two points, inside the image; null where it would be thinner than a pixel. */
export function boxBetween(a: readonly [number, number], b: readonly [number, number], image: Size): Box | null {
  const clampX = (x: number) => Math.min(image.width, Math.max(0, x));
  const clampY = (y: number) => Math.min(image.height, Math.max(0, y));
  const box: Box = [
    clampX(Math.min(a[0], b[0])),
    clampY(Math.min(a[1], b[1])),
    clampX(Math.max(a[0], b[0])),
    clampY(Math.max(a[1], b[1])),
  ];
  return box[2] - box[0] >= 1 && box[3] - box[1] >= 1 ? box : null;
}

/** Tenths of a pixel are finer than anybody can see. */
export const rounded = (box: Box): Box => [
  Math.round(box[0] * 10) / 10,
  Math.round(box[1] * 10) / 10,
  Math.round(box[2] * 10) / 10,
  Math.round(box[3] * 10) / 10,
];
