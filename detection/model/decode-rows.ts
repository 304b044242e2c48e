/** From the raw rows of one image to its detections, without TensorFlow: the browser uses it too. */

import { nms } from '../nms.ts';
import type { Architecture } from '../types.ts';
import { type CellGrid, decodeBox, sigmoid } from './cells.ts';
import type { PreparedImage } from './types.ts';

export interface DetectOptions {
  /** Detections below are left out. */
  readonly scoreFloor?: number;
  /** Detections of an image, the best of all categories together. */
  readonly maxPerImage?: number;
  /** Of two detections of one category with a higher IoU than this the lower-scored one goes (torchvision's rule). */
  readonly nmsIou?: number;
}

/** Of one image, before suppression: dense scenes at a floor of 0.001 would otherwise cost seconds. */
const CANDIDATES_MAX = 10_000;

/** Detections of one image, best first. */
export interface ImageDetections {
  /** [N*4] xyxy, pixels of the original image. */
  readonly boxes: number[];
  /** [N] */
  readonly scores: number[];
  /** [N] category ids. */
  readonly categories: number[];
}

/** Where the image lies in the network's input, and its own size. */
type Placed = Pick<PreparedImage, 'scale' | 'padX' | 'padY' | 'width' | 'height'>;

/**
 * From the raw rows of one image to its detections. A score is the probability of an object times that of the category, or,
 * with one category, the probability of an object alone.
 */
export function decodeRows(
  architecture: Pick<Architecture, 'categories'>,
  grid: CellGrid,
  image: Placed,
  rows: Float32Array,
  { scoreFloor = 0.001, maxPerImage = 300, nmsIou = 0.6 }: DetectOptions = {},
): ImageDetections {
  return suppress(decodeCandidates(architecture, grid, image, rows, scoreFloor), nmsIou, maxPerImage);
}

function decodeCandidates(
  { categories }: Pick<Architecture, 'categories'>,
  grid: CellGrid,
  image: Placed,
  rows: Float32Array,
  scoreFloor: number,
): ImageDetections {
  const boxes: number[] = [];
  const scores: number[] = [];
  const ids: number[] = [];
  // Most rows are background: one comparison of logits each, before anything is computed.
  const logitFloor = scoreFloor <= 0 ? Number.NEGATIVE_INFINITY : Math.log(scoreFloor / (1 - scoreFloor));
  for (let row = 0; row < grid.count; row++) {
    const offset = row * grid.fields;
    if (!(rows[offset + 4]! >= logitFloor)) continue;
    const objectness = sigmoid(rows[offset + 4]!);
    let box: readonly number[] | null | undefined;
    for (const [c, category] of categories.entries()) {
      const score = categories.length === 1 ? objectness : objectness * sigmoid(rows[offset + 5 + c]!);
      if (score < scoreFloor) continue;
      box ??= toImage(decodeBox(rows, offset, grid, row), image);
      if (box === null) break;
      boxes.push(...box);
      scores.push(score);
      ids.push(category.id);
    }
  }
  return { boxes, scores, categories: ids };
}

/** From input pixels to the image's own, clipped to it; null where nothing is left. */
function toImage([x1, y1, x2, y2]: readonly [number, number, number, number], image: Placed): number[] | null {
  const { scale, padX, padY, width, height } = image;
  const box = [
    Math.max(0, (x1 - padX) / scale),
    Math.max(0, (y1 - padY) / scale),
    Math.min(width, (x2 - padX) / scale),
    Math.min(height, (y2 - padY) / scale),
  ] as const;
  return box[2] > box[0] && box[3] > box[1] ? [...box] : null;
}

function suppress(
  { boxes, scores, categories }: ImageDetections,
  nmsIou: number,
  maxPerImage: number,
): ImageDetections {
  const byScore = (a: number, b: number) => scores[b]! - scores[a]! || a - b;
  const all = scores.map((_, i) => i);
  const best = all.length > CANDIDATES_MAX ? all.sort(byScore).slice(0, CANDIDATES_MAX) : all;
  const groups = new Map<number, number[]>();
  for (const i of best) {
    const group = groups.get(categories[i]!);
    if (group === undefined) groups.set(categories[i]!, [i]);
    else group.push(i);
  }
  const kept: number[] = [];
  for (const group of groups.values()) {
    const groupBoxes = Float64Array.from(group.flatMap((i) => boxes.slice(i * 4, i * 4 + 4)));
    const groupScores = Float64Array.from(group, (i) => scores[i]!);
    for (const k of nms(groupBoxes, groupScores, nmsIou)) kept.push(group[k]!);
  }
  const order = kept.sort(byScore).slice(0, maxPerImage);
  return {
    boxes: order.flatMap((i) => boxes.slice(i * 4, i * 4 + 4)),
    scores: order.map((i) => scores[i]!),
    categories: order.map((i) => categories[i]!),
  };
}
