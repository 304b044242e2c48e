/** In what order each method shows a reviewer what may be mislabelled, and what the reviewer has found after so many looks. */

import { groupByImage } from '../../detection/annotations.ts';
import { iou } from '../../detection/box.ts';
import { detectionAt, rangesByImage } from '../../detection/detections.ts';
import { assignToTruth, LABEL_ERROR_TYPES, type LabelErrorType } from '../../detection/label-issues.ts';
import type { Annotation, Candidate, Detections } from '../../detection/types.ts';

/** One look: a place in an image, with the label that is in question or a box without one. */
export interface Look {
  readonly imageId: number;
  readonly label?: Annotation;
  readonly box?: Annotation['box'];
}

/** A real error of the labels. */
export interface LabelError {
  readonly type: LabelErrorType;
  readonly imageId: number;
  /** The wrong label; absent where it is missing. */
  readonly labelId?: string;
  readonly truth?: Annotation;
}

/** Below this IoU a label is badly located. */
const LOCATED = 0.7;

export function errorsOf(imageIds: readonly number[], labels: readonly Annotation[], truth: readonly Annotation[]) {
  const errors: LabelError[] = [];
  const [given, right] = [groupByImage(labels), groupByImage(truth)];
  for (const imageId of imageIds) {
    const own = given.get(imageId) ?? [];
    const targets = right.get(imageId) ?? [];
    const { truthOf, labelOf } = assignToTruth(own, targets);
    for (const label of own) if (!truthOf.has(label)) errors.push({ type: 'spurious', imageId, labelId: label.id });
    for (const target of targets) {
      const label = labelOf.get(target);
      if (label === undefined) errors.push({ type: 'missing', imageId, truth: target });
      else if (label.categoryId !== target.categoryId) {
        errors.push({ type: 'wrong-class', imageId, labelId: label.id, truth: target });
      } else if (iou(label.box, target.box) < LOCATED) {
        errors.push({ type: 'shifted', imageId, labelId: label.id, truth: target });
      }
    }
  }
  return errors;
}

export interface Reached {
  /** Share of the looks that met an error. */
  readonly precision: number;
  /** Share of the errors that were met, in all and by type. */
  readonly recall: number;
  readonly byType: Readonly<Record<LabelErrorType, number>>;
}

/** After the first `count` looks. An error is met by a look at its label, or at IoU >= 0.5 with a target that has none. */
export function reachedAfter(looks: readonly Look[], errors: readonly LabelError[], count: number): Reached {
  const byLabel = new Map(errors.filter(({ labelId }) => labelId !== undefined).map((one) => [one.labelId!, one]));
  const missing = new Map<number, LabelError[]>();
  for (const error of errors) {
    if (error.type === 'missing') missing.set(error.imageId, [...(missing.get(error.imageId) ?? []), error]);
  }
  const met = new Set<LabelError>();
  let hits = 0;
  for (const { imageId, label, box } of looks.slice(0, count)) {
    const near = box && missing.get(imageId)?.find(({ truth }) => iou(truth!.box, box) >= 0.5);
    const error = (label && byLabel.get(label.id)) ?? near;
    if (error === undefined) continue;
    if (!met.has(error)) hits++;
    met.add(error);
  }
  const share = (type: LabelErrorType): number => {
    const all = errors.filter((error) => error.type === type);
    return all.length === 0 ? 1 : all.filter((error) => met.has(error)).length / all.length;
  };
  const looked = Math.min(count, looks.length);
  return {
    precision: looked === 0 ? 0 : hits / looked,
    recall: met.size / errors.length,
    byType: Object.fromEntries(LABEL_ERROR_TYPES.map((type) => [type, share(type)])) as Reached['byType'],
  };
}

export function byRank(candidates: readonly Candidate[]): Look[] {
  return candidates.map(({ imageId, annotation, detection }) => ({ imageId, label: annotation, box: detection?.box }));
}

/** The same candidates, the surest detections first; a label that nothing supports counts as sure as its best detection is not. */
export function byConfidence(candidates: readonly Candidate[]): Look[] {
  const sureness = ({ detection }: Candidate): number => detection?.score ?? 0.5;
  return byRank(candidates.toSorted((a, b) => sureness(b) - sureness(a)));
}

