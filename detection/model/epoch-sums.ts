/** What the steps of an epoch add up to, and its report. */

import type { StepReport } from './train-graph.ts';
import type { EpochReport } from './types.ts';

export type EpochSums = StepReport & {
  readonly steps: number;
  /** Shares of `clippedShare`. */
  readonly clipped: number;
  /** Of all its steps, and of the part in which they waited for their batches. */
  readonly seconds: number;
  readonly waited: number;
};

export const NO_SUMS: EpochSums = {
  steps: 0,
  total: 0,
  box: 0,
  objectness: 0,
  class: 0,
  gradientNorm: 0,
  clipped: 0,
  seconds: 0,
  waited: 0,
};

export function addStep(
  sums: EpochSums,
  report: StepReport,
  clipped: number,
  time: Pick<EpochSums, 'seconds' | 'waited'>,
): EpochSums {
  return {
    steps: sums.steps + 1,
    total: sums.total + report.total,
    box: sums.box + report.box,
    objectness: sums.objectness + report.objectness,
    class: sums.class + report.class,
    gradientNorm: sums.gradientNorm + report.gradientNorm,
    clipped: sums.clipped + clipped,
    seconds: sums.seconds + time.seconds,
    waited: sums.waited + time.waited,
  };
}

export function epochReport(epoch: number, sums: EpochSums, learningRate: number, batchSize: number): EpochReport {
  const { steps } = sums;
  return {
    epoch,
    loss: {
      total: sums.total / steps,
      box: sums.box / steps,
      objectness: sums.objectness / steps,
      class: sums.class / steps,
    },
    gradientNorm: sums.gradientNorm / steps,
    clipped: sums.clipped / steps,
    learningRate,
    imagesPerSecond: (steps * batchSize) / sums.seconds,
    waited: sums.waited / sums.seconds,
  };
}
