/** How a training went for each ground truth: its course over the epochs, and what that says of the box. */

/** What is recorded of a ground truth in every profiled epoch, with the weights and terms of `GroundTruthLoss`. */
export const SERIES = ['total', 'box', 'objectness', 'class', 'pTrue', 'iou', 'margin'] as const;

export type SeriesName = (typeof SERIES)[number];

export interface DynamicsTarget {
  readonly imageId: number;
  readonly annotationId: string;
  /** A threshold box: put at an empty place on purpose, to see how fast the network learns what is not there. */
  readonly planted: boolean;
}

export interface Dynamics {
  /** Epochs that were profiled, rising, counted from 1. */
  readonly epochs: readonly number[];
  readonly targets: readonly DynamicsTarget[];
  /** [T*E] each, one target after the other. */
  readonly series: Readonly<Record<SeriesName, Float32Array>>;
}

/** What to make of a box; see `summarizeDynamics`. */
export type TargetCategory = 'easy' | 'hard' | 'mislabelled' | 'unlearnable';

export interface TargetSummary extends DynamicsTarget {
  /** Mean of p_true over the profiled epochs (Swayamdipta et al. 2020, https://arxiv.org/abs/2009.10795). */
  readonly confidence: number;
  /** Population standard deviation of p_true. */
  readonly variability: number;
  /** Share of the epochs in which it was matched. */
  readonly correctness: number;
  /** How often it was matched in one profiled epoch and not in the next (Toneva et al. 2019, https://arxiv.org/abs/1812.05159). */
  readonly forgotten: number;
  readonly neverLearnt: boolean;
  /** Area under the margin: the mean margin over the epochs (Pleiss et al. 2020, https://arxiv.org/abs/2001.10528). */
  readonly aum: number;
  /** Mean loss over the last epochs. */
  readonly lateLoss: number;
  readonly neverConverged: boolean;
  readonly category: TargetCategory;
}

export interface DynamicsOptions {
  /** A box is matched from this p_true and this IoU of the row that gives it on; one whose p_true was above has converged. */
  readonly confidence: number;
  readonly iou: number;
  /** Never converged: among this share of the highest losses ... */
  readonly top: number;
  /** ... in each of the last so many profiled epochs. */
  readonly epochs: number;
  /** Low variability: among this share of the lowest (Swayamdipta et al. take a third of the data for each of their regions). */
  readonly calm: number;
  /** Epochs count from the first in which this share of the boxes is matched that are matched in the last one; 0: all count. */
  readonly settled: number;
}

export const dynamicsDefaults: DynamicsOptions = {
  confidence: 0.5,
  iou: 0.5,
  top: 0.2,
  epochs: 5,
  calm: 1 / 3,
  settled: 0.5,
};

export const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
};

/** Population standard deviation. */
export function deviation(values: ArrayLike<number>): number {
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i]! - centre) ** 2;
  return Math.sqrt(sum / values.length);
}

/** Times that a box was matched and in the next profiled epoch was not. */
export function forgettingEvents(matched: readonly boolean[]): number {
  return matched.filter((now, i) => !now && i > 0 && matched[i - 1]).length;
}

/** Values of one target over the profiled epochs: a view. */
export function courseOf(dynamics: Dynamics, name: SeriesName, target: number): Float32Array {
  const { length } = dynamics.epochs;
  return dynamics.series[name].subarray(target * length, (target + 1) * length);
}

export function matchedIn(
  dynamics: Dynamics,
  target: number,
  { confidence, iou }: Pick<DynamicsOptions, 'confidence' | 'iou'>,
): boolean[] {
  const overlap = courseOf(dynamics, 'iou', target);
  return Array.from(courseOf(dynamics, 'pTrue', target), (p, e) => p >= confidence && overlap[e]! >= iou);
}

/**
 * One entry a target, in their order. Figures are over the epochs from `settledFrom` on.
 *
 * A box that was matched in most of the last epochs is easy. Of the others, one that was never matched is mislabelled
 * where the network is sure of something there, but not of this box, or where it hardly wavered in its doubt. What never
 * converged and did waver is unlearnable. The rest is hard.
 */
