/** How much each ground truth counts in the next training, by what the model made of it. */

import { iou } from './box.ts';
import { boxAt } from './detections.ts';
import { NEAR_IOU } from './label-issues.ts';
import type { ImageMatches } from './match.ts';
import type { Annotation, Detections } from './types.ts';

/**
 * A false positive is not among them: it has no box of its own, and the loss of the background around it is shared with
 * all other background.
 */
export interface ErrorWeights {
  /** Labels that the model found. */
  readonly truePositive: number;
  /** Labels that the model missed, with no detection of their category nearby. */
  readonly falseNegative: number;
  /** Labels that the model missed, though it saw something of their category at a place that is not quite theirs. */
  readonly badlyLocated: number;
}

export type TargetError = keyof ErrorWeights;

/** What the model made of each label of the image that is a target, by annotation id. */
export function errorsOfTargets(image: ImageMatches, detections: Detections): Map<string, TargetError> {
  const isNear = (label: Annotation): boolean =>
    image.wrong.some(
      (row) => detections.category[row] === label.categoryId && iou(boxAt(detections, row), label.box) >= NEAR_IOU,
    );
  return new Map<string, TargetError>([
    ...image.found.map(({ annotation }) => [annotation.id, 'truePositive'] as const),
    ...image.missed.map((label) => [label.id, isNear(label) ? 'badlyLocated' : 'falseNegative'] as const),
  ]);
}

/** By annotation id, with mean 1, so that the loss keeps its scale; null where all would weigh the same. */
export function weightsByError(
  targets: readonly string[],
  errors: ReadonlyMap<string, TargetError>,
  weights: ErrorWeights,
): Record<string, number> | null {
  const given = targets.map((id) => weights[errors.get(id) ?? 'truePositive']);
  const mean = given.reduce((sum, weight) => sum + weight, 0) / given.length;
  if (!(mean > 0) || given.every((weight) => weight === given[0])) return null;
  return Object.fromEntries(targets.map((id, i) => [id, given[i]! / mean]));
}
