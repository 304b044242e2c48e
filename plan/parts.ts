/** A scope of many steps in parts, each a child workflow, so that no history grows with the number of steps. */

import { eventsOfStep } from './step-events.ts';
import type { PlannedScope, PlannedStep } from './types.ts';

/** Below what Temporal suggests, for what is held, asked of people and stopped adds to it. */
const partEventsMax = 3_000;

/** `steps` are in the order of the plan: a part needs earlier parts only. */
export function plannedScope(steps: readonly PlannedStep[]): PlannedScope {
  const parts = [0];
  let filled = 0;
  for (const [at, step] of steps.entries()) {
    const events = eventsOfStep(step);
    if (filled > 0 && filled + events > partEventsMax) {
      parts.push(at);
      filled = 0;
    }
    filled += events;
  }
  return parts.length === 1 ? { steps } : { steps, parts };
}
