/** The rules for operations on a run: plain functions, because the SDK calls the validators of updates synchronously. */

import { findStep } from '../plan/paths.ts';
import type { PlannedScope } from '../plan/types.ts';
import type { OperateMessage } from './messages.ts';
import { fullWords, isFull } from './pace.ts';
import { missingPart, rootStepOf, stepPaths } from './plan-paths.ts';
import type { StandingOrders } from './standing-orders.ts';

/** What the root knows of its run when an operation comes in. */
export interface Situation {
  readonly run: string;
  readonly scope: PlannedScope;
  readonly orders: StandingOrders;
  /** Paths of held steps. */
  readonly held: readonly string[];
  readonly cancelled: boolean;
  /** In the history of its workflow. */
  readonly events: number;
  /** Its steps stand in the code of its workflow. */
  readonly isCompiled: boolean;
  /** The run goes on in a new history in a moment. */
  readonly beginsAgain: boolean;
  /** Whether a step of the root has ended. */
  hasEnded(id: string): boolean;
}

type Message = OperateMessage & { readonly path?: unknown; readonly set?: unknown };

/** Why the message cannot be taken, or null. It may come from any client, so nothing about it is taken for granted. */
export function problemOfOperation(operation: string, given: unknown, situation: Situation): string | null {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return `The message of "${operation}" is an object with "by" (who asks).`;
  }
  const message = given as Message;
  if (typeof message.by !== 'string' || message.by === '') return `"${operation}" needs "by": who asks.`;
  if (message.reason !== undefined && typeof message.reason !== 'string') return '"reason" is a text.';
  const { run, orders, cancelled, events, isCompiled } = situation;
  if (cancelled) return `The run ${run} is being cancelled.`;
  if (situation.beginsAgain) return `The run ${run} goes on in a new history of its workflow just now. Ask again.`;
  switch (operation) {
    case 'pause': {
      const { now } = given as { now?: unknown };
      if (now !== undefined && typeof now !== 'boolean') return '"now" is true or false.';
      if (orders.pause !== null && (now !== true || orders.pause.now)) return `The run ${run} is paused already.`;
      return isFull(events, isCompiled) ? fullWords(run, 'it is not paused any more', isCompiled) : null;
    }
    case 'resume':
      return orders.pause === null ? `The run ${run} is not paused, so there is nothing to resume.` : null;
    case 'retry':
      return problemOfRetry(message, situation);
    case 'skip':
      if (message.reason === undefined || message.reason.trim() === '') return '"skip" needs a "reason".';
      return problemOfPath(message.path, situation) ?? problemOfSkip(message.path as string, situation);
    case 'reset':
      return problemOfPath(message.path, situation) ?? problemOfReset(message, situation);
    default:
      return null;
  }
}

function problemOfRetry(message: Message, situation: Situation): string | null {
  const { path } = message;
  const { held, run } = situation;
  if (path === undefined) {
    if (message.set !== undefined) return 'Changed parameters need the "path" of their step.';
    return held.length > 0 ? null : `No step of ${run} is held, so there is nothing to retry.`;
  }
  if (typeof path !== 'string' || !held.includes(path)) {
    return `The step ${JSON.stringify(path)} of ${run} is not held, so there is nothing to retry. Held steps: ${held.join(', ') || 'none'}.`;
  }
  return problemOfSet(message, situation);
}

function problemOfPath(path: unknown, { run, scope }: Situation): string | null {
  const missing = typeof path === 'string' ? missingPart(scope, path) : null;
  if (missing !== null) return `The run ${run} has no ${path}: ${missing}`;
  if (typeof path === 'string' && findStep(scope, path) !== null) return null;
  return `The run ${run} has no step ${JSON.stringify(path)}. Its steps: ${stepPaths(scope).join(', ')}.`;
}

function problemOfSkip(path: string, { run, orders, hasEnded }: Situation): string | null {
  if (path in orders.skipped) return `The step ${path} of ${run} is to be skipped already.`;
  return hasEnded(rootStepOf(path)) ? `The step ${path} of ${run} has ended already.` : null;
}

function problemOfReset(message: Message, situation: Situation): string | null {
  const { run, scope, hasEnded } = situation;
  const path = message.path as string;
  if (!scope.steps.some(({ id }) => id === rootStepOf(path))) {
    return `${path} runs when the run ${run} has ended, and cannot be reset.`;
  }
  if (scope.parts !== undefined) {
    return `The ${scope.steps.length} steps of ${run} are run in ${scope.parts.length} parts, in which none can begin again while the run goes on. Fork the run from there: hardcase fork ${run} --from ${path}; or reset it when it has ended.`;
  }
  // Its end is being recorded, or the steps of `finally` run.
  if (scope.steps.every(({ id }) => hasEnded(id))) return `The run ${run} is ending. Reset it when it has ended.`;
  return problemOfSet(message, situation);
}

function problemOfSet({ path, set }: Message, { scope }: Situation): string | null {
  if (set === undefined) return null;
  if (typeof set !== 'object' || set === null || Array.isArray(set) || Object.keys(set).length === 0) {
    return '"set" is an object of parameters and their new values.';
  }
  const step = findStep(scope, path as string);
  if (step !== null && 'with' in step) return null;
  return `${path} has no parameters of its own that could be changed.`;
}
