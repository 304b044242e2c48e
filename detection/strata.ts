/** Kinds of images, so that a few drawn from each stand for all of them. */

import type { Annotation } from './types.ts';

/**
 * Images with the same categories and about as many targets are of one kind: none, 1, 2 to 3, 4 to 7, 8 to 15 ...
 * Doubling, because one target more matters less the more there are.
 */
export function strataByTargets(imageIds: readonly number[], annotations: readonly Annotation[]): Map<number, string> {
  const counts = new Map(imageIds.map((id) => [id, 0]));
  const categories = new Map(imageIds.map((id) => [id, new Set<number>()]));
  for (const { imageId, categoryId, crowd, ignore } of annotations) {
    if (crowd || ignore || !counts.has(imageId)) continue;
    counts.set(imageId, counts.get(imageId)! + 1);
    categories.get(imageId)!.add(categoryId);
  }
  return new Map(
    imageIds.map((id) => {
      const count = counts.get(id)!;
      const from = count === 0 ? 0 : 2 ** Math.floor(Math.log2(count));
      const present = [...categories.get(id)!].sort((a, b) => a - b).join(' ');
      return [id, `${from} targets, categories ${present}`];
    }),
  );
}

/** Images without a loss, which have no targets, are a kind of their own; the others fall into quarters by theirs. */
export function strataByDifficulty(
  imageIds: readonly number[],
  lossOfImage: ReadonlyMap<number, number>,
): Map<number, string> {
  const rising = imageIds
    .filter((id) => lossOfImage.has(id))
    .sort((a, b) => lossOfImage.get(a)! - lossOfImage.get(b)! || a - b);
  const strata = new Map(imageIds.map((id) => [id, 'no targets']));
  for (const [i, id] of rising.entries()) strata.set(id, `quarter ${Math.floor((4 * i) / rising.length) + 1}`);
  return strata;
}
