/** The part of a dataset that a question is about: some of its images, and their labels of one version. */

import type { GroundTruth } from '../detection/average-precision.ts';
import type { Dataset, ImageEntry, Labels, Split } from '../detection/types.ts';

export function groundTruthOf(
  dataset: Pick<Dataset, 'categories' | 'labels'>,
  imageIds: readonly number[],
  labels: Labels = dataset.labels,
): GroundTruth {
  const wanted = new Set(imageIds);
  return {
    categories: dataset.categories,
    imageIds,
    annotations: labels.annotations.filter((annotation) => wanted.has(annotation.imageId)),
  };
}

/** Ids of all images of these splits, rising. */
export function imagesOfSplits(dataset: Dataset, splits: readonly Split[]): number[] {
  return dataset.images
    .filter((image) => splits.includes(image.split))
    .map((image) => image.id)
    .sort((a, b) => a - b);
}

/** The entries of these ids, in their order. An id that the dataset lacks is an error that names it. */
export function entriesOf(dataset: Dataset, imageIds: readonly number[]): ImageEntry[] {
  const byId = new Map(dataset.images.map((image) => [image.id, image]));
  return imageIds.map((id) => {
    const entry = byId.get(id);
    if (!entry) {
      throw new Error(`The selection names image ${id}, but the dataset has no such image: was it made from another?`);
    }
    return entry;
  });
}
