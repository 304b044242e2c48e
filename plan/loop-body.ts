/** What a round of a loop does: the loop's own body, but for a fork, in which later rounds may do other things. */

import type { LoopBody, RepeatStep } from './types.ts';

/** The body of round `index`, which counts from 1. */
export function bodyOfRound(step: RepeatStep, index: number): LoopBody {
  const { scope, next, until, gain, endWhenEmpty } = step;
  return step.bodies?.findLast(({ from }) => from <= index) ?? { from: 1, scope, next, until, gain, endWhenEmpty };
}
