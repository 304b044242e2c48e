/** Detections set against labels at one IoU threshold and confidence: found, false, missed. */

import { groupByImage } from './annotations.ts';
import type { GroundTruth } from './average-precision.ts';
import { coverage, iou } from './box.ts';
import { boxAt, rangesByImage } from './detections.ts';
import type { Annotation, Box, Detections } from './types.ts';

export interface MatchOptions {
  /** Detections with a lower score are not looked at. */
  readonly confidence: number;
  /** A detection finds a label of its category from this IoU on. */
  readonly iou: number;
}

export interface Counts {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
}

export interface Matches extends Counts {
  /** In rising order of image id, one for every image of the ground truth. */
  readonly images: readonly ImageMatches[];
  /** By category id. */
  readonly perCategory: ReadonlyMap<number, Counts>;
}

export interface ImageMatches extends Counts {
  readonly imageId: number;
  /** Labels that were found, and the row of the detection that did. */
  readonly found: readonly { readonly annotation: Annotation; readonly detection: number; readonly iou: number }[];
  readonly missed: readonly Annotation[];
  /** Rows of the detections that found nothing. */
  readonly wrong: readonly number[];
  /** Rows of the detections in crowds and ignore regions: neither right nor wrong. */
  readonly ignored: readonly number[];
}

/**
 * By falling score, each detection takes the label of its category with the highest IoU that is still free. A crowd
 * takes any number of its category, an ignore region any of any: from the IoU on, or where it covers that share of the
 * detection. Crowds and ignore regions are never missed.
 */
export function matchDetections(groundTruth: GroundTruth, detections: Detections, options: MatchOptions): Matches {
  const labels = groupByImage(groundTruth.annotations);
  const ranges = rangesByImage(detections);
  const images: ImageMatches[] = [];
  const tallies = new Map(groundTruth.categories.map(({ id }) => [id, new Tally()]));
  const total = new Tally();
  const tallyOf = (categoryId: number): Tally => {
    const tally = tallies.get(categoryId) ?? new Tally();
    tallies.set(categoryId, tally);
    return tally;
  };

  for (const imageId of [...new Set(groundTruth.imageIds)].sort((a, b) => a - b)) {
    const [from, to] = ranges.get(imageId) ?? [0, 0];
    const image = matchImage(imageId, labels.get(imageId) ?? [], detections, from, to, options);
    images.push(image);
    for (const { annotation } of image.found) tallyOf(annotation.categoryId).truePositives++;
    for (const annotation of image.missed) tallyOf(annotation.categoryId).falseNegatives++;
    for (const row of image.wrong) tallyOf(detections.category[row]!).falsePositives++;
    total.truePositives += image.truePositives;
    total.falsePositives += image.falsePositives;
    total.falseNegatives += image.falseNegatives;
  }
  return { ...total, images, perCategory: new Map([...tallies].map(([id, tally]) => [id, { ...tally }])) };
}

/** Ids of the images with at least one false negative or false positive, rising. */
export function hardImages(matches: Matches): number[] {
  return matches.images
    .filter((image) => image.falseNegatives + image.falsePositives > 0)
    .map(({ imageId }) => imageId);
}

/** Whether a place is given up as neither target nor background: covered by a crowd of the category or an ignore region. */
export function isIgnoredPlace(
  box: Box,
  categoryId: number,
  labels: readonly Annotation[],
  iouThreshold: number,
): boolean {
  return labels.some(
    (label) =>
      (label.ignore || (label.crowd && label.categoryId === categoryId)) &&
      (iou(box, label.box) >= iouThreshold || coverage(box, label.box) >= iouThreshold),
  );
}

function matchImage(
  imageId: number,
  labels: readonly Annotation[],
  detections: Detections,
  from: number,
  to: number,
  options: MatchOptions,
): ImageMatches {
  const targets = labels.filter((label) => !label.crowd && !label.ignore);
  const free = new Set(targets);
  const found: { annotation: Annotation; detection: number; iou: number }[] = [];
  const wrong: number[] = [];
  const ignored: number[] = [];
  for (let row = from; row < to; row++) {
    if (detections.score[row]! < options.confidence) continue;
    const box = boxAt(detections, row);
    const categoryId = detections.category[row]!;
    let best: Annotation | undefined;
    let bestIou = 0;
    for (const label of free) {
      if (label.categoryId !== categoryId) continue;
      const overlap = iou(box, label.box);
      if (overlap >= options.iou && overlap > bestIou) {
        best = label;
        bestIou = overlap;
      }
    }
    if (best) {
      free.delete(best);
      found.push({ annotation: best, detection: row, iou: bestIou });
    } else if (isIgnoredPlace(box, categoryId, labels, options.iou)) ignored.push(row);
    else wrong.push(row);
  }
  const missed = targets.filter((label) => free.has(label));
  return {
    imageId,
    found,
    missed,
    wrong,
    ignored,
    truePositives: found.length,
    falsePositives: wrong.length,
    falseNegatives: missed.length,
  };
}

class Tally {
  truePositives = 0;
  falsePositives = 0;
  falseNegatives = 0;
}
