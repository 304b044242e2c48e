/** A scope of many steps in parts, each a child workflow, so that no history grows with the number of steps. */

import { eventsOfPart, eventsOfStep } from './step-events.ts';
import type { PlannedScope, PlannedStep } from './types.ts';

/** Below what Temporal suggests, for what is held, asked of people and stopped adds to it. */
const partEventsMax = 3_000;

/** `steps` are in the order of the plan: a part needs earlier parts only. */
export function plannedScope(steps: readonly PlannedStep[]): PlannedScope {
  const parts = partsOf(steps);
  return parts.length === 1 ? { steps } : { steps, parts };
}

/** The scope with steps that run when all others have ended: in the same workflow, as long as there is room. */
export function withFinally(scope: PlannedScope, atEnd: readonly PlannedStep[]): PlannedScope {
  if (atEnd.length === 0) return scope;
  const whole = { ...scope, finally: atEnd };
  const own = scope.parts === undefined ? eventsOf(scope.steps) : scope.parts.length * eventsOfPart;
  return own + eventsOf(atEnd) <= partEventsMax ? whole : { ...whole, finallyParts: partsOf(atEnd) };
}

/** Where each part begins. */
function partsOf(steps: readonly PlannedStep[]): number[] {
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
  return parts;
}

const eventsOf = (steps: readonly PlannedStep[]): number => steps.reduce((sum, step) => sum + eventsOfStep(step), 0);
