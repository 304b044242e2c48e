/** Where labels and a model disagree: candidates for a reviewer, and what decisions make of the labels. */

import { createHash } from 'node:crypto';
import { groupByImage, sortAnnotations } from './annotations.ts';
import type { GroundTruth } from './average-precision.ts';
import { iou } from './box.ts';
import { withClusters } from './candidate-clusters.ts';
import { type Disagreement, type Evidence, type Outcome, rankBy } from './candidate-rank.ts';
import { detectionAt, rangesByImage } from './detections.ts';
import { isIgnoredPlace } from './match.ts';
import { withoutQuarantine } from './quarantine.ts';
import type { Annotation, Candidate, Category, Decision, Detections, ImageEntry, Labels, Split } from './types.ts';

export interface IssueOptions {
  /** Detections with a lower score propose nothing. */
  readonly confidence: number;
  /** A detection and a label from this IoU on speak of the same object. */
  readonly iou: number;
  /** Only images of these splits. Default all. */
  readonly splits?: readonly Split[];
}

/** The part of a dataset that candidates are looked for in. */
export interface IssueDataset {
  readonly categories: readonly Category[];
  readonly images: readonly Pick<ImageEntry, 'id' | 'digest' | 'split'>[];
  readonly annotations: readonly Annotation[];
}

/** Below this IoU a label and a detection are two objects, above it perhaps one that is badly located. */
export const NEAR_IOU = 0.1;
/** A detection from this share of the asked IoU on speaks of a label's object, though another detection fits the label better. */
const LOOSE_SHARE = 0.8;
/** Two labels of one category above this IoU are one object labelled twice. */
export const DUPLICATE_IOU = 0.8;

/**
 * Candidates by falling rank. Each label and each detection is in one candidate at most. Where they agree they are in
 * none, but for a label that a second detection nearly fits: it may be loose, and the detection no object beside it.
 * Only images that were looked at (`detections.imageIds`) count.
 *
 * Ranks are those of candidate-rank.ts; the same mistake in several images has one cluster (candidate-clusters.ts).
 */
export function findCandidates(dataset: IssueDataset, detections: Detections, options: IssueOptions): Candidate[] {
  const looked = new Set(detections.imageIds);
  const labels = groupByImage(dataset.annotations);
  const ranges = rangesByImage(detections);
  const reviews = dataset.images
    .filter(({ id, split }) => looked.has(id) && (options.splits?.includes(split) ?? true))
    .map((image) => {
      const [from, to] = ranges.get(image.id) ?? [0, 0];
      return reviewImage(image, labels.get(image.id) ?? [], detections, from, to, options);
    });

  const rank = rankBy({
    detections: reviews.flatMap(({ outcomes }) => outcomes),
    labels: reviews.flatMap((review) => review.labels),
  });
  const candidates = new Map<string, Candidate>();
  for (const { image, issues } of reviews) {
    for (const issue of issues) {
      const { support: _, ...shown } = issue;
      const candidate = toCandidate(image, { ...shown, ...rank(issue) });
      // detections that were not suppressed may propose the same box twice
      if (!candidates.has(candidate.id)) candidates.set(candidate.id, candidate);
    }
  }
  const sorted = [...candidates.values()].sort(
    (a, b) => b.rank - a.rank || a.imageId - b.imageId || (a.id < b.id ? -1 : 1),
  );
  return withClusters(sorted);
}

type Issue = Omit<Candidate, 'id' | 'imageId' | 'imageDigest'>;

interface ImageReview {
  readonly image: IssueDataset['images'][number];
  readonly issues: readonly Disagreement[];
  readonly outcomes: Evidence['detections'];
  readonly labels: Evidence['labels'];
}

