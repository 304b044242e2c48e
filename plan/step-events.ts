/** What a step costs the workflow that runs its scope, in events of its history at most, where nothing is held or asked for twice. */

import { legsNested, legsPerBatch, roundsInline, roundsMax, roundsPerBatch } from './limits.ts';
import type { FanOutStep, PlannedScope, PlannedStep, PlannedValue, RepeatStep } from './types.ts';

/** A workflow task that each event may cause by itself: scheduled, started, completed. */
const task = 3;
/** Scheduled, started, completed. */
const activity = 3 + task;
/** Initiated, started, completed; and what it does now, said twice: it waits, it goes on. */
const child = 3 + 2 * task + 2 * (1 + task);
/** A part of a scope, in the workflow that runs the scope. */
export const eventsOfPart = child;
/** Initiated and delivered. */
const signalSent = 2 + task;
const signalReceived = 1 + task;
/** Started, then fired or cancelled. */
const timer = 2 + task;
/** Recorded as begun and as ended. */
const recorded = 2 * activity;

/** Events of a step in the workflow that runs its scope. Where only the run knows how many legs or rounds, the most that they may cost. */
export function eventsOfStep(step: PlannedStep): number {
  switch (step.type) {
    case 'activity':
      return activity + extras(step);
    case 'foreign':
      // Looked up, recorded as begun, run, recorded as ended.
      return recorded + 2 * activity + extras(step);
    case 'gate':
      // Opened, told to the root, said by two states, two timers, closed, sealed, applied.
      return 2 * activity + 2 * signalSent + 2 * signalSent + 2 * timer + signalReceived + extras(step);
    case 'approve':
      // The same, with a third timer, and a record for each rung of its ladder.
      return 5 * activity + 4 * signalSent + 3 * timer + 2 * signalReceived;
    case 'search':
      return recorded + child + extras(step);
    case 'pipeline':
      return recorded + child;
    case 'repeat': {
      const rounds = roundsOf(step);
      const perBatch = step.perBatch ?? roundsPerBatch;
      if (rounds > (step.perBatch ?? roundsInline)) return recorded + Math.ceil(rounds / perBatch) * child;
      return recorded + rounds * eventsOfChildRound(step);
    }
    case 'fan-out': {
      const { perBatch = legsPerBatch } = step;
      const legs = legsOf(step);
      if (legs > legsNested) return recorded + child;
      // Slots go back and forth in four messages at most.
      return recorded + Math.ceil(legs / perBatch) * (child + 4 * (signalReceived + signalSent));
    }
  }
}

/** A queue of its own is looked after; a concurrency group is entered and left. */
function extras({ queue, group }: { readonly queue: string; readonly group?: PlannedValue }): number {
  const looks = queue === 'cpu' || queue === 'train' ? 0 : timer + activity;
  return looks + (group === undefined ? 0 : 2 * signalSent + signalReceived + 2 * activity + timer);
}

/** Of a round that is a child workflow. */
export function eventsOfChildRound({ endWhenEmpty }: Pick<RepeatStep, 'endWhenEmpty'>): number {
  return child + (endWhenEmpty === undefined ? 0 : activity);
}

/** As many as there may be, where only the run knows. */
function roundsOf({ max }: RepeatStep): number {
  return typeof max === 'number' ? max : roundsMax;
}

/** Where only the run knows, as many as cost most: more have a workflow of their own. */
function legsOf({ legs }: FanOutStep): number {
  if ('matrix' in legs) return legs.matrix.length;
  return Array.isArray(legs.forEach) ? legs.forEach.length : legsNested;
}

/** The steps of each workflow that a scope is run by: its own alone, or those of its parts. */
export function partsOfScope({ steps, parts }: PlannedScope): readonly (readonly PlannedStep[])[] {
  if (parts === undefined) return [steps];
  return parts.map((from, at) => steps.slice(from, parts[at + 1] ?? steps.length));
}
