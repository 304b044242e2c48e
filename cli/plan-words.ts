/** Loops, legs and gates of a plan in words, as the text and the drawings of `plan` have them. */

import type { FanOutStep, GateStep, Json, RepeatStep } from '../plan/types.ts';

export function loopWords({ max, until }: Pick<RepeatStep, 'max' | 'until'>): string {
  return `at most ${written(max)} rounds${until === undefined ? '' : `, until ${until}`}`;
}

export function legsWords({ legs, concurrency }: FanOutStep): string {
  if ('matrix' in legs) {
    const count = legs.matrix.length;
    return `${count} ${count === 1 ? 'leg' : 'legs'}${concurrency < count ? `, ${concurrency} at once` : ''}`;
  }
  const items = Array.isArray(legs.forEach) ? `${legs.forEach.length} entries` : written(legs.forEach);
  return `a leg for each of ${items}, at most ${concurrency} at once`;
}

/** Whom a gate waits for. */
export function gateWords({ with: parameters }: GateStep): string {
  const { reviewer } = parameters;
  const simulated = typeof reviewer === 'object' && reviewer !== null && 'oracle' in reviewer;
  return simulated ? 'a simulated reviewer' : 'waits for people';
}

/** A planned value as the file has it: expressions without their wrapping. */
function written(value: Json): string {
  return typeof value === 'object' && value !== null && '$' in value ? String(value.$) : String(value);
}
