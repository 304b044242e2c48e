/** Figures of measurements that took turns. */

/** Milliseconds of a step in each round. */
export type Rounds = readonly number[];

export interface Ratio {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** How many times as fast the first is as the second: median, lowest and highest of the rounds, each of which saw both. */
export function ratio(ours: Rounds, theirs: Rounds): Ratio {
  const ratios = ours.map((value, round) => theirs[round]! / value);
  return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  // No value at all: nothing to choose from.
  return sorted.length === 0 ? 0 : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
