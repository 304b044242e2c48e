/** Intervals over repeated trainings: few seeds, so Student's t and not a bootstrap. */

import type { Interval } from '../../detection/bootstrap.ts';

/** Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom (any table of it). */
const T_QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
/** Beyond ten the normal's quantile is no more than a tenth off. */
const NORMAL_QUANTILE = 1.96;

/** Mean with its 95 % interval. One value has no interval that anyone could state: its ends are infinite. */
export function meanInterval(values: readonly number[]): Interval {
  const count = values.length;
  if (count === 0) throw new RangeError('A mean needs at least one value, but there is none.');
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { value: mean, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const half = ((T_QUANTILES[count - 2] ?? NORMAL_QUANTILE) * standardDeviation(values)) / Math.sqrt(count);
  return { value: mean, low: mean - half, high: mean + half };
}

/** Mean of first less second, seed by seed: what the seeds share drops out. */
export function pairedInterval(first: readonly number[], second: readonly number[]): Interval {
  if (first.length !== second.length) {
    throw new RangeError(
      `Pairs need as many values on both sides, but there are ${first.length} and ${second.length}.`,
    );
  }
  return meanInterval(first.map((value, i) => value - second[i]!));
}

/** Whether the interval leaves zero out. */
export function isBeyondNoise({ low, high }: Interval): boolean {
  return low > 0 || high < 0;
}

/** Of a sample (n - 1); 0 for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/**
 * How much a curve trembles: the standard deviation of its values about their straight line, over the last third. A curve that
 * still rises does so without trembling, and its rise must not count.
 */
export function lateFluctuation(values: readonly number[]): number {
  const late = values.slice(Math.floor((2 * values.length) / 3));
  const count = late.length;
  if (count < 3) return 0;
  const centre = (count - 1) / 2;
  const mean = late.reduce((sum, value) => sum + value, 0) / count;
  let covariance = 0;
  let spread = 0;
  for (const [i, value] of late.entries()) {
    covariance += (i - centre) * (value - mean);
    spread += (i - centre) ** 2;
  }
  const slope = covariance / spread;
  const residuals = late.map((value, i) => value - mean - slope * (i - centre));
  // Two degrees of freedom went into the line.
  return Math.sqrt(residuals.reduce((sum, value) => sum + value * value, 0) / (count - 2));
}
