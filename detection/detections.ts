/** Detections as flat arrays: built from rows, filtered, joined, sorted. */

import type { Box, Detections } from './types.ts';

/** One detection as an object, for the places that are not hot. */
export interface DetectionRow {
  readonly imageId: number;
  readonly categoryId: number;
  readonly box: Box;
  readonly score: number;
}

/** Sorts rows by image id, then by falling score; equal ones keep their order. */
export function detectionsFromRows(imageIds: readonly number[], rows: readonly DetectionRow[]): Detections {
  return sortDetections({
    imageIds,
    image: Int32Array.from(rows, (row) => row.imageId),
    category: Int32Array.from(rows, (row) => row.categoryId),
    box: Float64Array.from(rows.flatMap((row) => row.box)),
    score: Float64Array.from(rows, (row) => row.score),
  });
}

export function emptyDetections(imageIds: readonly number[]): Detections {
  return detectionsFromRows(imageIds, []);
}

/** Row `index` as an object. */
export function detectionAt(detections: Detections, index: number): DetectionRow {
  return {
    imageId: detections.image[index]!,
    categoryId: detections.category[index]!,
    box: boxAt(detections, index),
    score: detections.score[index]!,
  };
}

export function boxAt({ box }: Detections, index: number): Box {
  const q = index * 4;
  return [box[q]!, box[q + 1]!, box[q + 2]!, box[q + 3]!];
}

/** The rows of `indices`, in that order; `imageIds` as given, or as they are. */
export function takeDetections(
  detections: Detections,
  indices: ArrayLike<number>,
  imageIds: readonly number[] = detections.imageIds,
): Detections {
  const count = indices.length;
  const image = new Int32Array(count);
  const category = new Int32Array(count);
  const box = new Float64Array(count * 4);
  const score = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const from = indices[i]!;
    image[i] = detections.image[from]!;
    category[i] = detections.category[from]!;
    score[i] = detections.score[from]!;
    for (let c = 0; c < 4; c++) box[i * 4 + c] = detections.box[from * 4 + c]!;
  }
  return { imageIds, image, category, box, score };
}

/** By image id, then by falling score; equal ones keep their order. Image ids in rising order, each once. */
export function sortDetections(detections: Detections): Detections {
  const { image, score } = detections;
  const order = new Int32Array(score.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  order.sort((a, b) => image[a]! - image[b]! || score[b]! - score[a]! || a - b);
  return takeDetections(detections, order, sortedIds(detections.imageIds));
}

/** Only the detections of these images, and only these images as looked at. */
export function detectionsOfImages(detections: Detections, imageIds: readonly number[]): Detections {
  const wanted = new Set(imageIds);
  return filterDetections(
    detections,
    (i) => wanted.has(detections.image[i]!),
    detections.imageIds.filter((id) => wanted.has(id)),
  );
}

/** Only the detections with at least this score. */
export function detectionsAbove(detections: Detections, minScore: number): Detections {
  return filterDetections(detections, (i) => detections.score[i]! >= minScore);
}

/** Rows of several models over the same images as one, sorted. */
export function joinDetections(parts: readonly Detections[]): Detections {
  const count = parts.reduce((sum, part) => sum + part.score.length, 0);
  const joined = {
    imageIds: parts.flatMap((part) => [...part.imageIds]),
    image: new Int32Array(count),
    category: new Int32Array(count),
    box: new Float64Array(count * 4),
    score: new Float64Array(count),
  };
  let at = 0;
  for (const part of parts) {
    joined.image.set(part.image, at);
    joined.category.set(part.category, at);
    joined.box.set(part.box, at * 4);
    joined.score.set(part.score, at);
    at += part.score.length;
  }
  return sortDetections(joined);
}

/** Where the rows of each image lie: [from, to) by image id. Needs rows sorted by image. */
export function rangesByImage(detections: Detections): Map<number, readonly [number, number]> {
  const ranges = new Map<number, readonly [number, number]>();
  const { image } = detections;
  for (let from = 0; from < image.length; ) {
    let to = from + 1;
    while (to < image.length && image[to] === image[from]) to++;
    ranges.set(image[from]!, [from, to]);
    from = to;
  }
  return ranges;
}

function filterDetections(
  detections: Detections,
  keep: (index: number) => boolean,
  imageIds: readonly number[] = detections.imageIds,
): Detections {
  const kept: number[] = [];
  for (let i = 0; i < detections.score.length; i++) if (keep(i)) kept.push(i);
  return takeDetections(detections, kept, imageIds);
}

function sortedIds(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