interface Scored extends Look {
  readonly score: number;
}

const inOrder = (scored: readonly Scored[]): Look[] => scored.toSorted((a, b) => b.score - a.score);

/**
 * FiftyOne's mistakenness, by the formulas of `_compute_mistakenness_class_conf` and `_loc_conf` of fiftyone-brain 0.27: a
 * matched label scores the higher of (1 + m c) / 2, m = 1 where the class differs and -1 where not, and
 * (c (2 i - 1) + 1) / 2, i = 2 (1 - IoU). A sure detection (there above 0.95, here above the confidence asked for) without a label is possibly missing, a label without a
 * detection possibly spurious: both are flags without a score, and come first: the missing ones by confidence, the spurious ones as with 0.5.
 */
export function byMistakenness(labels: readonly Annotation[], detections: Detections, confidence: number): Look[] {
  const scored: Scored[] = [];
  const given = groupByImage(labels);
  const ranges = rangesByImage(detections);
  for (const imageId of detections.imageIds) {
    const [from, to] = ranges.get(imageId) ?? [0, 0];
    const free = new Set(given.get(imageId) ?? []);
    for (let row = from; row < to; row++) {
      const { categoryId, box, score } = detectionAt(detections, row);
      if (score < confidence) break;
      const best = [...free]
        .map((label) => ({ label, overlap: iou(label.box, box) }))
        .filter(({ overlap }) => overlap >= 0.5)
        .sort((a, b) => b.overlap - a.overlap)[0];
      if (best === undefined) {
        scored.push({ imageId, box, score: 1 + score });
        continue;
      }
      free.delete(best.label);
      const ofClass = (1 + (best.label.categoryId === categoryId ? -1 : 1) * score) / 2;
      const ofPlace = (score * (2 * (2 * (1 - best.overlap)) - 1) + 1) / 2;
      scored.push({ imageId, label: best.label, score: Math.max(ofClass, ofPlace) });
    }
    for (const label of free) scored.push({ imageId, label, score: 1.5 });
  }
  return inOrder(scored);
}

/** What `objectlab.py` answers: one list an image. */
export interface ObjectLabScores {
  readonly overlooked: readonly (readonly (number | null)[])[];
  readonly badLocation: readonly (readonly (number | null)[])[];
  readonly swapped: readonly (readonly (number | null)[])[];
}

/** Detections of an image in the order of ObjectLab's scores: by category, then as they come. */
export function objectLabRequest(categories: readonly number[], labels: readonly Annotation[], detections: Detections) {
  const given = groupByImage(labels);
  const ranges = rangesByImage(detections);
  const images = detections.imageIds.map((imageId) => {
    const [from, to] = ranges.get(imageId) ?? [0, 0];
    const rows = Array.from({ length: to - from }, (_, i) => detectionAt(detections, from + i));
    return {
      imageId,
      labels: given.get(imageId) ?? [],
      detections: categories.flatMap((category) => rows.filter(({ categoryId }) => categoryId === category)),
    };
  });
  const payload = {
    categories: categories.length,
    images: images.map((image) => ({
      labels: image.labels.map(({ categoryId, box }) => [categories.indexOf(categoryId), ...box]),
      detections: image.detections.map(({ categoryId, box, score }) => [categories.indexOf(categoryId), ...box, score]),
    })),
  };
  return { images, payload };
}

/** The worst of its three scores for each box, the lowest first. */
export function byObjectLab({ images }: ReturnType<typeof objectLabRequest>, scores: ObjectLabScores): Look[] {
  const scored: Scored[] = [];
  for (const [i, { imageId, labels, detections }] of images.entries()) {
    for (const [k, { box }] of detections.entries()) {
      const score = scores.overlooked[i]![k];
      if (score != null) scored.push({ imageId, box, score: -score });
    }
    for (const [k, label] of labels.entries()) {
      const own = [scores.badLocation[i]![k], scores.swapped[i]![k]].filter((score) => score != null);
      if (own.length > 0) scored.push({ imageId, label, score: -Math.min(...own) });
    }
  }
  return inOrder(scored);
}
