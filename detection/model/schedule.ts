/** What changes over the steps of a training: learning rate, decay of the moving average, updates, the clip switch. */

import type { StepSettings } from './train-graph.ts';
import type { ClipSwitch, TrainOptions } from './types.ts';

export interface Length {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** Rate of a step: linear warm-up, then half a cosine (Loshchilov and Hutter, 2017) down to `finalRate` of the peak. */
export function learningRateAt(options: TrainOptions, { stepsPerEpoch, totalSteps }: Length, step: number): number {
  const warmup = Math.min(totalSteps / 2, options.warmupEpochs * stepsPerEpoch);
  if (step < warmup) return (options.learningRate * (step + 1)) / (warmup + 1);
  if (options.schedule === 'constant') return options.learningRate;
  const progress = (step - warmup) / Math.max(1, totalSteps - 1 - warmup);
  const share = options.finalRate + ((1 - options.finalRate) * (1 + Math.cos(Math.PI * Math.min(1, progress)))) / 2;
  return options.learningRate * share;
}

/** Steps after which the decay has come near its final value, in trainings that are long enough (YOLOv5). */
const EMA_RAMP_STEPS = 2000;

/** Decay of the moving average after `updates` updates: d (1 - e^(-u / ramp)). */
export function emaDecayAt(decay: number, updates: number, ramp: number = EMA_RAMP_STEPS): number {
  return decay * (1 - Math.exp(-updates / ramp));
}

/**
 * Decay and ramp for a training of this length. The usual .9999 averages over 10,000 steps, and the usual ramp takes 2,000: a
 * training of 300 steps would end near its first weights. So the average reaches back a tenth of the training at most, and the
 * ramp takes a tenth of it; from 100,000 steps on both have their usual values.
 */
export function emaForLength(decay: number, totalSteps: number): { decay: number; ramp: number } {
  return {
    decay: Math.min(decay, 1 - 1 / Math.max(1, totalSteps / 10)),
    ramp: Math.min(EMA_RAMP_STEPS, Math.max(1, totalSteps / 10)),
  };
}

export const ADAM_BETA2 = 0.999;

/** 1 / (1 - beta^t) after so many whole updates; Adam counts from 1. */
export function adamCorrection(beta: number, updates: number): number {
  return 1 / (1 - beta ** (updates + 1));
}

/** What one step of the training graph is run with. */
export interface StepPlan {
  /** `gather` where the step is one of several batches of an update, and not the last of them. */
  readonly signature: 'train' | 'gather';
  readonly settings: StepSettings;
}

/**
 * A step (one batch, counted from 0) updates the weights when it is the last of `accumulate` batches, or the last of all. Rates
 * and averages go by batches: an update of n batches has the rate of the last one, and decays the average as n updates would.
 * Adam counts updates. `isFresh`: the training does not start from given weights.
 */
export function stepPlanAt(
  options: TrainOptions,
  length: Length,
  step: number,
  { clip, isFresh }: { readonly clip: ClipState; readonly isFresh: boolean },
): StepPlan {
  const { accumulate } = options;
  const batches = (step % accumulate) + 1;
  const isUpdate = batches === accumulate || step === length.totalSteps - 1;
  const ema = emaForLength(options.emaDecay, length.totalSteps);
  let emaDecay = 1;
  for (let s = step - batches + 1; s <= step; s++) emaDecay *= emaDecayAt(ema.decay, s + 1, ema.ramp);
  const update = Math.floor(step / accumulate);
  const isClipping = clip.switched !== null;
  return {
    signature: isUpdate ? 'train' : 'gather',
    settings: {
      learningRate: learningRateAt(options, length, step),
      clipNorm: isClipping && options.clip.by === 'global-norm' ? normBoundOf(clip, options) : Number.POSITIVE_INFINITY,
      emaDecay,
      statisticsRate: statisticsRateAt(step, isFresh),
      correction1: adamCorrection(options.momentum, update),
      correction2: adamCorrection(ADAM_BETA2, update),
      ...(options.clip.by === 'per-target'
        ? { targetBound: isClipping ? percentileOf(clip, options) : Number.POSITIVE_INFINITY }
        : {}),
      ...(accumulate > 1 ? { gatherShare: 1 / batches } : {}),
    },
  };
}

/** State of the clip switch: stands in the checkpoint. */
export interface ClipState {
  readonly switched: ClipSwitch | null;
  /** Mean loss of each epoch so far. */
  readonly losses: readonly number[];
  /**
   * Norms of the gradients seen last, the newest at the end: of ground truths with `per-target`, of updates with
   * `norm: auto`; else empty.
   */
  readonly norms: readonly number[];
}

/** Every train step of a pipeline starts with clipping switched off. */
export const CLIP_OFF: ClipState = { switched: null, losses: [], norms: [] };

/** Enough for a percentile whose rank is right to about one in a hundred, and few enough to follow a falling loss. */
const TARGETS_KEPT = 1024;
/** Some epochs of a small data set; a percentile of many more would stem from a loss that has long fallen. */
const UPDATES_KEPT = 128;

/** Before a step: the rules that look at the step. */
export function clipBeforeStep(state: ClipState, { clip }: TrainOptions, length: Length, step: number): ClipState {
  if (clip.by === 'off' || state.switched !== null) return state;
  const epoch = Math.floor(step / length.stepsPerEpoch) + 1;
  if (clip.when === 'always') return { ...state, switched: { step, epoch, reason: 'always' } };
  if (clip.when !== 'plateau' && step >= clip.when.share * length.totalSteps) {
    return { ...state, switched: { step, epoch, reason: 'share' } };
  }
  return state;
}

/** After an epoch (counted from 1): the rule that looks at the loss. `nextStep` is the first that would be clipped. */
export function clipAfterEpoch(
  state: ClipState,
  { clip, warmupEpochs }: TrainOptions,
  epoch: number,
  loss: number,
  nextStep: number,
): ClipState {
  const losses = [...state.losses, loss];
  const next = { ...state, losses };
  if (clip.by === 'off' || clip.when !== 'plateau' || state.switched !== null) return next;
  // A rate near zero improves nothing either, so the warm-up does not count.
  const warm = losses.slice(Math.ceil(warmupEpochs));
  // Twice, because noise can flatten one window.
  if (!isPlateau(warm, clip.plateau) || !isPlateau(warm.slice(0, -1), clip.plateau)) return next;
  return { ...next, switched: { step: nextStep, epoch: epoch + 1, reason: 'plateau' } };
}

/**
 * Whether the smoothed loss improves by less than `improvement` (a share) in `epochs` epochs. Smoothed is a line through the last
 * 2 * `epochs` epochs (least squares). One standard error of its slope is added to what it improves: mosaics and small data sets make
 * the loss of an epoch differ by percents, which must not pass for the end of a fall.
 */
function isPlateau(losses: readonly number[], { improvement, epochs }: TrainOptions['clip']['plateau']): boolean {
  const count = Math.max(3, 2 * epochs);
  if (losses.length < count) return false;
  const last = losses.slice(-count);
  const mean = last.reduce((sum, loss) => sum + loss, 0) / count;
  const offset = (i: number) => i - (count - 1) / 2;
  const spread = last.reduce((sum, _, i) => sum + offset(i) ** 2, 0);
  const slope = last.reduce((sum, loss, i) => sum + loss * offset(i), 0) / spread;
  const rest = last.reduce((sum, loss, i) => sum + (loss - mean - slope * offset(i)) ** 2, 0);
  const error = Math.sqrt(rest / (count - 2) / spread);
  return (error - slope) * epochs < improvement * mean;
}

/** After a step: what the bound of later steps is taken from. `targetNorms` are those that `train` or `gather` answered. */
export function clipAfterStep(
  state: ClipState,
  { clip }: Pick<TrainOptions, 'clip'>,
  { signature }: Pick<StepPlan, 'signature'>,
  seen: { readonly gradientNorm: number; readonly targetNorms: Iterable<number> | null },
): ClipState {
  if (seen.targetNorms !== null) {
    return { ...state, norms: [...state.norms, ...seen.targetNorms].slice(-TARGETS_KEPT) };
  }
  if (clip.by !== 'global-norm' || clip.norm !== 'auto' || signature !== 'train') return state;
  return { ...state, norms: [...state.norms, seen.gradientNorm].slice(-UPDATES_KEPT) };
}

/** 0..1 what a step clipped: its update, all or nothing; with `per-target` the share of its ground truths. */
export function clippedShare(
  { signature, settings }: StepPlan,
  gradientNorm: number,
  targetNorms: ArrayLike<number> | null,
): number {
  if (targetNorms === null) return signature === 'train' && gradientNorm > settings.clipNorm ? 1 : 0;
  const clipped = Array.from(targetNorms).filter((norm) => norm > settings.targetBound!);
  return clipped.length / Math.max(1, targetNorms.length);
}

/** A fixed bound, or a running percentile of the norms of late (AutoClip: Seetharaman et al., 2020). */
function normBoundOf(state: ClipState, options: Pick<TrainOptions, 'clip'>): number {
  const { norm } = options.clip;
  return norm === 'auto' ? percentileOf(state, options) : norm;
}

/** The running percentile of the norms (nearest rank); infinite while none has been seen. */
export function percentileOf({ norms }: Pick<ClipState, 'norms'>, { clip }: Pick<TrainOptions, 'clip'>): number {
  const sorted = Float64Array.from(norms).sort();
  return sorted[Math.max(0, Math.ceil(clip.percentile * sorted.length) - 1)] ?? Number.POSITIVE_INFINITY;
}

const STATISTICS_RATE = 0.03;

/**
 * Share of a batch in the running mean and variance of batch normalisation. A fresh network's are made up, so the first batches are
 * averaged evenly (the running average of n batches has a rate of 1/n) until the usual rate takes over; given ones are kept.
 */
export function statisticsRateAt(step: number, isFresh: boolean): number {
  return isFresh ? Math.max(STATISTICS_RATE, 1 / (step + 1)) : STATISTICS_RATE;
}
