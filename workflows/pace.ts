/**
 * How decisions are gathered so that no history passes 4,096 events, however many there are and however few come at a
 * time: the longer the history, the longer they are gathered before they are passed on and written, and the more of them
 * a message must bring.
 */

import { condition, workflowInfo } from '@temporalio/workflow';
import { fitting } from '../plan/value-bytes.ts';
import type { QueuedBatch } from './scope-messages.ts';

/** Decisions in one message between workflows or to an activity, which takes its time for each. */
const decisionsPerBundleMax = 2_000;

/** Up to here everything goes on at once. */
const freeEvents = 1_000;
const calmEvents = 2_000;
/** Beyond, each bundle waits twice as long as the one before, whatever waits for it. */
export const lateEvents = 3_000;
/** Beyond, a root that ends its steps for a new history takes no message: what ends still needs events. */
export const leavingEvents = 3_400;
/** Beyond, only what lets the run go on is taken: decisions that end their gate, answers to open gates, no pauses. */
export const lastEvents = 3_800;
/** An update, its tasks, and what follows of it when nothing else comes with it. */
const eventsPerMessage = 16;

/** Once a history is long, a moment is awaited in which no step runs; once it is so much longer, no more. */
export const patience = 1.125;

const gateMs = 60_000;
/** So many bundles of a rush have waited for ever longer when one waits as long as any before the history is late. */
export const rushMax = 6;
const goesOnMs = 3_000;
/** Who begins again finds many gates passed, and then one that waits: all of it is one bundle. */
const noticeMs = 15_000;
/** Who has told nothing for so long is heard soon. */
export const calmMs = 120_000;
/** Up to some twelve days. */
const doublings = 20;

const lingerMs = { calm: 5_000, late: 30_000 };

/** For how long what can wait is gathered before it goes into one message. */
export function gatherMs(events: number): number {
  if (events < 200) return 0;
  if (events < freeEvents) return 1_000;
  if (events < calmEvents) return lingerMs.calm;
  return events < lateEvents ? 60_000 : 1_800_000;
}

/**
 * How long a change of state must last before it is told. `toRun`: whether it is that work goes on; `before`: changes that
 * were told without a pause, or late in the history. `isOneOfMany`: as a leg, of which there may be a hundred.
 */
export function stateMs(events: number, toRun: boolean, before: number, isOneOfMany: boolean): number {
  const ms = gatherMs(events);
  if (events >= lateEvents) return ms * 2 ** Math.min(before, doublings);
  if (!isOneOfMany) return ms;
  // A leg that asks again soon has not gone on, in the eyes of those around it.
  const doubled = before < 2 ? 0 : Math.min(gateMs, 1_000 * 2 ** (before - 1));
  return Math.max(ms, doubled, toRun ? goesOnMs : 0);
}

/**
 * For how long news for the root is gathered: the longer the less is waited for it, and the more bundles went before, so
 * that there are few of them in however long a time, of however many workflows beside each other. `urgency`: 0 where
 * nobody waits, `before` being all bundles of that kind; 1 where people may; 2 where a gate does, `before` being the
 * bundles of gates that were sent without a pause, or late in the history.
 */
export function relayMs(events: number, urgency: number, before: number): number {
  const ms = gatherMs(events);
  if (urgency === 0) return Math.max(ms, noticeMs * 2 ** Math.min(before, doublings));
  const doubled = before === 0 ? 0 : 1_000 * 2 ** Math.min(before, doublings);
  if (urgency === 1 || ms === 0) return ms;
  return events < lateEvents ? Math.min(gateMs, Math.max(ms, doubled)) : Math.max(gateMs, doubled);
}

/** Removes and answers the first of the batches, as many as fit into one message, at least one. */
export function takeFitting(batches: QueuedBatch[]): QueuedBatch[] {
  let count = 0;
  for (let decisions = 0; count < batches.length; count++) {
    decisions += batches[count]!.decisions?.length ?? 1;
    if (decisions > decisionsPerBundleMax && count > 0) break;
  }
  return batches.splice(0, fitting(batches.slice(0, count)));
}

/** A list in the store may hold any number, and who asks to go on wants no more: both are as urgent as can be. */
export function countOf(batches: readonly QueuedBatch[]): number {
  if (batches.some(({ decisions, proceed }) => decisions === undefined || proceed === true)) {
    return Number.POSITIVE_INFINITY;
  }
  return batches.reduce((sum, { decisions }) => sum + decisions!.length, 0);
}

/** Waits for more to come, unless `isUrgent`. */
export async function linger(isUrgent: () => boolean): Promise<void> {
  const events = workflowInfo().historyLength;
  if (events < freeEvents || isUrgent()) return;
  await condition(isUrgent, events < calmEvents ? lingerMs.calm : lingerMs.late);
}

/** How many decisions a message must bring by now. One that brings all that are missing is always taken. */
export function leastDecisions(events: number, undecided: number): number {
  if (events < calmEvents) return 1;
  const messages = Math.floor((lastEvents - events) / eventsPerMessage);
  return messages <= 0 ? Math.max(1, undecided) : Math.max(1, Math.ceil(undecided / messages));
}

/** Of a compiled workflow, which has all of its steps in one history: Temporal ends one at 51,200 events. */
const compiledLastEvents = 45_000;

/** Whether the history is so long that only what lets the run go on is taken. */
export const isFull = (events: number, isCompiled: boolean): boolean =>
  events > (isCompiled ? compiledLastEvents : lastEvents);

/** `what` follows of it. */
export const fullWords = (run: string, what: string, isCompiled: boolean): string =>
  isCompiled
    ? `The run ${run} has a compiled workflow, which stays in one history, and that has become so long that ${what}.`
    : `The run ${run} has taken so many messages in one history of its workflow, which it cannot leave now, that ${what}.`;
