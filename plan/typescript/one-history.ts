/** Whether the one history of a compiled workflow can hold a run: it has rounds and legs within itself, and not in children. */

import { innerScope, stepsOf } from '../paths.ts';
import { eventsOfStep } from '../step-events.ts';
import type { Plan, PlannedScope, PlannedStep } from '../types.ts';

/** Temporal ends a workflow at 51,200 events; what is held, asked of people and tried again adds to what is counted here. */
export const compiledEventsMax = 40_000;

/** What only the run knows counts as so many rounds or legs. */
const usualCount = 100;

export interface TooLong {
  /** Id of the step of the root that is most of it. */
  readonly step: string;
  readonly events: number;
  readonly all: number;
}

/** Null where the run fits. */
export function problemOfHistory({ root }: Plan): TooLong | null {
  const counted = stepsOf(root).map((step) => ({ step: step.id, events: eventsOf(step) }));
  const all = counted.reduce((sum, { events }) => sum + events, 0);
  if (all <= compiledEventsMax) return null;
  const largest = counted.reduce((a, b) => (b.events > a.events ? b : a));
  return { ...largest, all };
}

function eventsOf(step: PlannedStep): number {
  const inner = innerScope(step);
  if (inner === null) return eventsOfStep(step);
  // Recorded as begun and as ended.
  return 12 + timesOf(step) * (eventsIn(inner) + 6);
}

const eventsIn = (scope: PlannedScope): number => stepsOf(scope).reduce((sum, step) => sum + eventsOf(step), 0);

function timesOf(step: PlannedStep): number {
  if (step.type === 'repeat') return typeof step.max === 'number' ? step.max : usualCount;
  if (step.type !== 'fan-out') return 1;
  if ('matrix' in step.legs) return step.legs.matrix.length;
  return Array.isArray(step.legs.forEach) ? step.legs.forEach.length : usualCount;
}
