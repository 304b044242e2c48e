/** How much a figure sways from epoch to epoch late in a training, with an interval. */

import { deviation, quantile } from './dynamics.ts';
import { createRandom, hashSeed } from './random.ts';

export interface Fluctuation {
  /** Population standard deviation over the values. */
  readonly value: number;
  /** Ends of the 95 % percentile interval of a bootstrap over the values. */
  readonly low: number;
  readonly high: number;
  /** How many values there were: with few of them the interval promises too much. */
  readonly count: number;
}

export interface FluctuationDifference {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

const replicatesDefault = 2000;

/** The last third of the values, those at which a cosine schedule has come to rest. */
export function lastThird(values: readonly number[]): number[] {
  return values.slice(values.length - Math.ceil(values.length / 3));
}

/** Null with fewer than three values. Neighbouring epochs are not independent, so the interval is rather too narrow. */
export function fluctuationOf(
  values: readonly number[],
  seed: number | string,
  replicates = replicatesDefault,
): Fluctuation | null {
  if (values.length < 3) return null;
  const samples = resampledDeviations(values, seed, replicates).sort((a, b) => a - b);
  return {
    value: deviation(values),
    low: quantile(samples, 0.025),
    high: quantile(samples, 0.975),
    count: values.length,
  };
}

/** Fluctuation of `a` less that of `b`, resampled apart because their epochs have nothing to do with one another. */
export function fluctuationDifference(
  a: readonly number[],
  b: readonly number[],
  seed: number | string,
  replicates = replicatesDefault,
): FluctuationDifference | null {
  if (a.length < 3 || b.length < 3) return null;
  const first = resampledDeviations(a, `${seed} first`, replicates);
  const second = resampledDeviations(b, `${seed} second`, replicates);
  const samples = first.map((value, i) => value - second[i]!).sort((x, y) => x - y);
  return { value: deviation(a) - deviation(b), low: quantile(samples, 0.025), high: quantile(samples, 0.975) };
}

function resampledDeviations(values: readonly number[], seed: number | string, replicates: number): number[] {
  const random = createRandom(hashSeed('fluctuation', seed));
  return Array.from({ length: replicates }, () => deviation(values.map(() => values[random.int(values.length)]!)));
}
