/**
 * In which order a reviewer should look: the expected gain for a second of time. Only scores, overlaps and counts go in, so
 * an image at twice the size has the same ranks.
 *
 *     rank = chance x worth / seconds, scaled to 0..1
 */

import type { Candidate, CandidateType } from './types.ts';

/** Seconds for a yes or no to a box that is shown (Papadopoulos et al., CVPR 2016). */
export const LOOK_SECONDS = 1.6;
/** Seconds to draw a box by its four extreme points (Papadopoulos et al., ICCV 2017). */
export const DRAW_SECONDS = 7;
/** How often an answer needs another box than those shown: assumptions, which only order types among each other. */
const DRAW_SHARE: Readonly<Record<CandidateType, number>> = {
  missing: 0.05,
  spurious: 0,
  'badly-located': 0.1,
  'wrong-class': 0.02,
  duplicate: 0,
};
/**
 * Of what contradicts a label most clearly, the share that is the label's fault: even a sure model misses targets, and puts boxes
 * beside them. Measured on four sets of scenes with planted errors (docs/review.md), and rounded.
 */
const LABEL_AT_FAULT: Readonly<Record<CandidateType, number>> = {
  missing: 0.9,
  spurious: 0.75,
  'badly-located': 0.85,
  'wrong-class': 1,
  duplicate: 1,
};
/** Most that one candidate can be worth, and the least time for it: they have rank 1. */
const BEST_PACE = 2 / LOOK_SECONDS;

/** Share of labels that stand for nothing, before anything is known (mean over ten published test sets: Northcutt et al., 2021). */
const SPURIOUS_RATE = 0.033;
/** Bands of detections by score, and how many detections fill one at least. */
const BANDS = 6;
const BAND_SIZE_MIN = 30;
/** Detections of one category that are enough to judge it by its own. */
const OWN_DETECTIONS_MIN = 4 * BAND_SIZE_MIN;
/** Labels that are thought of as right and supported by a tenth to all, before any are counted. */
const PSEUDO_LABELS = 5;
/** By so much at most a surer detection goes before another with the same chance. */
const SURER = 0.05;

/** What became of a detection: it agrees with a label, or speaks against the labels in one of three ways. */
export type Outcome = 'agrees' | 'missing' | 'wrong-class' | 'badly-located' | 'beside';

/** What the images that were looked at say about the model and the labels, to judge one disagreement by. */
export interface Evidence {
  /** Detections above the confidence. */
  readonly detections: readonly { readonly categoryId: number; readonly score: number; readonly outcome: Outcome }[];
  /** How far detections support each label: score x IoU of the best one, 0..1. */
  readonly labels: readonly { readonly categoryId: number; readonly support: number }[];
}

/** A disagreement before it is ranked. `support` is that of the label, for `spurious`. */
export type Disagreement = Pick<Candidate, 'type' | 'annotation' | 'detection' | 'iou'> & { readonly support?: number };

export interface Ranking {
  readonly chance: number;
  readonly seconds: number;
  readonly rank: number;
}

/**
 * Ranks disagreements by what the detections and labels of all images say.
 *
 * The chance that the label is at fault, where a detection speaks against it: among the surest detections, the share that
 * disagrees in this way is put down to the labels; what more there is among less sure ones is the model's. So the chance is the
 * first share divided by that at the detection's score; less where not even half of the surest detections agree with a label,
 * because then the model is no witness. A label that nothing supports: the share of labels that are
 * expected to stand for nothing, divided by the share that has no more support.
 */
