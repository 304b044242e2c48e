/** Runs a step of a kind once its inputs are there: its activity, its gate, its trials, or another program. */

import type { ActivityStep, GateStep, KindStep, PlannedStep, SearchStep, StepResult } from '../plan/types.ts';
import { approveGate } from './approve-gate.ts';
import { callStep, type ScopeContext, stepRequest } from './execute-step.ts';
import { reviewGate } from './review-gate.ts';
import { runForeign } from './run-foreign.ts';
import type { Values } from './scope-messages.ts';
import { searchCapacity } from './search-capacity.ts';
import { whileTellingUnserved } from './unserved-queue.ts';

// No async functions from here to the activity: the SDK keeps the stack of each promise in a workflow, which takes some 50 us.

/** `holds`: how often the step has been held before. */
export function resultOf(
  step: KindStep,
  path: string,
  inputs: Values,
  holds: number,
  context: ScopeContext,
): Promise<StepResult> {
  if (step.type === 'foreign') return runForeign(step, path, inputs, context);
  if (step.type === 'approve') {
    return approveGate(step, path, inputs, context).then((outputs) => ({ outputs, reused: false }));
  }
  return runKind(step, path, inputs, holds, context);
}

function runKind(
  step: ActivityStep | GateStep | SearchStep,
  path: string,
  inputs: Values,
  holds: number,
  context: ScopeContext,
): Promise<StepResult> {
  const request = stepRequest(context, { ...step, path, with: inputs });
  switch (step.type) {
    case 'activity':
      return whileTellingUnserved(context, { path, kind: step.kind, queue: step.queue }, () =>
        callStep(context, path, callOf(step, holds), request, isOneCall(step)),
      );
    case 'gate':
      return reviewGate(callOf(step, holds), request, context);
    case 'search':
      return searchCapacity(step, request, context);
  }
}

/** Whether the step is one activity and nothing else, so that who stops the one stops the other. */
export const isOneCall = (step: PlannedStep): step is ActivityStep =>
  step.type === 'activity' && step.group === undefined;

function callOf({ kind, queue, timeoutMs, heartbeatMs, retry }: ActivityStep | GateStep, holds: number) {
  return { activity: kind, queue, timeoutMs, heartbeatMs, retry, holds };
}