function reviewImage(
  image: IssueDataset['images'][number],
  labels: readonly Annotation[],
  detections: Detections,
  from: number,
  to: number,
  options: IssueOptions,
): ImageReview {
  const issues: Disagreement[] = [];
  const all = Array.from({ length: to - from }, (_, i) => detectionAt(detections, from + i));
  const sure = all.filter(({ score }) => score >= options.confidence);
  const targets = labels.filter((label) => !label.crowd && !label.ignore);
  const bestIou = (label: Annotation): number => Math.max(0, ...sure.map(({ box }) => iou(box, label.box)));

  // two labels of one object: the one that fits the detections worse is in question
  const doubled = new Set<Annotation>();
  for (const [i, first] of targets.entries()) {
    for (const second of targets.slice(i + 1)) {
      if (first.categoryId !== second.categoryId || doubled.has(first) || doubled.has(second)) continue;
      const overlap = iou(first.box, second.box);
      if (overlap <= DUPLICATE_IOU) continue;
      const annotation = bestIou(first) < bestIou(second) ? first : second;
      doubled.add(annotation);
      issues.push({ type: 'duplicate', annotation, iou: overlap });
    }
  }

  // by falling score, each detection agrees with the best label of its category that is still free
  const freeLabels = new Set(targets.filter((label) => !doubled.has(label)));
  const freeDetections = new Set(sure);
  const outcomes = new Map<(typeof sure)[number], Outcome>();
  const agreed: { label: Annotation }[] = [];
  for (const detection of sure) {
    let best: Annotation | undefined;
    let bestOverlap = 0;
    for (const label of freeLabels) {
      const overlap = label.categoryId === detection.categoryId ? iou(label.box, detection.box) : 0;
      if (overlap >= options.iou && overlap > bestOverlap) {
        best = label;
        bestOverlap = overlap;
      }
    }
    if (!best) continue;
    agreed.push({ label: best });
    outcomes.set(detection, 'agrees');
    freeLabels.delete(best);
    freeDetections.delete(detection);
  }
  // a second opinion on an object that is labelled rightly, or its double, is no candidate
  for (const detection of freeDetections) {
    const settled = [...agreed.map(({ label }) => label), ...doubled];
    if (settled.some(({ box }) => iou(box, detection.box) >= options.iou)) freeDetections.delete(detection);
  }

  // what is left is paired by falling IoU: the same place with another category first, then a place nearby
  const pair = (
    type: 'wrong-class' | 'badly-located',
    fits: (label: Annotation, detection: Candidate['detection'] & object) => number,
  ) => {
    const possible = [...freeLabels].flatMap((label) =>
      [...freeDetections].map((detection) => ({ label, detection, overlap: fits(label, detection) })),
    );
    possible.sort((a, b) => b.overlap - a.overlap || b.detection.score - a.detection.score);
    for (const { label, detection, overlap } of possible) {
      if (overlap <= 0 || !freeLabels.has(label) || !freeDetections.has(detection)) continue;
      freeLabels.delete(label);
      freeDetections.delete(detection);
      issues.push({
        type,
        annotation: label,
        detection: proposal(detection),
        iou: overlap,
      });
      outcomes.set(detection, type);
    }
  };
  pair('wrong-class', (label, detection) => {
    const overlap = label.categoryId === detection.categoryId ? 0 : iou(label.box, detection.box);
    return overlap >= options.iou ? overlap : 0;
  });
  pair('badly-located', (label, detection) => {
    const overlap = label.categoryId === detection.categoryId ? iou(label.box, detection.box) : 0;
    return overlap >= NEAR_IOU ? overlap : 0;
  });

  // what overlaps a label nearly enough is no object beside it: the label is loose, and what agrees with it is too
  const trusted = new Set(agreed.map(({ label }) => label));
  for (const detection of freeDetections) {
    if (isIgnoredPlace(detection.box, detection.categoryId, labels, options.iou)) continue;
    const loose = closest(detection, trusted, LOOSE_SHARE * options.iou);
    if (loose) {
      trusted.delete(loose.label);
      freeDetections.delete(detection);
      outcomes.set(detection, 'badly-located');
      issues.push({
        type: 'badly-located',
        annotation: loose.label,
        detection: proposal(detection),
        iou: loose.overlap,
      });
      continue;
    }
    outcomes.set(detection, 'missing');
    issues.push({ type: 'missing', detection: proposal(detection) });
  }
  // also by detections below the confidence
  const supportOf = (label: Annotation): number =>
    Math.max(
      0,
      ...all.map(({ categoryId, score, box }) => (categoryId === label.categoryId ? score * iou(box, label.box) : 0)),
    );
  const supports = new Map(targets.map((label) => [label, supportOf(label)]));
  for (const label of freeLabels) issues.push({ type: 'spurious', annotation: label, support: supports.get(label)! });
  return {
    image,
    issues,
    outcomes: sure.map((detection) => ({ ...detection, outcome: outcomes.get(detection) ?? 'beside' })),
    labels: targets.map((label) => ({ categoryId: label.categoryId, support: supports.get(label)! })),
  };
}

