/** Pascal VOC AP, as the devkit computes it: 11-point (2007) or every point (2012), inclusive pixels. */

import type { GroundTruth } from './average-precision.ts';
import { sortByScore } from './nms.ts';
import type { Annotation, Box, Detections } from './types.ts';

export interface VocOptions {
  readonly rule: '2007' | '2012';
  /** A detection is right from this IoU on. Default 0.5. */
  readonly iou?: number;
}

export interface VocResult {
  /** Mean of AP over the categories with ground truth; -1 where none has any. */
  readonly mAP: number;
  /** By category name; -1 for a category without ground truth, which the mean leaves out. */
  readonly perCategory: Readonly<Record<string, { readonly AP: number }>>;
}

/** `ignore` annotations are VOC's `difficult`: they need not be found, and finding them is no error. */
export function evaluateVoc(groundTruth: GroundTruth, detections: Detections, options: VocOptions): VocResult {
  const perCategory: Record<string, { AP: number }> = {};
  let sum = 0;
  let measured = 0;
  for (const category of [...groundTruth.categories].sort((a, b) => a.id - b.id)) {
    const AP = categoryAp(groundTruth, detections, category.id, options);
    perCategory[category.name] = { AP };
    if (AP < 0) continue;
    sum += AP;
    measured++;
  }
  return { mAP: measured > 0 ? sum / measured : -1, perCategory };
}

function categoryAp(groundTruth: GroundTruth, detections: Detections, categoryId: number, options: VocOptions): number {
  const looked = new Set(groundTruth.imageIds);
  const truths = new Map<number, { annotation: Annotation; taken: boolean }[]>();
  let positives = 0;
  for (const annotation of groundTruth.annotations) {
    if (annotation.categoryId !== categoryId || !looked.has(annotation.imageId)) continue;
    const list = truths.get(annotation.imageId) ?? [];
    list.push({ annotation, taken: false });
    truths.set(annotation.imageId, list);
    if (!isDifficult(annotation)) positives++;
  }
  if (positives === 0) return -1;

  const own: number[] = [];
  for (let i = 0; i < detections.score.length; i++) {
    if (detections.category[i] === categoryId && looked.has(detections.image[i]!)) own.push(i);
  }
  const recall: number[] = [];
  const precision: number[] = [];
  let right = 0;
  let wrong = 0;
  for (const position of sortByScore(Float64Array.from(own, (i) => detections.score[i]!))) {
    const i = own[position]!;
    // the best one counts, also when it is taken already
    let best: { annotation: Annotation; taken: boolean } | undefined;
    let bestIou = Number.NEGATIVE_INFINITY;
    for (const truth of truths.get(detections.image[i]!) ?? []) {
      const overlap = inclusiveIou(truth.annotation.box, detections.box, i * 4);
      if (overlap > bestIou) {
        bestIou = overlap;
        best = truth;
      }
    }
    if (best && bestIou >= (options.iou ?? 0.5)) {
      if (isDifficult(best.annotation)) continue;
      if (best.taken) wrong++;
      else right++;
      best.taken = true;
    } else wrong++;
    recall.push(right / positives);
    precision.push(right / (right + wrong));
  }
  return options.rule === '2007' ? elevenPointAp(recall, precision) : everyPointAp(recall, precision);
}

/** Mean of the best precision at recall 0, .1 ... 1; the floats i * 0.1, so that 9/15 does not reach the seventh. */
function elevenPointAp(recall: readonly number[], precision: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i <= 10; i++) {
    let best = 0;
    for (let j = 0; j < recall.length; j++) if (recall[j]! >= i * 0.1 && precision[j]! > best) best = precision[j]!;
    sum += best / 11;
  }
  return sum;
}

/** The area under the precision envelope. */
function everyPointAp(recall: readonly number[], precision: readonly number[]): number {
  let sum = 0;
  let envelope = 0;
  for (let i = recall.length - 1; i >= 0; i--) {
    envelope = Math.max(envelope, precision[i]!);
    sum += (recall[i]! - (i > 0 ? recall[i - 1]! : 0)) * envelope;
  }
  return sum;
}

/** Both corners are pixels of the box, hence the + 1. */
function inclusiveIou(truth: Box, boxes: Float64Array, at: number): number {
  const width = Math.min(truth[2], boxes[at + 2]!) - Math.max(truth[0], boxes[at]!) + 1;
  const height = Math.min(truth[3], boxes[at + 3]!) - Math.max(truth[1], boxes[at + 1]!) + 1;
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  const truthArea = (truth[2] - truth[0] + 1) * (truth[3] - truth[1] + 1);
  const ownArea = (boxes[at + 2]! - boxes[at]! + 1) * (boxes[at + 3]! - boxes[at + 1]! + 1);
  return shared / (truthArea + ownArea - shared);
}

function isDifficult(annotation: Annotation): boolean {
  return Boolean(annotation.ignore || annotation.crowd);
}
