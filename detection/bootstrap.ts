/** Paired bootstrap: intervals of AP and of differences in AP, from resampling groups of images. */

import { type ApMatches, accumulate, type MetricName } from './average-precision.ts';
import { createRandom, hashSeed } from './random.ts';

/** An estimate with the ends of its 95 % percentile interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  readonly seed: number | string;
  /** Default 1000. */
  readonly replicates?: number;
  /** Default ['AP', 'AP50']. */
  readonly metrics?: readonly MetricName[];
}

export interface BootstrapResult {
  /** One a model, by metric. -1 where there is no ground truth to measure by. */
  readonly models: readonly Intervals[];
  /** One a pair, the first less the second, by metric. */
  readonly differences: readonly Intervals[];
  readonly replicates: number;
  /** How many groups were resampled: few of them make intervals that promise too much. */
  readonly groups: number;
}

export type Intervals = Readonly<Partial<Record<MetricName, Interval>>>;

/**
 * Each replicate draws as many groups as there are, with replacement, and the same ones for all models. What it covers
 * is the choice of test images, not the chance in training. All matches must be of the same images.
 *
 * `pairs` are indices into `models`: [a, b] asks for a less b.
 */
export function bootstrapAp(
  models: readonly ApMatches[],
  pairs: readonly (readonly [number, number])[],
  groupOf: ReadonlyMap<number, string>,
  options: BootstrapOptions,
): BootstrapResult {
  const { replicates = 1000, metrics = ['AP', 'AP50'] } = options;
  const imageIds = models[0]?.imageIds ?? [];
  for (const [index, { imageIds: own }] of models.entries()) {
    if (own.length !== imageIds.length || own.some((id, i) => id !== imageIds[i])) {
      throw new RangeError(
        `Model ${index} was matched on ${own.length} images, model 0 on ${imageIds.length}; a paired bootstrap needs the same ones.`,
      );
    }
  }
  const { memberGroup, groupCount } = numberGroups(imageIds, groupOf);
  const values = models.map((matches) => accumulate(matches, undefined, metrics));

  // [model][metric][replicate]
  const samples = models.map(() => metrics.map(() => new Float64Array(replicates)));
  const random = createRandom(hashSeed('bootstrap', options.seed));
  const draws = new Int32Array(groupCount);
  const weights = new Int32Array(imageIds.length);
  for (let r = 0; r < replicates; r++) {
    draws.fill(0);
    for (let g = 0; g < groupCount; g++) draws[random.int(groupCount)]!++;
    for (let i = 0; i < weights.length; i++) weights[i] = draws[memberGroup[i]!]!;
    models.forEach((matches, m) => {
      const replicate = accumulate(matches, weights, metrics);
      metrics.forEach((metric, k) => {
        samples[m]![k]![r] = replicate[metric];
      });
    });
  }

  const perMetric = (interval: (metric: MetricName, k: number) => Interval): Intervals =>
    Object.fromEntries(metrics.map((metric, k) => [metric, interval(metric, k)]));
  return {
    models: models.map((_, m) =>
      perMetric((metric, k) => percentiles(values[m]![metric], measured(samples[m]![k]!, samples[m]![k]!))),
    ),
    differences: pairs.map(([a, b]) =>
      perMetric((metric, k) => {
        const [first, second] = [values[a]![metric], values[b]![metric]];
        return percentiles(
          first < 0 || second < 0 ? 0 : first - second,
          measured(samples[a]![k]!, samples[b]![k]!, (x, y) => x - y),
        );
      }),
    ),
    replicates,
    groups: groupCount,
  };
}

function numberGroups(
  imageIds: readonly number[],
  groupOf: ReadonlyMap<number, string>,
): { memberGroup: Int32Array; groupCount: number } {
  const numbers = new Map<string, number>();
  const memberGroup = Int32Array.from(imageIds, (id) => {
    const group = groupOf.get(id);
    if (group === undefined) throw new RangeError(`Image ${id} has no group to be resampled with.`);
    const known = numbers.get(group) ?? numbers.size;
    numbers.set(group, known);
    return known;
  });
  return { memberGroup, groupCount: numbers.size };
}

/** Replicates without any ground truth measure -1, and say nothing about AP. */
function measured(
  first: Float64Array,
  second: Float64Array,
  combine: (a: number, b: number) => number = (a) => a,
): Float64Array {
  const kept = new Float64Array(first.length);
  let count = 0;
  for (let r = 0; r < first.length; r++) {
    if (first[r]! >= 0 && second[r]! >= 0) kept[count++] = combine(first[r]!, second[r]!);
  }
  return kept.subarray(0, count);
}

function percentiles(value: number, samples: Float64Array): Interval {
  if (samples.length === 0) return { value, low: value, high: value };
  const sorted = samples.sort();
  return { value, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
}

/** With linear interpolation, as numpy's default. `sorted` rises. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}
