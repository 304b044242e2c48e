/** Detections of several models as one: non-max suppression within image and category. */

import { joinDetections, rangesByImage, takeDetections } from './detections.ts';
import { nmsByCategory } from './nms.ts';
import type { Detections } from './types.ts';

export interface MergeOptions {
  /** A box is dropped for a better one of its image and category with a higher IoU. 0..1. */
  readonly iouThreshold: number;
  /** Detections below it are not looked at. Default 0. */
  readonly minScore?: number;
  /** The best so many of each model and image take part. Default all. */
  readonly maxPerImage?: number;
}

/** NMS over the models' boxes together; of equal scores the earlier model's box stays. */
export function mergeByNms(models: readonly Detections[], options: MergeOptions): Detections {
  const joined = joinDetections(models.map((model) => bestOfEachImage(model, options)));
  const kept: number[] = [];
  for (const [from, to] of rangesByImage(joined).values()) {
    const survivors = nmsByCategory(
      joined.box.subarray(from * 4, to * 4),
      joined.score.subarray(from, to),
      joined.category.subarray(from, to),
      options.iouThreshold,
    );
    for (const index of survivors) kept.push(from + index);
  }
  return takeDetections(joined, kept);
}

function bestOfEachImage(detections: Detections, options: MergeOptions): Detections {
  const { minScore = 0, maxPerImage = Number.POSITIVE_INFINITY } = options;
  const kept: number[] = [];
  // rows of an image fall in score, so its first ones are its best
  for (const [from, to] of rangesByImage(detections).values()) {
    for (let i = from; i < to && i - from < maxPerImage; i++) if (detections.score[i]! >= minScore) kept.push(i);
  }
  return takeDetections(detections, kept);
}
