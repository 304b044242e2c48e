/** COCO AP that is kept up to date while labels change: only the image that changed is matched again. */

import {
  type ApMatches,
  type ApOptions,
  accumulate,
  type GroundTruth,
  type MetricName,
  matchForAp,
  type ScoredAnnotation,
} from './average-precision.ts';
import { takeDetections } from './detections.ts';
import type { Detections } from './types.ts';

/**
 * The detections stay, so their order by score does too. What a changed image needs is the outcome of its own detections
 * and the number of its ground truths, in the places that they have in the whole: figures are equal to those of
 * `matchForAp` over everything, to the bit.
 */
export class IncrementalAp {
  readonly #detections: Detections;
  readonly #options: ApOptions;
  readonly #rows: ReadonlyMap<number, readonly number[]>;
  /** Of the images that have changed once. */
  readonly #own = new Map<number, Detections>();
  readonly #imageIndex: ReadonlyMap<number, number>;
  /** One a category: where in its order an image's detections stand, by rank. */
  readonly #places: readonly ReadonlyMap<number, Int32Array>[];
  /** One a category and area range: how many ground truths each image has that count. */
  readonly #positives: Int32Array[][];
  /** Whether the matches hold these counts. */
  #counted = true;
  #matches: ApMatches;

  constructor(groundTruth: GroundTruth, detections: Detections, options: ApOptions = {}) {
    this.#detections = detections;
    this.#options = options;
    this.#matches = matchForAp(groundTruth, detections, options);
    const { imageIds, perCategory } = this.#matches;
    this.#imageIndex = new Map(imageIds.map((id, index) => [id, index]));
    const rows = new Map<number, number[]>();
    for (let row = 0; row < detections.score.length; row++) {
      const own = rows.get(detections.image[row]!);
      if (own === undefined) rows.set(detections.image[row]!, [row]);
      else own.push(row);
    }
    this.#rows = rows;
    this.#places = perCategory.map(({ image, rank }) => placesOf(image, rank));
    this.#positives = perCategory.map(({ positives }) => positives.map((images) => countsOf(images, imageIds.length)));
  }

  /** These are the labels of the image from now on. Images that are not evaluated are left alone. */
  replace(imageId: number, annotations: readonly ScoredAnnotation[]): void {
    const index = this.#imageIndex.get(imageId);
    if (index === undefined) return;
    const { categories, perCategory } = this.#matches;
    const fresh = matchForAp({ categories, imageIds: [imageId], annotations }, this.#of(imageId), this.#options);
    for (const [k, before] of perCategory.entries()) {
      const after = fresh.perCategory[k]!;
      const places = this.#places[k]!.get(index);
      for (let i = 0; i < after.rank.length; i++) {
        const place = places![after.rank[i]!]!;
        for (const [area, bits] of after.found.entries()) {
          before.found[area]![place] = bits[i]!;
          before.ignored[area]![place] = after.ignored[area]![i]!;
        }
      }
      after.positives.forEach((images, area) => {
        this.#positives[k]![area]![index] = images.length;
      });
    }
    this.#counted = false;
  }

  #of(imageId: number): Detections {
    const own = this.#own.get(imageId) ?? takeDetections(this.#detections, this.#rows.get(imageId) ?? [], [imageId]);
    this.#own.set(imageId, own);
    return own;
  }

  /** As `accumulate`: 0..1, -1 where there is nothing to measure by. */
  metrics(only?: readonly MetricName[]): Record<MetricName, number> {
    if (!this.#counted) {
      const perCategory = this.#matches.perCategory.map((matches, k) => ({
        ...matches,
        positives: this.#positives[k]!.map(imagesOf),
      }));
      this.#matches = { ...this.#matches, perCategory };
      this.#counted = true;
    }
    return accumulate(this.#matches, undefined, only);
  }
}

/** Of each image: the places of its detections, the best first. */
function placesOf(image: Int32Array, rank: Uint32Array): Map<number, Int32Array> {
  const counts = new Map<number, number>();
  for (const index of image) counts.set(index, (counts.get(index) ?? 0) + 1);
  const places = new Map([...counts].map(([index, count]) => [index, new Int32Array(count)]));
  for (let i = 0; i < image.length; i++) places.get(image[i]!)![rank[i]!] = i;
  return places;
}

function countsOf(images: Int32Array, imageCount: number): Int32Array {
  const counts = new Int32Array(imageCount);
  for (const index of images) counts[index]!++;
  return counts;
}

/** Each image as often as it counts. */
function imagesOf(counts: Int32Array): Int32Array {
  const images = new Int32Array(counts.reduce((sum, count) => sum + count, 0));
  let end = 0;
  counts.forEach((count, index) => {
    images.fill(index, end, end + count);
    end += count;
  });
  return images;
}
