/** How many epochs fit into a given time, from the speed that a short trial has shown. */

export interface EpochPlan {
  readonly epochs: number;
  /** Epochs between two validations. */
  readonly evaluateEvery: number;
}

export interface EpochCosts {
  /** Time for the whole training step. */
  readonly budgetSeconds: number;
  /** Decoding, loading and saving: what does not grow with the epochs. */
  readonly fixedSeconds: number;
  readonly epochSeconds: number;
  readonly validationSeconds: number;
  /** Points of the learning curve, the last epoch's included. */
  readonly validations: number;
}

/** Kept back, because a machine is rarely as fast for half an hour as it is for half a minute. */
const RESERVE_SHARE = 0.07;

/** At least one epoch, however short the time. */
export function planEpochs(costs: EpochCosts): EpochPlan {
  const { budgetSeconds, fixedSeconds, epochSeconds, validationSeconds, validations } = costs;
  const forTraining = budgetSeconds * (1 - RESERVE_SHARE) - fixedSeconds - validations * validationSeconds;
  const epochs = Math.max(1, Math.floor(forTraining / epochSeconds));
  return { epochs, evaluateEvery: evaluateEvery(epochs, validations) };
}

/** So that about `validations` of them are made in so many epochs. */
export function evaluateEvery(epochs: number, validations: number): number {
  return Math.max(1, Math.ceil(epochs / validations));
}

/** Of epochs of equal length: all images by all seconds, as PyTorch's side counts them, its slow first steps included. */
export function meanSpeed(imagesPerSecond: readonly number[]): number {
  return imagesPerSecond.length / imagesPerSecond.reduce((sum, speed) => sum + 1 / speed, 0);
}
