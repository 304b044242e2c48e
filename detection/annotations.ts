/** Lists of annotations: by image, and in the order of `Labels`. */

import type { Annotation } from './types.ts';

export function groupByImage<T extends { readonly imageId: number } = Annotation>(
  annotations: readonly T[],
): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const annotation of annotations) {
    const group = groups.get(annotation.imageId);
    if (group) group.push(annotation);
    else groups.set(annotation.imageId, [annotation]);
  }
  return groups;
}

/** In order of image id, then id. */
export function sortAnnotations(annotations: readonly Annotation[]): Annotation[] {
  return [...annotations].sort((a, b) => a.imageId - b.imageId || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
