/** Finds images that show the same although they are in different splits, where the test would be no test. */

import type { ImageEntry } from '../detection/types.ts';
import { bitsSet, type DifferenceHash, hammingDistance } from './image-files.ts';

export interface DuplicatePair {
  readonly a: ImageEntry;
  readonly b: ImageEntry;
  /** The files have the same bytes; else they only look the same. */
  readonly identical: boolean;
}

/** Bits of 64. Two unrelated photos differ in about 32; a copy in another size or quality in 0 to 3. */
const DISTANCE_MAX = 3;
/** With fewer bits set or clear, the image is too even to be told from another even one. */
const BITS_MIN = 8;

/** Pairs of images of different splits, each image with the first it resembles, in order of image id. */
export function findDuplicatesAcrossSplits(
  images: readonly ImageEntry[],
  looksOf: (image: ImageEntry) => DifferenceHash | undefined,
): DuplicatePair[] {
  const pairs: DuplicatePair[] = [];
  const byDigest = new Map<string, ImageEntry[]>();
  const byBlock = new Map<string, ImageEntry[]>();
  for (const b of images) {
    const looks = looksOf(b);
    const isTelling = looks !== undefined && bitsSet(looks) >= BITS_MIN && bitsSet(looks) <= 64 - BITS_MIN;
    const blocks = isTelling ? blocksOf(looks) : [];
    const identical = byDigest.get(b.digest)?.find((a) => a.split !== b.split);
    const a =
      identical ??
      blocks
        .flatMap((block) => byBlock.get(block) ?? [])
        .find((other) => other.split !== b.split && hammingDistance(looksOf(other)!, looks!) <= DISTANCE_MAX);
    if (a !== undefined) pairs.push({ a, b, identical: identical !== undefined });
    add(byDigest, b.digest, b);
    for (const block of blocks) add(byBlock, block, b);
  }
  return pairs;
}

/** Two hashes that differ in three bits at most agree in one of four blocks of 16, so only those are compared. */
function blocksOf({ high, low }: DifferenceHash): string[] {
  return [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff].map((block, i) => `${i}:${block}`);
}

function add(map: Map<string, ImageEntry[]>, key: string, image: ImageEntry): void {
  const list = map.get(key);
  if (list) list.push(image);
  else map.set(key, [image]);
}