/** The label of the detection's category with the highest IoU, from `minIou` on. */
function closest(
  detection: Candidate['detection'] & object,
  labels: Iterable<Annotation>,
  minIou: number,
): { label: Annotation; overlap: number } | null {
  let best: { label: Annotation; overlap: number } | null = null;
  for (const label of labels) {
    const overlap = label.categoryId === detection.categoryId ? iou(label.box, detection.box) : 0;
    if (overlap >= minIou && overlap > (best?.overlap ?? 0)) best = { label, overlap };
  }
  return best;
}

function proposal({ categoryId, box, score }: Candidate['detection'] & object): Candidate['detection'] & object {
  return { categoryId, box, score };
}

/** Its id follows from the image, the label and the place of the detection: the same in every round. */
export function toCandidate(image: Pick<ImageEntry, 'id' | 'digest'>, issue: Issue): Candidate {
  const { type, annotation, detection } = issue;
  // whole pixels, so that a model trained on a little proposes the same
  const place = detection ? [detection.categoryId, ...detection.box.map(Math.round)].join(' ') : '';
  const id = shortHash(image.digest, type, annotation?.id ?? '', place);
  return { id, imageId: image.id, imageDigest: image.digest, ...issue };
}

/** First 16 hex digits of SHA-256; the parts are kept apart by a line break. */
function shortHash(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

export interface LabelChange {
  readonly candidateId: string;
  readonly imageId: number;
  readonly what: 'added' | 'removed' | 'moved' | 'reclassed' | 'ignored';
  readonly before?: Annotation;
  readonly after?: Annotation;
}

/** A decision that was not carried out, and why. */
export interface VerdictConflict {
  readonly candidateId: string;
  readonly reason: string;
}

export interface AppliedVerdicts {
  /** With the given parent, author and note, and all annotations in order. */
  readonly labels: Labels;
  /** In the order of the candidates. */
  readonly changes: readonly LabelChange[];
  readonly conflicts: readonly VerdictConflict[];
}

/**
 * Carries decisions out, in the order of the candidates (not of the answers, so that it does not matter who was first).
 * Of two that change one label the first wins. A rejected candidate changes nothing, nor does one without a decision.
 */
export function applyVerdicts(
  labels: Labels,
  candidates: readonly Candidate[],
  decisions: readonly Decision[],
  made: Pick<Labels, 'parent' | 'author' | 'note'>,
): AppliedVerdicts {
  const annotations = new Map(labels.annotations.map((annotation) => [annotation.id, annotation]));
  const changedBy = new Map<string, string>();
  const changes: LabelChange[] = [];
  const conflicts: VerdictConflict[] = [];

  const decisionOf = new Map<string, Decision>();
  const known = new Set(candidates.map(({ id }) => id));
  for (const decision of decisions) {
    const { candidateId } = decision;
    if (!known.has(candidateId)) conflicts.push({ candidateId, reason: 'No candidate has this id.' });
    else if (decisionOf.has(candidateId))
      conflicts.push({ candidateId, reason: 'It was decided twice; the first stands.' });
    else decisionOf.set(candidateId, decision);
  }

  for (const candidate of candidates) {
    const decision = decisionOf.get(candidate.id);
    if (!decision || decision.verdict === 'reject') continue;
    const labelId = candidate.annotation?.id ?? newAnnotationId(candidate);
    const earlier = changedBy.get(labelId);
    if (earlier) {
      conflicts.push({ candidateId: candidate.id, reason: `Candidate ${earlier} changed the same label before.` });
      continue;
    }
    const before = annotations.get(labelId);
    if (candidate.annotation && !before) {
      conflicts.push({ candidateId: candidate.id, reason: `Label ${labelId} is not in this label version.` });
      continue;
    }
    if (!candidate.annotation && before) {
      conflicts.push({ candidateId: candidate.id, reason: `Label ${labelId} was added before.` });
      continue;
    }
    const outcome = decide(candidate, decision, before);
    if (outcome === 'unchanged') continue;
    if (typeof outcome === 'string') {
      conflicts.push({ candidateId: candidate.id, reason: outcome });
      continue;
    }
    changedBy.set(labelId, candidate.id);
    if (outcome.after) annotations.set(labelId, outcome.after);
    else annotations.delete(labelId);
    changes.push({ candidateId: candidate.id, imageId: candidate.imageId, ...outcome });
  }
  return { labels: { ...made, annotations: sortAnnotations([...annotations.values()]) }, changes, conflicts };
}

/** Follows from the candidate, so that applying the same decisions again makes the same labels. */
function newAnnotationId(candidate: Candidate): string {
  return `new-${candidate.id}`;
}

/** What becomes of the label; a text where the decision makes no sense. */
function decide(
  candidate: Candidate,
  decision: Decision,
  before: Annotation | undefined,
): Omit<LabelChange, 'candidateId' | 'imageId'> | 'unchanged' | string {
  const { detection } = candidate;
  const fresh = (): Annotation => ({
    id: newAnnotationId(candidate),
    imageId: candidate.imageId,
    categoryId: decision.categoryId ?? detection!.categoryId,
    box: decision.box ?? detection!.box,
  });
  if (decision.verdict === 'ignore') {
    const place = before ? (decision.box ? moveTo(before, decision.box) : before) : fresh();
    return { what: 'ignored', before, after: { ...withoutQuarantine(place), ignore: true } };
  }
  if (decision.verdict === 'edit') {
    if (!decision.box && decision.categoryId === undefined) return 'An edit needs a box or a category.';
    if (!before) return { what: 'added', after: fresh() };
    const moved = decision.box ? moveTo(before, decision.box) : before;
    // What a reviewer put right is another claim than the one in quarantine.
    const after = { ...withoutQuarantine(moved), categoryId: decision.categoryId ?? before.categoryId };
    const samePlace = after.box.every((edge, i) => edge === before.box[i]);
    if (samePlace && after.categoryId === before.categoryId) return 'unchanged';
    return { what: samePlace ? 'reclassed' : 'moved', before, after };
  }
  switch (candidate.type) {
    case 'missing':
      return { what: 'added', after: fresh() };
    case 'spurious':
    case 'duplicate':
      return { what: 'removed', before };
    case 'badly-located':
      return { what: 'moved', before, after: moveTo(before!, detection!.box) };
    case 'wrong-class':
      return { what: 'reclassed', before, after: { ...before!, categoryId: detection!.categoryId } };
  }
}

/** A segment's area does not fit another box. */
function moveTo({ area: _, ...annotation }: Annotation, box: Annotation['box']): Annotation {
  return { ...annotation, box };
}

/** Labels of one image set against its truth. */
export interface Assignment {
  /** The true box that each label stands for, where there is one. */
  readonly truthOf: ReadonlyMap<Annotation, Annotation>;
  readonly labelOf: ReadonlyMap<Annotation, Annotation>;
}

/** One to one by falling IoU, whatever the category; below 0.1 a label stands for nothing. */
export function assignToTruth(labels: readonly Annotation[], truth: readonly Annotation[]): Assignment {
  const pairs = labels.flatMap((label) =>
    truth
      .map((target) => ({ label, target, overlap: iou(label.box, target.box) }))
      .filter(({ overlap }) => overlap >= NEAR_IOU),
  );
  const sameCategory = (pair: (typeof pairs)[number]) => Number(pair.label.categoryId === pair.target.categoryId);
  pairs.sort((a, b) => b.overlap - a.overlap || sameCategory(b) - sameCategory(a));
  const truthOf = new Map<Annotation, Annotation>();
  const labelOf = new Map<Annotation, Annotation>();
  for (const { label, target } of pairs) {
    if (truthOf.has(label) || labelOf.has(target)) continue;
    truthOf.set(label, target);
    labelOf.set(target, label);
  }
  return { truthOf, labelOf };
}

export type LabelErrorType = 'missing' | 'spurious' | 'shifted' | 'wrong-class';

export const LABEL_ERROR_TYPES: readonly LabelErrorType[] = ['missing', 'spurious', 'shifted', 'wrong-class'];

export interface CorrectionScore {
  readonly type: LabelErrorType;
  /** Errors of the type in the labels before. */
  readonly before: number;
  /** How many of them are right after. */
  readonly found: number;
  /** How many of them are still wrong in any way. */
  readonly remaining: number;
  /** Errors of the type after, where nothing was wrong before. */
  readonly introduced: number;
  /** Errors of the type after: what remains and what is new. */
  readonly after: number;
}

/**
 * What a review mended, by the truth: one entry a type, in the order of LABEL_ERROR_TYPES. A label is shifted below
 * IoU 0.7 with its true box. Ignore regions are no errors.
 */
export function scoreCorrections(
  groundTruth: Pick<GroundTruth, 'imageIds'>,
  before: readonly Annotation[],
  after: readonly Annotation[],
  truth: readonly Annotation[],
): CorrectionScore[] {
  const errorsBefore = labelErrors(groundTruth.imageIds, before, truth);
  const errorsAfter = labelErrors(groundTruth.imageIds, after, truth);
  return LABEL_ERROR_TYPES.map((type) => {
    const old = [...errorsBefore].filter(([, own]) => own === type).map(([key]) => key);
    const now = [...errorsAfter].filter(([, own]) => own === type).map(([key]) => key);
    const remaining = old.filter((key) => errorsAfter.has(key)).length;
    return {
      type,
      before: old.length,
      found: old.length - remaining,
      remaining,
      introduced: now.filter((key) => !errorsBefore.has(key)).length,
      after: now.length,
    };
  });
}

/** A label is in its place from this IoU on: a model's box that a reviewer accepts need not be exact. */
const LOCATED_IOU = 0.7;

/** Type by what is wrong: the true box that has no right label, or the label that stands for nothing. */
function labelErrors(
  imageIds: readonly number[],
  labels: readonly Annotation[],
  truth: readonly Annotation[],
): Map<string, LabelErrorType> {
  const errors = new Map<string, LabelErrorType>();
  const labelsByImage = groupByImage(labels);
  const truthByImage = groupByImage(truth);
  for (const imageId of imageIds) {
    const own = labelsByImage.get(imageId) ?? [];
    const targets = truthByImage.get(imageId) ?? [];
    const { truthOf, labelOf } = assignToTruth(own, targets);
    for (const label of own) if (!truthOf.has(label) && !label.ignore) errors.set(`label ${label.id}`, 'spurious');
    for (const target of targets) {
      const label = labelOf.get(target);
      const key = `truth ${target.id}`;
      if (!label) errors.set(key, 'missing');
      else if (label.ignore) continue;
      else if (label.categoryId !== target.categoryId) errors.set(key, 'wrong-class');
      else if (iou(label.box, target.box) < LOCATED_IOU) errors.set(key, 'shifted');
    }
  }
  return errors;
}
