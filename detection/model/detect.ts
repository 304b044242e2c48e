/** From images to detections, and to the loss of each ground truth, with given weights in evaluation mode. */

import { nms } from '../nms.ts';
import type { Architecture, Detections, NamedTensor } from '../types.ts';
import { cellGrid, decodeBox, sigmoid } from './cells.ts';
import { buildInferGraph, foldNorms, joinFolded } from './infer-graph.ts';
import { borrowSession, returnSession } from './sessions.ts';
import type { PreparedImage } from './types.ts';

export interface DetectOptions {
  /** Detections below are left out. */
  readonly scoreFloor?: number;
  /** Detections of an image, the best of all categories together. */
  readonly maxPerImage?: number;
  /** Of two detections of one category with a higher IoU than this the lower-scored one goes (torchvision's rule). */
  readonly nmsIou?: number;
}

export interface DetectorModel {
  detect(images: readonly PreparedImage[], options?: DetectOptions): Detections;
  /** The raw rows of each image in turn: [N * (5 + C)], a view that the next image overwrites. */
  forEachImage(images: readonly PreparedImage[], use: (image: PreparedImage, rows: Float32Array) => void): void;
  dispose(): void;
}

export interface DetectorOptions {
  /** Images of one run of the network. */
  readonly batchSize?: number;
  /** Folder for the graph while it is loaded; the system's temporary folder unless given. */
  readonly folder?: string;
}

const DEFAULT_BATCH_SIZE = 16;
/** Of one image, before suppression: dense scenes at a floor of 0.001 would otherwise cost seconds. */
const CANDIDATES_MAX = 10_000;

/**
 * A detector with the given weights. A score is the probability of an object times that of the category, or, with one
 * category, the probability of an object alone.
 */
export function createDetectorModel(
  architecture: Architecture,
  weights: readonly NamedTensor[],
  { batchSize = DEFAULT_BATCH_SIZE, folder }: DetectorOptions = {},
): DetectorModel {
  const grid = cellGrid(architecture);
  const key = `infer ${batchSize} ${JSON.stringify(architecture)}`;
  const session = borrowSession(key, () => buildInferGraph(architecture, batchSize), folder);
  session.load({ folded: joinFolded(foldNorms(architecture, weights)) });
  const imageBytes = architecture.imageSize ** 2 * 3;
  const pixels = new Uint8Array(batchSize * imageBytes);
  let disposed = false;

  const forEachImage: DetectorModel['forEachImage'] = (images, use) => {
    if (disposed) throw new Error('Internal error: the detector was disposed.');
    const rowSize = grid.count * grid.fields;
    for (let start = 0; start < images.length; start += batchSize) {
      // The last batch is filled up with what the one before left; those results are not read.
      const batch = images.slice(start, start + batchSize);
      for (const [i, image] of batch.entries()) {
        if (image.pixels.length !== imageBytes) {
          throw new Error(
            `Image ${image.imageId} has ${image.pixels.length} bytes, but the network takes ${imageBytes}.`,
          );
        }
        pixels.set(image.pixels, i * imageBytes);
      }
      const { rows } = session.run('infer', { pixels });
      for (const [i, image] of batch.entries()) use(image, rows!.subarray(i * rowSize, (i + 1) * rowSize));
    }
  };

  return {
    forEachImage,
    detect(images, { scoreFloor = 0.001, maxPerImage = 300, nmsIou = 0.6 } = {}) {
      const found: ImageDetections[] = [];
      forEachImage(images, (image, rows) => {
        const candidates = decodeCandidates(architecture, grid, image, rows, scoreFloor);
        found.push(suppress(image.imageId, candidates, nmsIou, maxPerImage));
      });
      return joinDetections(found);
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      returnSession(key, session);
    },
  };
}

interface Candidates {
  readonly boxes: number[];
  readonly scores: number[];
  readonly categories: number[];
}

interface ImageDetections extends Candidates {
  readonly imageId: number;
}

function decodeCandidates(
  { categories }: Architecture,
  grid: ReturnType<typeof cellGrid>,
  image: PreparedImage,
  rows: Float32Array,
  scoreFloor: number,
): Candidates {
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
function toImage([x1, y1, x2, y2]: readonly [number, number, number, number], image: PreparedImage): number[] | null {
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
  imageId: number,
  { boxes, scores, categories }: Candidates,
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
    imageId,
    boxes: order.flatMap((i) => boxes.slice(i * 4, i * 4 + 4)),
    scores: order.map((i) => scores[i]!),
    categories: order.map((i) => categories[i]!),
  };
}

function joinDetections(images: readonly ImageDetections[]): Detections {
  const sorted = images.toSorted((a, b) => a.imageId - b.imageId);
  return {
    imageIds: sorted.map(({ imageId }) => imageId),
    image: Int32Array.from(sorted.flatMap(({ imageId, scores }) => scores.map(() => imageId))),
    category: Int32Array.from(sorted.flatMap(({ categories }) => categories)),
    box: Float64Array.from(sorted.flatMap(({ boxes }) => boxes)),
    score: Float64Array.from(sorted.flatMap(({ scores }) => scores)),
  };
}
