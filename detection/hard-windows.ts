/** Windows around a model's errors: the parts of an image that the next training looks at. */

import { boxAt } from './detections.ts';
import type { ImageMatches } from './match.ts';
import type { Box, Detections } from './types.ts';

/** A model errs at a place by missing the label there, or by seeing what no label is for. */
export function errorBoxes(image: ImageMatches, detections: Detections): Box[] {
  return [...image.missed.map(({ box }) => box), ...image.wrong.map((row) => boxAt(detections, row))];
}

export interface WindowOptions {
  /** Of the image, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Side of a window as a share of the image's longer side. */
  readonly share: number;
}

/** An error is shown with this share of its own size around it, because what is beside a target tells what it is. */
const RIM_SHARE = 0.25;

/**
 * Few windows in whole pixels that together hold every error, each inside the image. A window has the given side, less
 * where the image ends, more where an error is larger than that.
 *
 * From the top: the highest error that no window holds yet gets one, which begins at its upper edge and lies where it
 * holds the most others. Then the window is centred on what it holds. Depends on nothing but its arguments.
 */
export function hardWindows(errors: readonly Box[], { width, height, share }: WindowOptions): Box[] {
  // rounded down, so that as many windows as their share says fit on a canvas
  const side = Math.max(1, Math.floor(share * Math.max(width, height)));
  const rims = errors.map((box) => withRim(box, width, height)).sort(byPlace);
  const open = new Set(rims);
  const windows: Box[] = [];
  for (const first of rims) {
    if (!open.has(first)) continue;
    const w = Math.min(width, Math.max(side, first[2] - first[0]));
    const h = Math.min(height, Math.max(side, first[3] - first[1]));
    let held: Box[] = [];
    for (const left of new Set([...open].map(([x1]) => x1))) {
      if (left > first[0] || left + w < first[2]) continue;
      const window: Box = [left, first[1], left + w, first[1] + h];
      const inside = [...open].filter((box) => holds(window, box));
      if (inside.length > held.length) held = inside;
    }
    for (const box of held) open.delete(box);
    windows.push(centredOn(held, w, h, width, height));
  }
  return withoutSpare(windows, rims);
}

/** Square pixels that the windows of one image cover together. */
export function coveredArea(windows: readonly Box[]): number {
  const xs = [...new Set(windows.flatMap(([x1, , x2]) => [x1, x2]))].sort((a, b) => a - b);
  const ys = [...new Set(windows.flatMap(([, y1, , y2]) => [y1, y2]))].sort((a, b) => a - b);
  let covered = 0;
  for (const [i, x1] of xs.slice(0, -1).entries()) {
    for (const [k, y1] of ys.slice(0, -1).entries()) {
      const cell: Box = [x1, y1, xs[i + 1]!, ys[k + 1]!];
      if (windows.some((window) => holds(window, cell))) covered += (cell[2] - x1) * (cell[3] - y1);
    }
  }
  return covered;
}

/** Whether the middle of a box lies in one of the windows. */
export function isWithin([x1, y1, x2, y2]: Box, windows: readonly Box[]): boolean {
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  return windows.some((window) => x >= window[0] && x < window[2] && y >= window[1] && y < window[3]);
}

/** Outwards to whole pixels, inside the image. */
function withRim([x1, y1, x2, y2]: Box, width: number, height: number): Box {
  const [dx, dy] = [RIM_SHARE * (x2 - x1), RIM_SHARE * (y2 - y1)];
  return [
    Math.max(0, Math.floor(x1 - dx)),
    Math.max(0, Math.floor(y1 - dy)),
    Math.min(width, Math.ceil(x2 + dx)),
    Math.min(height, Math.ceil(y2 + dy)),
  ];
}

function centredOn(boxes: readonly Box[], w: number, h: number, width: number, height: number): Box {
  const middle = (side: 0 | 1, length: number, end: number): number => {
    const from = Math.min(...boxes.map((box) => box[side]));
    const to = Math.max(...boxes.map((box) => box[side + 2]!));
    return Math.min(end - length, Math.max(0, Math.floor((from + to - length) / 2)));
  };
  const [left, top] = [middle(0, w, width), middle(1, h, height)];
  return [left, top, left + w, top + h];
}

/** Centred windows may overlap so much that one is not needed any more. */
function withoutSpare(windows: readonly Box[], boxes: readonly Box[]): Box[] {
  const kept = [...windows];
  for (const window of windows) {
    const others = kept.filter((other) => other !== window);
    if (boxes.every((box) => others.some((other) => holds(other, box)))) kept.splice(kept.indexOf(window), 1);
  }
  return kept;
}

function holds(window: Box, box: Box): boolean {
  return window[0] <= box[0] && window[1] <= box[1] && window[2] >= box[2] && window[3] >= box[3];
}

/** From the top, then from the left; the smaller first. */
function byPlace(a: Box, b: Box): number {
  return a[1] - b[1] || a[0] - b[0] || a[3] - b[3] || a[2] - b[2];
}
