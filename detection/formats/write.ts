/** Small things that readers and writers of all formats share. */

import { sortAnnotations } from '../annotations.ts';
import { type Annotation, SPLITS, type Split } from '../types.ts';
import type { ReadImage } from './types.ts';

/** The splits that occur, in the order train, val, test. */
export function splitsIn(splits: Iterable<Split | null>): Split[] {
  const seen = new Set(splits);
  return SPLITS.filter((split) => seen.has(split));
}

/** Images by id, annotations by image. */
export function inReadingOrder(
  images: readonly ReadImage[],
  annotations: readonly Annotation[],
): { images: ReadImage[]; annotations: Annotation[] } {
  return { images: [...images].sort((a, b) => a.id - b.id), annotations: sortAnnotations(annotations) };
}
