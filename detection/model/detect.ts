/** From images to detections, and to the loss of each ground truth, with given weights in evaluation mode. */

import type { Architecture, Detections, NamedTensor } from '../types.ts';
import { cellGrid } from './cells.ts';
import { type DetectOptions, decodeRows, type ImageDetections } from './decode-rows.ts';
import { buildInferGraph, foldNorms, joinFolded } from './infer-graph.ts';
import { borrowSession, returnSession } from './sessions.ts';
import type { PreparedImage } from './types.ts';

export type { DetectOptions } from './decode-rows.ts';

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
    detect(images, options) {
      const found: (ImageDetections & { readonly imageId: number })[] = [];
      forEachImage(images, (image, rows) => {
        found.push({ imageId: image.imageId, ...decodeRows(architecture, grid, image, rows, options) });
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

function joinDetections(images: readonly (ImageDetections & { readonly imageId: number })[]): Detections {
  const sorted = images.toSorted((a, b) => a.imageId - b.imageId);
  return {
    imageIds: sorted.map(({ imageId }) => imageId),
    image: Int32Array.from(sorted.flatMap(({ imageId, scores }) => scores.map(() => imageId))),
    category: Int32Array.from(sorted.flatMap(({ categories }) => categories)),
    box: Float64Array.from(sorted.flatMap(({ boxes }) => boxes)),
    score: Float64Array.from(sorted.flatMap(({ scores }) => scores)),
  };
}