export function rankBy(evidence: Evidence): (disagreement: Disagreement) => Ranking {
  const chances = new Map<string, (score: number) => number>();
  const byCategory = groupByCategory(evidence.detections);
  const chanceAt = (type: Outcome, categoryId: number, score: number): number => {
    const own = byCategory.get(categoryId) ?? [];
    const known = own.length >= OWN_DETECTIONS_MIN;
    const key = `${type} ${known ? categoryId : ''}`;
    const chance = chances.get(key) ?? chanceByScore(known ? own : evidence.detections, type);
    chances.set(key, chance);
    return chance(score);
  };
  const unsupported = new Map<number, readonly number[]>();
  for (const [categoryId, labels] of groupByCategory(evidence.labels)) {
    unsupported.set(
      categoryId,
      labels.map(({ support }) => support).sort((a, b) => a - b),
    );
  }
  return ({ type, annotation, detection, iou = 0, support = 0 }) => {
    const clear =
      type === 'duplicate'
        ? // Two objects hardly ever share a box; how nearly the labels do is all there is to go by.
          iou
        : type === 'spurious'
          ? chanceWithout(support, unsupported.get(annotation!.categoryId) ?? [])
          : chanceAt(type, detection!.categoryId, detection!.score) * (1 - SURER * (1 - detection!.score));
    const chance = LABEL_AT_FAULT[type] * clear;
    const seconds = LOOK_SECONDS + DRAW_SHARE[type] * DRAW_SECONDS;
    return { chance, seconds, rank: (chance * worthOf(type, iou)) / seconds / BEST_PACE };
  };
}

function groupByCategory<T extends { readonly categoryId: number }>(all: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const one of all) {
    const group = groups.get(one.categoryId);
    if (group) group.push(one);
    else groups.set(one.categoryId, [one]);
  }
  return groups;
}

/**
 * What putting one right is worth, in labels: a wrong class is a miss in one category and a false alarm in the other; a
 * badly located label is wrong at those of the ten IoU thresholds of COCO that lie above its overlap.
 */
function worthOf(type: CandidateType, iou: number): number {
  if (type === 'wrong-class') return 2;
  if (type !== 'badly-located') return 1;
  let failed = 0;
  for (let step = 10; step < 20; step++) if (step / 20 > iou) failed++;
  return failed / 10;
}

/** By bands of equally many detections, straight lines between their middles. */
function chanceByScore(detections: Evidence['detections'], type: Outcome): (score: number) => number {
  const falling = detections.toSorted((a, b) => b.score - a.score);
  const count = Math.max(1, Math.min(BANDS, Math.floor(falling.length / BAND_SIZE_MIN)));
  const bands = Array.from({ length: count }, (_, band) => {
    const own = falling.slice(
      Math.round((band * falling.length) / count),
      Math.round(((band + 1) * falling.length) / count),
    );
    const countOf = (wanted: Outcome) => own.filter(({ outcome }) => outcome === wanted).length;
    // Half a detection more of each kind, so that none counts as never or always.
    return {
      score: own[own.length >> 1]?.score ?? 0,
      share: (countOf(type) + 0.5) / (own.length + 1),
      agreeing: (countOf('agrees') + 0.5) / (own.length + 1),
    };
  });
  const [surest] = bands;
  const trust = Math.min(1, 2 * surest!.agreeing);
  const points = bands.map(({ score, share }) => ({ score, chance: trust * Math.min(1, surest!.share / share) }));
  // A less sure detection is no better evidence, whatever a few of them say.
  for (let i = 1; i < points.length; i++) points[i]!.chance = Math.min(points[i]!.chance, points[i - 1]!.chance);
  return (score) => {
    const after = points.findIndex((point) => point.score <= score);
    if (after === 0) return points[0]!.chance;
    if (after < 0) return points.at(-1)!.chance;
    const [high, low] = [points[after - 1]!, points[after]!];
    const share = (score - low.score) / (high.score - low.score);
    return low.chance + share * (high.chance - low.chance);
  };
}

/** `supports` rise. */
function chanceWithout(support: number, supports: readonly number[]): number {
  const expected = SPURIOUS_RATE * (supports.length + PSEUDO_LABELS);
  const below = countUpTo(supports, support) + PSEUDO_LABELS * (0.1 + 0.9 * support);
  return Math.min(1, expected / below) * (1 - support);
}

/** How many of the rising numbers are not above the value. */
function countUpTo(sorted: readonly number[], value: number): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle]! <= value) from = middle + 1;
    else to = middle;
  }
  return from;
}
