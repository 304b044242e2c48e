/** Anchor sizes from the boxes of a training set. */

import { createRandom, type Random } from '../random.ts';

export type AnchorSize = readonly [number, number];

export interface AnchorOptions {
  readonly strides: readonly number[];
  readonly perHead?: number;
  readonly seed: number;
}

/** A head is meant for boxes of up to this many strides (square root of the area); the coarsest for all above too. */
const STRIDES_MAX = 4;
/** Sizes in strides, width and height, of the anchors of a head that the boxes give too few sizes for. */
const FALLBACK_STRIDES: readonly AnchorSize[] = [
  [1.5, 1.5],
  [2.2, 2.2],
  [3.2, 3.2],
];
const ROUNDS_MAX = 100;

/**
 * Anchors of each head in rising area, by k-means with 1 - IoU as distance (YOLO9000, Redmon and Farhadi, 2017) from
 * a k-means++ start (Arthur and Vassilvitskii, 2007). `sizes` is [N*2] width and height in input pixels, letterboxed.
 *
 * The boxes are first shared out to the heads by size. One k-means over all of them, cut into thirds by area, gives the
 * coarsest cells the upper third of a set of small targets, where several fall into one cell and only one can be told.
 */
export function anchorsForBoxes(
  sizes: ArrayLike<number>,
  { strides, perHead = 3, seed }: AnchorOptions,
): AnchorSize[][] {
  const groups: AnchorSize[][] = strides.map(() => []);
  for (let i = 0; i + 1 < sizes.length; i += 2) {
    const [width, height] = [sizes[i]!, sizes[i + 1]!];
    if (!(width > 0 && height > 0)) continue;
    const side = Math.sqrt(width * height);
    const head = strides.findIndex((stride) => side <= STRIDES_MAX * stride);
    groups[head < 0 ? strides.length - 1 : head]!.push([width, height]);
  }
  const random = createRandom(seed);
  return groups.map((group, i) => {
    const found = kMeans(group, perHead, random);
    // Too few sizes: the least like those found of a spread of sizes that suit the head.
    const spare = FALLBACK_STRIDES.map(([w, h]): AnchorSize => [w * strides[i]!, h * strides[i]!]);
    while (found.length < perHead) {
      const likeness = (size: AnchorSize) => Math.max(0, ...found.map((other) => shapeIou(size, other)));
      const next = spare.reduce((best, size) => (likeness(size) < likeness(best) ? size : best));
      // More anchors a head than the spread has: larger and larger ones.
      spare.splice(spare.indexOf(next), 1, [next[0] * 1.4, next[1] * 1.4]);
      found.push(next);
    }
    return found.sort((a, b) => a[0] * a[1] - b[0] * b[1]).map(([w, h]): AnchorSize => [tenths(w), tenths(h)]);
  });
}

function kMeans(sizes: readonly AnchorSize[], k: number, random: Random): AnchorSize[] {
  const distinct = new Set(sizes.map((size) => size.join())).size;
  let centres = start(sizes, Math.min(k, distinct), random);
  let assigned: number[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const next = sizes.map((size) => nearest(size, centres));
    if (next.every((c, i) => c === assigned[i])) break;
    assigned = next;
    centres = centres.map((centre, c) => {
      const members = sizes.filter((_, i) => assigned[i] === c);
      if (members.length === 0) return centre;
      const mean = (axis: 0 | 1) => members.reduce((sum, size) => sum + size[axis], 0) / members.length;
      return [mean(0), mean(1)];
    });
  }
  return centres;
}

/** k-means++: each next centre is drawn with the square of its distance to those before. */
function start(sizes: readonly AnchorSize[], k: number, random: Random): AnchorSize[] {
  const centres: AnchorSize[] = [];
  while (centres.length < k) {
    const weights = sizes.map((size) => Math.min(1, ...centres.map((centre) => 1 - shapeIou(size, centre))) ** 2);
    let rest = random.next() * weights.reduce((a, b) => a + b, 0);
    const drawn = weights.findIndex((weight) => {
      rest -= weight;
      return rest < 0;
    });
    centres.push(sizes[drawn < 0 ? weights.lastIndexOf(Math.max(...weights)) : drawn]!);
  }
  return centres;
}

function nearest(size: AnchorSize, centres: readonly AnchorSize[]): number {
  let best = 0;
  for (let c = 1; c < centres.length; c++) {
    if (shapeIou(size, centres[c]!) > shapeIou(size, centres[best]!)) best = c;
  }
  return best;
}

function shapeIou([aw, ah]: AnchorSize, [bw, bh]: AnchorSize): number {
  const shared = Math.min(aw, bw) * Math.min(ah, bh);
  return shared / (aw * ah + bw * bh - shared);
}

/** Short in files, and far finer than a pixel of doubt. */
function tenths(value: number): number {
  return Math.max(1, Math.round(value * 10) / 10);
}
