/** A loop that has begun, under a changed plan: its later rounds do something else. */

import { newestBody, same } from './compare-steps.ts';
import { bodyOfRound } from './loop-body.ts';
import type { LoopBody, RepeatStep } from './types.ts';

/** What of a loop that has begun can't change. */
export const fixedOf = ({ id, when, carry }: RepeatStep): object => ({ id, when, carry });

/** Whether rounds do something else; how many there are aside. */
export const changesRounds = (was: RepeatStep, is: RepeatStep): boolean =>
  !same(newestBody(was), newestBody(is), ['from']);

/** The loop as it was, but from round `first` on; undefined: no round of it changes. */
export function withLaterRounds(was: RepeatStep, is: RepeatStep, first: number | undefined): RepeatStep {
  const { max, needs, perBatch } = is;
  const next = { ...was, max, needs, ...(perBatch === undefined ? {} : { perBatch }) };
  if (first === undefined || !changesRounds(was, is)) return next;
  return { ...next, bodies: [...(was.bodies ?? []), ...bodiesFrom(is, first)] };
}

/** What a loop does from a round on. The plan of a file has one body for all; that of a fork has others behind. */
const bodiesFrom = (step: RepeatStep, first: number): LoopBody[] => [
  { ...bodyOfRound(step, first), from: first },
  ...(step.bodies?.filter(({ from }) => from > first) ?? []),
];
