/** How much a figure sways from epoch to epoch late in a training, with an interval. */

import { deviation, mean, quantile } from './dynamics.ts';
import { createRandom, hashSeed } from './random.ts';

export interface Fluctuation {
  /** Population standard deviation of the values about their straight line: a figure that still rises does not sway. */
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
/** A line goes through any two values, and nearly through three. */
const least = 4;

/** The last third of the values, those at which a cosine schedule has come to rest. */
export function lastThird(values: readonly number[]): number[] {
  return values.slice(values.length - Math.ceil(values.length / 3));
}

/** Null with fewer than four values. Neighbouring epochs are not independent, so the interval is rather too narrow. */
export function fluctuationOf(
  values: readonly number[],
  seed: number | string,
  replicates = replicatesDefault,
): Fluctuation | null {
  if (values.length < least) return null;
  const rest = aboutLine(values);
  const samples = resampledDeviations(rest, seed, replicates).sort((a, b) => a - b);
  return {
    value: deviation(rest),
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
  if (a.length < least || b.length < least) return null;
  const [restA, restB] = [aboutLine(a), aboutLine(b)];
  const first = resampledDeviations(restA, `${seed} first`, replicates);
  const second = resampledDeviations(restB, `${seed} second`, replicates);
  const samples = first.map((value, i) => value - second[i]!).sort((x, y) => x - y);
  return { value: deviation(restA) - deviation(restB), low: quantile(samples, 0.025), high: quantile(samples, 0.975) };
}

/** What is left of values at equal distances when their least-squares line is taken away. */
function aboutLine(values: readonly number[]): number[] {
  const middle = (values.length - 1) / 2;
  const centre = mean(values);
  let product = 0;
  let square = 0;
  for (const [i, value] of values.entries()) {
    product += (i - middle) * (value - centre);
    square += (i - middle) ** 2;
  }
  const slope = product / square;
  return values.map((value, i) => value - centre - slope * (i - middle));
}

function resampledDeviations(values: readonly number[], seed: number | string, replicates: number): number[] {
  const random = createRandom(hashSeed('fluctuation', seed));
  return Array.from({ length: replicates }, () => deviation(values.map(() => values[random.int(values.length)]!)));
}