export function summarizeDynamics(dynamics: Dynamics, options: Partial<DynamicsOptions> = {}): TargetSummary[] {
  const settings = { ...dynamicsDefaults, ...options };
  const worst = amongWorst(dynamics, settings);
  const from = settledFrom(dynamics, settings);
  const late = Math.min(settings.epochs, dynamics.epochs.length - from);
  const figures = dynamics.targets.map((target, t) => {
    const pTrue = courseOf(dynamics, 'pTrue', t).subarray(from);
    const matched = matchedIn(dynamics, t, settings).slice(from);
    return {
      ...target,
      confidence: mean(pTrue),
      variability: deviation(pTrue),
      correctness: matched.filter(Boolean).length / matched.length,
      forgotten: forgettingEvents(matched),
      neverLearnt: !matched.includes(true),
      aum: mean(courseOf(dynamics, 'margin', t).subarray(from)),
      lateLoss: mean(courseOf(dynamics, 'total', t).subarray(-settings.epochs)),
      neverConverged: worst[t]! && pTrue.every((p) => p <= settings.confidence),
      lateMatched: matched.slice(-late).filter(Boolean).length * 2 > late,
    };
  });
  const variabilities = figures.flatMap((one) => (one.planted ? [] : [one.variability])).sort((a, b) => a - b);
  const calmBelow = variabilities.length === 0 ? 0 : quantile(variabilities, settings.calm);
  return figures.map(({ lateMatched, ...figure }) => {
    const isCalm = figure.variability <= calmBelow;
    let category: TargetCategory = 'hard';
    if (lateMatched) category = 'easy';
    else if (figure.neverConverged) category = isCalm ? 'mislabelled' : 'unlearnable';
    else if (figure.neverLearnt && (isCalm || figure.confidence >= settings.confidence)) category = 'mislabelled';
    return { ...figure, category };
  });
}

/**
 * Index of the first profiled epoch that counts. At a high learning rate a network from scratch first answers "object"
 * everywhere: those epochs would lift the confidence of every box, and their margins outweigh all that come later.
 */
export function settledFrom(dynamics: Dynamics, settings: DynamicsOptions = dynamicsDefaults): number {
  const { length } = dynamics.epochs;
  const counts = new Array<number>(length).fill(0);
  for (const [t, { planted }] of dynamics.targets.entries()) {
    if (planted) continue;
    for (const [e, matched] of matchedIn(dynamics, t, settings).entries()) if (matched) counts[e]!++;
  }
  return Math.max(
    0,
    counts.findIndex((count) => count >= settings.settled * counts[length - 1]!),
  );
}

function lateEpochs(dynamics: Dynamics, epochs: number): number {
  return Math.min(epochs, dynamics.epochs.length);
}

/** Whether each target is among the share `top` of the highest losses in each of the last `epochs`. Threshold boxes do not count. */
function amongWorst(dynamics: Dynamics, { top, epochs }: DynamicsOptions): boolean[] {
  const { length } = dynamics.epochs;
  const real = dynamics.targets.flatMap(({ planted }, t) => (planted ? [] : [t]));
  const count = Math.floor(top * real.length);
  const worst = dynamics.targets.map(({ planted }) => !planted && count > 0);
  for (let e = length - lateEpochs(dynamics, epochs); e < length; e++) {
    const losses = Float32Array.from(real, (t) => dynamics.series.total[t * length + e]!).sort();
    const bound = losses[losses.length - count];
    if (bound === undefined) continue;
    for (const t of real) if (dynamics.series.total[t * length + e]! < bound) worst[t] = false;
  }
  return worst;
}

/** AUM of the threshold boxes below which a box counts as mislabelled: the given percentile of theirs, 0.99 in the paper. */
export function aumThreshold(summaries: readonly TargetSummary[], percentile = 0.99): number | null {
  const planted = summaries
    .filter((one) => one.planted)
    .map((one) => one.aum)
    .sort((a, b) => a - b);
  return planted.length === 0 ? null : quantile(planted, percentile);
}

/** Linear between the two nearest of rising values, as numpy's default. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (place - below);
}
