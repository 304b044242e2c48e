/** What changes over the steps of a training: learning rate, decay of the moving average, the clip switch. */

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

/** State of the clip switch: stands in the checkpoint. */
export interface ClipState {
  readonly switched: ClipSwitch | null;
  /** Smoothed loss after each epoch. */
  readonly smoothedLosses: readonly number[];
}

/** Every train step of a pipeline starts with clipping switched off. */
export const CLIP_OFF: ClipState = { switched: null, smoothedLosses: [] };

/** Share of the newest epoch in the smoothed loss. */
const SMOOTHING = 0.5;

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
  const last = state.smoothedLosses.at(-1);
  const smoothed = last === undefined ? loss : last + SMOOTHING * (loss - last);
  const smoothedLosses = [...state.smoothedLosses, smoothed];
  const next = { ...state, smoothedLosses };
  if (clip.by === 'off' || clip.when !== 'plateau' || state.switched !== null) return next;
  // Not before the warm-up is over: a rate near zero improves nothing either.
  const before = epoch - clip.plateau.epochs > warmupEpochs ? smoothedLosses.at(-1 - clip.plateau.epochs) : undefined;
  if (before === undefined || (before - smoothed) / before >= clip.plateau.improvement) return next;
  return { ...next, switched: { step: nextStep, epoch: epoch + 1, reason: 'plateau' } };
}

const STATISTICS_RATE = 0.03;

/**
 * Share of a batch in the running mean and variance of batch normalisation. A fresh network's are made up, so the first batches are
 * averaged evenly (the running average of n batches has a rate of 1/n) until the usual rate takes over; given ones are kept.
 */
export function statisticsRateAt(step: number, isFresh: boolean): number {
  return isFresh ? Math.max(STATISTICS_RATE, 1 / (step + 1)) : STATISTICS_RATE;
}
