/** A reviewer that knows the truth and errs at a set rate: for trials of the whole strategy without people. */

import { groupByImage } from './annotations.ts';
import { iou } from './box.ts';
import { type Assignment, assignToTruth } from './label-issues.ts';
import { createRandom, hashSeed } from './random.ts';
import type { Annotation, Box, Candidate, Decision } from './types.ts';

export interface OracleOptions {
  /** Share of wrong verdicts, 0..1. */
  readonly errorRate: number;
  readonly seed: number | string;
  /** A proposal agrees with a true box from this IoU on. Default 0.5. */
  readonly iou?: number;
}

/** A box this near to the true one is left alone: nobody sees the difference. */
const EXACT_IOU = 0.95;

/**
 * One decision a candidate, in their order. Right ones: `accept` where the proposal is as good as the truth, `edit` to
 * the true box where the truth is better, else `reject`. A wrong verdict rejects what is right and accepts what is not.
 */
export function oracleDecisions(
  candidates: readonly Candidate[],
  truth: readonly Annotation[],
  given: readonly Annotation[],
  options: OracleOptions,
): Decision[] {
  const truthByImage = groupByImage(truth);
  const givenByImage = groupByImage(given);
  const assignments = new Map<number, Assignment>();
  // a true box that is labelled by one decision must not be labelled by the next
  const settled = new Set<Annotation>();

  return candidates.map((candidate) => {
    const { imageId } = candidate;
    const targets = truthByImage.get(imageId) ?? [];
    let assignment = assignments.get(imageId);
    if (!assignment) {
      assignment = assignToTruth(givenByImage.get(imageId) ?? [], targets);
      assignments.set(imageId, assignment);
    }
    const unlabelled = targets.filter((target) => !assignment.labelOf.has(target) && !settled.has(target));
    const { verdict, target } = judge(candidate, assignment, unlabelled, options.iou ?? 0.5);
    if (target) settled.add(target);

    const decision: Decision =
      verdict === 'edit'
        ? { candidateId: candidate.id, verdict, box: target!.box, categoryId: target!.categoryId }
        : { candidateId: candidate.id, verdict };
    // drawn by candidate, so that a verdict does not hang on which others are asked about
    const errs = createRandom(hashSeed('oracle', options.seed, candidate.id)).next() < options.errorRate;
    return errs ? { candidateId: candidate.id, verdict: verdict === 'reject' ? 'accept' : 'reject' } : decision;
  });
}

/** The right verdict, and the true box that is labelled by it. */
function judge(
  candidate: Candidate,
  assignment: Assignment,
  unlabelled: readonly Annotation[],
  minIou: number,
): { verdict: 'accept' | 'reject' | 'edit'; target?: Annotation } {
  const { type, annotation, detection } = candidate;
  const meant = detection && nearest(detection.box, unlabelled, minIou);

  if (!annotation) {
    if (!detection || !meant) return { verdict: 'reject' };
    const exact = meant.categoryId === detection.categoryId && iou(meant.box, detection.box) >= EXACT_IOU;
    return { verdict: exact ? 'accept' : 'edit', target: meant };
  }

  const target = [...assignment.truthOf].find(([label]) => label.id === annotation.id)?.[1];
  if (!target) {
    // the label stands for nothing: it goes, or it moves to what the model found beside it
    if (meant) return { verdict: 'edit', target: meant };
    return { verdict: type === 'spurious' || type === 'duplicate' ? 'accept' : 'reject' };
  }
  const located = iou(target.box, annotation.box) >= EXACT_IOU;
  if (located && target.categoryId === annotation.categoryId) return { verdict: 'reject' };
  const proposed: { box: Box; categoryId: number } = {
    box: type === 'badly-located' ? detection!.box : annotation.box,
    categoryId: type === 'wrong-class' ? detection!.categoryId : annotation.categoryId,
  };
  const agrees = proposed.categoryId === target.categoryId && iou(proposed.box, target.box) >= EXACT_IOU;
  return agrees && detection ? { verdict: 'accept', target } : { verdict: 'edit', target };
}

function nearest(box: Box, targets: readonly Annotation[], minIou: number): Annotation | undefined {
  let best: Annotation | undefined;
  let bestIou = 0;
  for (const target of targets) {
    const overlap = iou(box, target.box);
    if (overlap >= minIou && overlap > bestIou) {
      best = target;
      bestIou = overlap;
    }
  }
  return best;
}
