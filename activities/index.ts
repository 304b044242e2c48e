/** All activities, by the names under which the interpreter calls them. */

import { Context } from '@temporalio/activity';
import type { StepRequest, StepResult } from '../plan/types.ts';
import { closeApproval, escalateApproval, openApproval } from './approvals.ts';
import { type ActivityDeps, type AttemptPolicy, heartbeatInterval } from './attempt.ts';
import { checkQueue } from './check-queue.ts';
import type { AnyStepImplementation } from './context.ts';
import { forgetEnding, keepEnding, loadMade, loadSettled } from './endings.ts';
import { beginForeign, finishForeign } from './foreign-step.ts';
import { enterGroup, isRunning, tellGroup } from './groups.ts';
import { loadDecided } from './load-decided.ts';
import { loadEarly } from './load-early.ts';
import { notifyWaiting } from './notify-waiting.ts';
import { findOwedEnds, loadOwedEnd } from './owed-ends.ts';
import { findPlan, recordUpgrade } from './record-upgrade.ts';
import { reuseRounds } from './reuse-rounds.ts';
import { reuseSteps } from './reuse-steps.ts';
import { appendBatches, applyDecisions, openGate } from './review-labels.ts';
import {
  closeRun,
  countImages,
  countWaiting,
  keepEarly,
  loadPlan,
  openRun,
  recordNotice,
  recordOperation,
  recordRun,
  recordStep,
  resetSteps,
} from './run-control.ts';
import { finishStep, reuseStep, runStep } from './run-step.ts';
import { stepImplementations } from './step-implementations.ts';

export type { ActivityDeps } from './attempt.ts';

export type Activity = (request: never, policy: never) => Promise<unknown>;

/** What a worker registers. `implementations` are those of the step kinds; tests bring their own. */
export function createActivities(
  deps: ActivityDeps,
  implementations: { readonly [kind: string]: AnyStepImplementation } = stepImplementations,
): { [name: string]: Activity } {
  const activities: { [name: string]: Activity } = {};
  for (const [kind, implementation] of Object.entries(implementations)) {
    activities[kind] = (request: StepRequest, policy: AttemptPolicy): Promise<StepResult> =>
      runStep(deps, implementation, request, policy);
  }
  const controls = {
    'open-run': openRun,
    'load-plan': loadPlan,
    'find-plan': findPlan,
    'record-run': recordRun,
    'record-step': recordStep,
    'record-notice': recordNotice,
    'enter-group': enterGroup,
    'tell-group': tellGroup,
    'is-running': isRunning,
    'begin-foreign': beginForeign,
    'finish-foreign': finishForeign,
    'check-queue': checkQueue,
    'record-operation': recordOperation,
    'keep-early': keepEarly,
    'load-early': loadEarly,
    'load-decided': loadDecided,
    'find-owed-ends': findOwedEnds,
    'load-owed-end': loadOwedEnd,
    'keep-ending': keepEnding,
    'forget-ending': forgetEnding,
    'load-made': loadMade,
    'load-settled': loadSettled,
    'record-upgrade': recordUpgrade,
    'reset-steps': resetSteps,
    'open-approval': openApproval,
    'escalate-approval': escalateApproval,
    'close-approval': closeApproval,
    'close-run': closeRun,
    'count-images': countImages,
    'count-waiting': countWaiting,
    'reuse-step': reuseStep,
    'reuse-steps': reuseSteps,
    'reuse-rounds': reuseRounds,
    'finish-step': finishStep,
    'append-decisions': appendBatches,
    'notify-waiting': notifyWaiting,
  };
  for (const [name, control] of Object.entries(controls)) {
    const call = control as (deps: ActivityDeps, request: unknown) => Promise<unknown>;
    activities[name] = (request: unknown) => whileBeating(() => call(deps, request));
  }
  activities['open-gate'] = (request: StepRequest, policy: AttemptPolicy) => openGate(deps, request, policy);
  activities['apply-decisions'] = (request: Parameters<typeof applyDecisions>[1], policy: AttemptPolicy) =>
    applyDecisions(deps, request, policy);
  return activities;
}

/** A heartbeat, so that a worker's death is noticed in seconds also here. */
async function whileBeating<Result>(call: () => Promise<Result>): Promise<Result> {
  const temporal = Context.current();
  const beat = setInterval(() => temporal.heartbeat(), heartbeatInterval(temporal.info.heartbeatTimeoutMs));
  try {
    return await call();
  } finally {
    clearInterval(beat);
  }
}
