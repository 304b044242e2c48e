/** What targets look like, in groups: a fixed descriptor of each crop, clustered, and what focal loss is expected to cost by count. */

import { createRandom, hashSeed } from './random.ts';

/** Side of the square that a crop is brought to. */
const CROP = 16;
/** Share of the box's side that is added around it: what a target stands out from is part of what it looks like. */
const AROUND = 0.25;
const ORIENTATIONS = 8;

/** Lengths of the parts of a descriptor: colours, contrast with the surroundings, edges, size. */
const PARTS = [27, 3, 4 * ORIENTATIONS, 2] as const;
export const DESCRIPTOR_LENGTH = PARTS.reduce((sum, length) => sum + length, 0);

/**
 * Descriptor of one box [x1, y1, x2, y2] in a square image of `size` pixels, [size*size*3] RGB: mean colours of 3 x 3
 * cells in opponent axes, inside less border, histograms of oriented gradients (Dalal and Triggs, 2005) of 2 x 2 cells,
 * logarithms of side and aspect.
 */
export function describeCrop(pixels: Uint8Array, size: number, box: ArrayLike<number>): Float64Array {
  const width = box[2]! - box[0]!;
  const height = box[3]! - box[1]!;
  const crop = new Float64Array(CROP * CROP * 3);
  for (let row = 0; row < CROP; row++) {
    const y = box[1]! + height * ((1 + 2 * AROUND) * ((row + 0.5) / CROP) - AROUND);
    for (let column = 0; column < CROP; column++) {
      const x = box[0]! + width * ((1 + 2 * AROUND) * ((column + 0.5) / CROP) - AROUND);
      const at = (clampPixel(y, size) * size + clampPixel(x, size)) * 3;
      const [red, green, blue] = [pixels[at]! / 255, pixels[at + 1]! / 255, pixels[at + 2]! / 255];
      crop.set([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], (row * CROP + column) * 3);
    }
  }
  const descriptor = new Float64Array(DESCRIPTOR_LENGTH);
  addColours(crop, descriptor.subarray(0, PARTS[0]));
  addContrast(crop, descriptor.subarray(PARTS[0], PARTS[0] + PARTS[1]));
  addEdges(crop, descriptor.subarray(PARTS[0] + PARTS[1], PARTS[0] + PARTS[1] + PARTS[2]));
  descriptor[DESCRIPTOR_LENGTH - 2] = Math.log(Math.sqrt(width * height));
  descriptor[DESCRIPTOR_LENGTH - 1] = Math.log(width / height);
  return descriptor;
}

function clampPixel(position: number, size: number): number {
  return Math.min(size - 1, Math.max(0, Math.floor(position)));
}

function addColours(crop: Float64Array, out: Float64Array): void {
  const counts = new Float64Array(9);
  eachPixel((row, column, at) => {
    const cell = Math.floor((row * 3) / CROP) * 3 + Math.floor((column * 3) / CROP);
    counts[cell]!++;
    for (let c = 0; c < 3; c++) out[cell * 3 + c]! += crop[at + c]!;
  });
  for (let i = 0; i < out.length; i++) out[i]! /= counts[Math.floor(i / 3)]!;
}

function addContrast(crop: Float64Array, out: Float64Array): void {
  const margin = Math.round((CROP * AROUND) / (1 + 2 * AROUND));
  let inside = 0;
  const sums = [0, 0, 0, 0, 0, 0];
  eachPixel((row, column, at) => {
    const isInside = Math.min(row, column) >= margin && Math.max(row, column) < CROP - margin;
    if (isInside) inside++;
    for (let c = 0; c < 3; c++) sums[(isInside ? 0 : 3) + c]! += crop[at + c]!;
  });
  for (let c = 0; c < 3; c++) out[c] = sums[c]! / inside - sums[3 + c]! / (CROP * CROP - inside);
}

function addEdges(crop: Float64Array, out: Float64Array): void {
  for (let row = 1; row < CROP - 1; row++) {
    for (let column = 1; column < CROP - 1; column++) {
      const at = (row * CROP + column) * 3;
      const across = crop[at + 3]! - crop[at - 3]!;
      const down = crop[at + CROP * 3]! - crop[at - CROP * 3]!;
      // Light to dark and dark to light are one edge.
      const angle = (Math.atan2(down, across) + Math.PI) % Math.PI;
      const bin = Math.min(ORIENTATIONS - 1, Math.floor((angle / Math.PI) * ORIENTATIONS));
      const cell = (row < CROP / 2 ? 0 : 2) + (column < CROP / 2 ? 0 : 1);
      out[cell * ORIENTATIONS + bin]! += Math.hypot(across, down);
    }
  }
  const norm = Math.sqrt(out.reduce((sum, value) => sum + value * value, 0)) + 1e-9;
  for (let i = 0; i < out.length; i++) out[i]! /= norm;
}

