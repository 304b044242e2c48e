/** What a round of a loop does: the loop's own body, but for a fork, in which later rounds may do other things. */

import type { LoopBody, RepeatStep } from './types.ts';

/** The body of round `index`, which counts from 1. */
export function bodyOfRound(step: Pick<RepeatStep, keyof Omit<LoopBody, 'from'> | 'bodies'>, index: number): LoopBody {
  const { bodies, scope, next, until, plateau, budgetMs, gain, endWhenEmpty } = step;
  const own: LoopBody = { from: 1, scope, next, until, plateau, budgetMs, gain, endWhenEmpty };
  return bodies?.findLast(({ from }) => from <= index) ?? own;
}
