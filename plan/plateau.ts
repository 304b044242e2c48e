/** Whether the rounds of a loop still become better, by its metric. */

import type { Plateau } from './types.ts';

export interface Standing {
  /** The best round so far, by the metric of the plateau. */
  readonly best?: { readonly value: number; readonly round: number };
  /** Rounds with a metric since then. */
  readonly stale: number;
}

/** After one round more. A round without a metric says nothing either way. */
export function standingAfter({ minDelta, mode }: Plateau, before: Standing, round: number, metric?: number): Standing {
  const { best, stale } = before;
  // Not `before` itself, which may hold more than its type says.
  if (metric === undefined) return { best, stale };
  if (best === undefined) return { best: { value: metric, round }, stale: 0 };
  const gained = mode === 'max' ? metric - best.value : best.value - metric;
  const improves = minDelta === 0 ? gained > 0 : gained >= minDelta;
  return improves ? { best: { value: metric, round }, stale: 0 } : { best, stale: stale + 1 };
}

/** Why the loop ends, or null where it goes on. */
export function plateauReason({ patience, minDelta }: Plateau, { best, stale }: Standing): string | null {
  if (best === undefined || stale < patience) return null;
  const least = minDelta === 0 ? '' : ` by at least ${minDelta}`;
  return `For ${stale} ${stale === 1 ? 'round' : 'rounds'} nothing was better${least} than ${best.value} in round ${best.round}.`;
}
