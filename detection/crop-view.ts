/** The part of an image that a reviewer is shown of a candidate. */

import type { Box, Candidate } from './types.ts';

const contextFactor = 4;
/** Pixels: around a tiny target less would show nothing that it could be told by. */
const contextMinimum = 48;

/** A square around both boxes, in whole pixels inside the image. */
export function viewOf(candidate: Candidate, width: number, height: number): Box {
  const boxes = [candidate.annotation?.box, candidate.detection?.box].filter((box) => box !== undefined);
  const x1 = Math.min(...boxes.map((box) => box[0]));
  const y1 = Math.min(...boxes.map((box) => box[1]));
  const x2 = Math.max(...boxes.map((box) => box[2]));
  const y2 = Math.max(...boxes.map((box) => box[3]));
  const side = Math.max(contextMinimum, contextFactor * Math.max(x2 - x1, y2 - y1));
  const range = (centre: number, length: number): [number, number] => {
    const span = Math.min(length, Math.ceil(side));
    const start = Math.min(Math.max(0, Math.round(centre - span / 2)), length - span);
    return [start, start + span];
  };
  const [left, right] = range((x1 + x2) / 2, width);
  const [top, bottom] = range((y1 + y2) / 2, height);
  return [left, top, right, bottom];
}
