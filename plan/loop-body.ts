/**
 * What a round of a loop does: the loop's own body, but for a fork, in which later rounds may do other things; and how a loop's budget
 * is told.
 */

import type { LoopBody, RepeatStep } from './types.ts';

/** The body of round `index`, which counts from 1. */
export function bodyOfRound(step: Pick<RepeatStep, keyof Omit<LoopBody, 'from'> | 'bodies'>, index: number): LoopBody {
  const { bodies, scope, next, until, plateau, budgetMs, gain, endWhenEmpty } = step;
  const own: LoopBody = { from: 1, scope, next, until, plateau, budgetMs, gain, endWhenEmpty };
  return bodies?.findLast(({ from }) => from <= index) ?? own;
}

/** `2 d`, `90 s`: in the largest unit of which it is a whole number. `ms` > 0. */
export function wallTime(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const [unit, size] = units.find(([, each]) => ms >= each && ms % each === 0) ?? (['ms', 1] as const);
  return `${ms / size} ${unit}`;
}
