/** How far reviewers can be trusted: agreement, accuracy on known answers, and errors that are probably left. */

import type { CandidateType, Verdict } from './types.ts';

export interface Estimate {
  readonly value: number;
  /** Ends of the 95 % interval. */
  readonly low: number;
  readonly high: number;
}

/** 97.5 % quantile of the normal distribution. */
const z = 1.959963984540054;

/** A share of `count` by Wilson's score interval (1927); null where nothing was counted. */
export function shareOf(hits: number, count: number): Estimate | null {
  if (count === 0) return null;
  const p = hits / count;
  const scale = 1 + (z * z) / count;
  const middle = (p + (z * z) / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / count + (z * z) / (4 * count * count));
  return { value: p, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/**
 * Cohen's kappa (1960) of two raters: pairs of what each said of the same item. 1 is full agreement, 0 what chance alone
 * gives; null where nothing was rated by both, or where both always said the same one thing.
 */
export function cohensKappa(pairs: readonly (readonly [string, string])[]): number | null {
  if (pairs.length === 0) return null;
  const words = new Set(pairs.flat());
  const agreed = pairs.filter(([a, b]) => a === b).length / pairs.length;
  let byChance = 0;
  for (const word of words) {
    const first = pairs.filter(([a]) => a === word).length / pairs.length;
    const second = pairs.filter(([, b]) => b === word).length / pairs.length;
    byChance += first * second;
  }
  return byChance === 1 ? null : (agreed - byChance) / (1 - byChance);
}

/**
 * Fleiss' kappa (1971) of any number of raters: what was said of each item. Items with another number of ratings than most are
 * left out, because it needs equally many of each.
 */
export function fleissKappa(ratings: readonly (readonly string[])[]): number | null {
  const several = ratings.filter((said) => said.length > 1);
  const raters = mostFrequent(several.map((said) => said.length));
  if (raters === null) return null;
  const items = several.filter((said) => said.length === raters);
  const words = new Set(items.flat());
  const count = (said: readonly string[], word: string) => said.filter((one) => one === word).length;
  let agreed = 0;
  for (const said of items) {
    let squares = 0;
    for (const word of words) squares += count(said, word) ** 2;
    agreed += (squares - raters) / (raters * (raters - 1)) / items.length;
  }
  let byChance = 0;
  for (const word of words) {
    byChance += (items.reduce((sum, said) => sum + count(said, word), 0) / (items.length * raters)) ** 2;
  }
  return byChance === 1 ? null : (agreed - byChance) / (1 - byChance);
}

function mostFrequent(numbers: readonly number[]): number | null {
  let best: number | null = null;
  const count = (value: number) => numbers.filter((one) => one === value).length;
  for (const value of new Set(numbers)) if (best === null || count(value) > count(best)) best = value;
  return best;
}

/**
 * How many there are in all, from what two reviewers found by themselves: Chapman's estimator (1951) with its variance, and
 * the log-normal interval for what neither found (Burnham et al., 1987), which cannot fall below what was found.
 */
export function chapman(first: number, second: number, both: number): Estimate {
  const value = ((first + 1) * (second + 1)) / (both + 1) - 1;
  const variance = ((first + 1) * (second + 1) * (first - both) * (second - both)) / ((both + 1) ** 2 * (both + 2));
  const found = first + second - both;
  const unseen = value - found;
  if (unseen <= 0 || variance === 0) return { value, low: found, high: Math.max(value, found) };
  const spread = Math.exp(z * Math.sqrt(Math.log(1 + variance / unseen ** 2)));
  return { value, low: found + unseen / spread, high: found + unseen * spread };
}

/**
 * Errors that were asked about and are left: of `found` errors, where known ones were found at `hits` of `planted`. The
 * interval is that of the rate. Null where no known error was asked about, or none was found.
 */
export function residualErrors(found: number, hits: number, planted: number): Estimate | null {
  const rate = shareOf(hits, planted);
  if (rate === null || hits === 0) return null;
  const left = (share: number) => (found * (1 - share)) / share;
  return { value: left(rate.value), low: left(rate.high), high: left(rate.low) };
}

/** A question whose right answer is known. */
export interface KnownAnswer {
  readonly candidateId: string;
  readonly type: CandidateType;
  /** `accept`: the label that was shown is wrong. `reject`: it is right. */
  readonly expected: 'accept' | 'reject';
}

/** An answer of one reviewer. */
export interface Answer {
  readonly candidateId: string;
  readonly by: string;
  readonly verdict: Verdict;
}

/** A change of the label in any way says that it is wrong; `ignore` says that it cannot be told, and counts as neither. */
export function saysWrong({ verdict }: Pick<Answer, 'verdict'>): boolean | null {
  return verdict === 'ignore' ? null : verdict !== 'reject';
}

export interface ReviewerAccuracy {
  readonly by: string;
  readonly type: CandidateType;
  readonly asked: number;
  readonly right: number;
  readonly accuracy: Estimate;
  /** Of known errors: how many were found. */
  readonly planted: number;
  readonly found: number;
}

/** One entry a reviewer and type, in order of name, then type. */
export function accuracyOf(known: readonly KnownAnswer[], answers: readonly Answer[]): ReviewerAccuracy[] {
  const byId = new Map(known.map((one) => [one.candidateId, one]));
  const groups = new Map<string, { by: string; type: CandidateType; right: boolean; planted: boolean }[]>();
  for (const answer of answers) {
    const question = byId.get(answer.candidateId);
    const wrong = saysWrong(answer);
    if (question === undefined || wrong === null) continue;
    const planted = question.expected === 'accept';
    const key = `${answer.by}\n${question.type}`;
    const entry = { by: answer.by, type: question.type, right: wrong === planted, planted };
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, all]) => {
      const right = all.filter((one) => one.right).length;
      const errors = all.filter((one) => one.planted);
      return {
        by: all[0]!.by,
        type: all[0]!.type,
        asked: all.length,
        right,
        accuracy: shareOf(right, all.length)!,
        planted: errors.length,
        found: errors.filter((one) => one.right).length,
      };
    });
}

/**
 * What a reviewer's verdict weighs: the logarithm of the odds that it is right (Nitzan and Paroush, 1982), with one right and
 * one wrong answer more than were counted. 0 for someone nobody knows, below 0 for one who is mostly wrong.
 */
export function weightOf({ asked, right }: Pick<ReviewerAccuracy, 'asked' | 'right'>): number {
  return Math.log((right + 1) / (asked - right + 1));
}

/**
 * Errors of each type that were asked about and are left, by how many known ones were found; types without a known error that
 * was found are not in the list. `found` counts the real candidates whose label was called wrong.
 */
export function errorsLeft(
  accuracies: readonly ReviewerAccuracy[],
  found: ReadonlyMap<CandidateType, number>,
): ({ readonly type: CandidateType } & Estimate)[] {
  const types = [...new Set(accuracies.map(({ type }) => type))].sort();
  return types.flatMap((type) => {
    const own = accuracies.filter((one) => one.type === type);
    const sum = (field: 'planted' | 'found') => own.reduce((total, one) => total + one[field], 0);
    const left = residualErrors(found.get(type) ?? 0, sum('found'), sum('planted'));
    return left === null ? [] : [{ type, ...left }];
  });
}