function eachPixel(use: (row: number, column: number, at: number) => void): void {
  for (let row = 0; row < CROP; row++) {
    for (let column = 0; column < CROP; column++) use(row, column, (row * CROP + column) * 3);
  }
}

/** How many groups to make of so many targets: the square root of half of them, 2 to 24. */
export function clusterCount(targets: number): number {
  return Math.min(targets, Math.min(24, Math.max(2, Math.round(Math.sqrt(targets / 2)))));
}

/**
 * Cluster of each descriptor, numbered by falling size: k-means (Lloyd) from seeded starts far apart (k-means++,
 * Arthur and Vassilvitskii, 2007). Each part of the descriptor weighs the same.
 */
export function clusterFeatures(descriptors: readonly Float64Array[], count: number, seed: number): Int32Array {
  const points = balanced(descriptors);
  const random = createRandom(hashSeed('features', seed));
  let centres = startingCentres(points, count, random.next);
  const nearest = new Int32Array(points.length).fill(-1);
  for (let round = 0; round < 50; round++) {
    let moved = false;
    for (const [i, point] of points.entries()) {
      const best = nearestOf(point, centres).index;
      if (best !== nearest[i]) moved = true;
      nearest[i] = best;
    }
    if (!moved) break;
    centres = centres.map((centre, c) => {
      const own = points.filter((_, i) => nearest[i] === c);
      return own.length === 0 ? centre : centre.map((_, d) => own.reduce((sum, p) => sum + p[d]!, 0) / own.length);
    });
  }
  const sizes = centres.map((_, c) => nearest.filter((own) => own === c).length);
  const order = sizes.map((_, c) => c).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  return nearest.map((own) => order.indexOf(own));
}

/** Centred, and each part divided by its own spread. */
function balanced(descriptors: readonly Float64Array[]): Float64Array[] {
  const centre = new Float64Array(DESCRIPTOR_LENGTH);
  for (const one of descriptors) for (let d = 0; d < centre.length; d++) centre[d]! += one[d]! / descriptors.length;
  const points = descriptors.map((one) => one.map((value, d) => value - centre[d]!));
  let from = 0;
  for (const length of PARTS) {
    let sum = 0;
    for (const point of points) for (let d = from; d < from + length; d++) sum += point[d]! ** 2;
    const spread = Math.sqrt(sum / Math.max(1, points.length)) + 1e-9;
    for (const point of points) for (let d = from; d < from + length; d++) point[d]! /= spread;
    from += length;
  }
  return points;
}

function startingCentres(points: readonly Float64Array[], count: number, next: () => number): Float64Array[] {
  if (points.length === 0) return [];
  const centres = [points[Math.floor(next() * points.length)]!];
  while (centres.length < count) {
    const distances = points.map((point) => nearestOf(point, centres).distance);
    let left = next() * distances.reduce((sum, distance) => sum + distance, 0);
    let chosen = distances.findIndex((distance) => {
      left -= distance;
      return left <= 0;
    });
    if (chosen < 0) chosen = points.length - 1;
    centres.push(points[chosen]!);
  }
  return centres;
}

function nearestOf(point: Float64Array, centres: readonly Float64Array[]): { index: number; distance: number } {
  let index = 0;
  let distance = Number.POSITIVE_INFINITY;
  for (const [c, centre] of centres.entries()) {
    let sum = 0;
    for (let d = 0; d < point.length && sum < distance; d++) sum += (point[d]! - centre[d]!) ** 2;
    if (sum < distance) {
      index = c;
      distance = sum;
    }
  }
  return { index, distance };
}

/** p_true expected of a feature that occurs `count` times: it reaches one half at `halfCount`, and 1 in the limit. */
export function expectedProbability(count: number, halfCount: number): number {
  return count / (count + halfCount);
}

/** Focal loss of a positive at probability p (Lin et al. 2017); `alpha` below 0 weighs nothing. */
export function focalLossAt(p: number, { gamma, alpha }: { readonly gamma: number; readonly alpha: number }): number {
  return (alpha < 0 ? 1 : alpha) * (1 - p) ** gamma * -Math.log(Math.max(p, 1e-12));
}

/** The half-count that fits the features best: least squares of p_true, each feature weighted by its count. */
export function fitHalfCount(features: readonly { readonly count: number; readonly pTrue: number }[]): number {
  let best = 1;
  let least = Number.POSITIVE_INFINITY;
  for (let step = 0; step <= 400; step++) {
    const halfCount = 10 ** (-2 + step * 0.02);
    let sum = 0;
    for (const { count, pTrue } of features) sum += count * (pTrue - expectedProbability(count, halfCount)) ** 2;
    if (sum < least) {
      least = sum;
      best = halfCount;
    }
  }
  return best;
}
