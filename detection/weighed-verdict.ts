/** What opinions that do not agree come to, when each weighs as much as its reviewer was right about known answers. */

import { type ReviewerAccuracy, saysWrong, weightOf } from './reviewer-trust.ts';
import type { Opinion } from './verdicts.ts';

export interface WeighedVerdict<T extends Opinion> {
  /** Of the side that weighs more, the opinion of the reviewer who weighs most. */
  readonly opinion: T;
  /** That this side is right, above one half. */
  readonly probability: number;
}

/**
 * Nitzan and Paroush (1982): of independent reviewers that are right with the odds p / (1 - p), the best rule adds the logarithms of
 * the odds on each side ("the label is wrong", "it is right"); the sum of one side less that of the other is the logarithm of
 * the odds that it is right, both being as likely before anybody looked. Null where no side is right with at least `least`; an
 * `ignore` is on neither side.
 */
export function weighedVerdict<T extends Opinion>(
  said: readonly T[],
  accuracies: readonly ReviewerAccuracy[],
  least: number,
): WeighedVerdict<T> | null {
  const weighed = said.flatMap((opinion) => {
    const wrong = saysWrong(opinion);
    return wrong === null ? [] : [{ opinion, wrong, weight: weightOfReviewer(opinion.by, accuracies) }];
  });
  const odds = weighed.reduce((sum, { wrong, weight }) => sum + (wrong ? weight : -weight), 0);
  const probability = 1 / (1 + Math.exp(-Math.abs(odds)));
  const side = weighed.filter(({ wrong }) => wrong === odds > 0);
  if (odds === 0 || probability < least || side.length === 0) return null;
  const heaviest = side.reduce((best, one) => (one.weight > best.weight ? one : best));
  return { opinion: heaviest.opinion, probability };
}

/** Over all types of errors. */
export function weightOfReviewer(by: string, accuracies: readonly ReviewerAccuracy[]): number {
  const tested = accuracies.filter((one) => one.by === by);
  const sum = (field: 'asked' | 'right') => tested.reduce((total, one) => total + one[field], 0);
  return weightOf({ asked: sum('asked'), right: sum('right') });
}
