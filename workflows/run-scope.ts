/** Runs the steps of one scope (the root, a round, a leg): each starts when the steps it needs have ended. */

import { type ApplicationFailure, CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import { kindOf, stepPath } from '../plan/paths.ts';
import type {
  ActivityStep,
  GateStep,
  KindStep,
  PlannedScope,
  PlannedStep,
  SearchStep,
  StepResult,
} from '../plan/types.ts';
import { approveGate } from './approve-gate.ts';
import { control } from './control.ts';
import {
  callStep,
  holdUntilDone,
  isStepFailure,
  type ScopeContext,
  scopeFailure,
  stepRequest,
} from './execute-step.ts';
import { inGroup } from './in-group.ts';
import { StepSkipped } from './orders.ts';
import { dependentsOf, rootStepOf } from './plan-paths.ts';
import { type Resolved, resolveCondition, resolveValues } from './resolve.ts';
import { reviewGate } from './review-gate.ts';
import { runFanOut } from './run-fan-out.ts';
import { runForeign } from './run-foreign.ts';
import { runImport } from './run-import.ts';
import { runLoop } from './run-loop.ts';
import { runParts } from './run-parts.ts';
import type { Bindings, Values } from './scope-messages.ts';
import { searchCapacity } from './search-capacity.ts';
import { merged } from './standing-orders.ts';
import { whileTellingUnserved } from './unserved-queue.ts';

/**
 * How a step ended. One that reads what is not there (`absent`, as written) is skipped as if its `when` were false, and
 * so is one that failed with `onFailure: continue`. `behind` is a step that failed for good: what waits for it is
 * skipped. `why`: in the words of who had it skipped.
 */
type StepEnd =
  | { readonly outputs: Values }
  | { readonly skipped: true; readonly absent?: string; readonly behind?: string; readonly why?: string }
  | { readonly failed: ApplicationFailure; readonly behind?: string };

/**
 * Answers what the steps left behind, beside what was visible from outside; inner names shadow outer ones. `made`
 * receives their outputs also where the scope fails.
 */
export async function runScope(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings,
  made: { [id: string]: Values } = {},
): Promise<Bindings> {
  if (scope.parts !== undefined) return runParts(scope, context, outer, made);
  const ends = new Map<string, Promise<StepEnd>>();
  const steps: { [id: string]: Values } = { ...outer.steps };
  // An outer step of the same name must not be seen, also where the inner one is skipped.
  for (const { id } of scope.steps) delete steps[id];
  const visible: Bindings = { ...outer, steps };

  const runStep = async (step: PlannedStep): Promise<StepEnd> => {
    try {
      return await runInTurn(step);
    } finally {
      context.mailbox.orders.stepEnded(step.id);
    }
  };
  const runInTurn = async (step: PlannedStep): Promise<StepEnd> => {
    let behind: string | undefined;
    for (const id of step.needs) {
      const needed = await ends.get(id);
      if (needed !== undefined && 'behind' in needed) behind ??= needed.behind;
    }
    const end = behind === undefined ? await endOf(step, context, visible) : await passBy(step, context, behind);
    if ('outputs' in end) {
      steps[step.id] = end.outputs;
      made[step.id] = end.outputs;
    }
    return end;
  };
  const begun = new Map<string, CancellationScope>();
  const begin = (step: PlannedStep): void => {
    const own = new CancellationScope();
    begun.set(step.id, own);
    ends.set(
      step.id,
      own.run(() => runStep(step)),
    );
  };
  for (const step of scope.steps) begin(step);

  // All must have ended before a cancellation goes up, so that nothing is left behind.
  let results = await settledOrReset(ends, context);
  while (results === 'reset') {
    const to = context.mailbox.orders.nextReset()!;
    const ids = dependentsOf(scope, rootStepOf(to));
    for (const id of ids) begun.get(id)!.cancel();
    await Promise.allSettled([...ids].map((id) => ends.get(id)));
    await CancellationScope.nonCancellable(() => control('reset-steps', { run: context.run, to, ids: [...ids] }));
    for (const id of ids) {
      delete steps[id];
      delete made[id];
      context.mailbox.orders.stepEnded(id, false);
    }
    for (const step of scope.steps) if (ids.has(step.id)) begin(step);
    results = await settledOrReset(ends, context);
  }
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  for (const result of results) {
    if (result.status === 'fulfilled' && 'failed' in result.value && result.value.behind !== undefined) {
      throw result.value.failed;
    }
  }
  return visible;
}

/** Skipped, because a step that it waits for failed and ends the run. */
async function passBy(step: PlannedStep, context: ScopeContext, behind: string): Promise<StepEnd> {
  const path = stepPath(context.path, step.id);
  const change = {
    path,
    kind: kindOf(step),
    state: 'skipped',
    error: `It comes after ${behind}, which failed.`,
  } as const;
  await control('record-step', { run: context.run, change });
  return { skipped: true, behind };
}

/** Also in a cancelled scope, whose steps end soon. Only the root is ever reset. */
async function settledOrReset(ends: ReadonlyMap<string, Promise<StepEnd>>, { mailbox }: ScopeContext) {
  let results: PromiseSettledResult<StepEnd>[] | undefined;
  void Promise.allSettled(ends.values()).then((all) => {
    results = all;
  });
  await CancellationScope.nonCancellable(() => condition(() => results !== undefined || mailbox.orders.hasReset));
  return mailbox.orders.hasReset ? ('reset' as const) : results!;
}

/** One step: skipped, or tried until it is done. */
async function endOf(step: PlannedStep, context: ScopeContext, bindings: Bindings): Promise<StepEnd> {
  const path = stepPath(context.path, step.id);
  const kind = kindOf(step);
  const attempt = async (holds: number): Promise<StepEnd> => {
    const wanted = step.when === undefined ? { value: true } : resolveCondition(step.when, bindings);
    if ('absent' in wanted) return { skipped: true, absent: wanted.absent };
    if (!wanted.value) return { skipped: true };
    const resolved = resolveInputs(step, bindings);
    if ('absent' in resolved) return { skipped: true, absent: resolved.absent };
    if (step.type === 'repeat') return { outputs: await runLoop(step, path, context, bindings) };
    if (step.type === 'fan-out') return { outputs: await runFanOut(step, path, context, bindings) };
    if (step.type === 'pipeline') return { outputs: await runImport(step, path, resolved.value, context) };
    const inputs = merged(resolved.value, context.mailbox.orders.changesOf(path) ?? {});
    const run = () => outputsOf(step, path, inputs, holds, context);
    if (!('group' in step) || step.group === undefined) return { outputs: await run() };
    const named = resolveValues({ group: step.group }, bindings);
    if ('absent' in named) return { skipped: true, absent: named.absent };
    const use = { group: String(named.value.group), cancelInProgress: false, step: { path, kind } };
    return { outputs: await inGroup(context, use, run) };
  };
  let end: StepEnd;
  try {
    end = await holdUntilDone(context, { path, kind }, attempt, step.onFailure);
  } catch (error) {
    if (error instanceof StepSkipped) end = { skipped: true, why: error.message };
    else if (isCancellation(error) || !isStepFailure(error)) throw error;
    else {
      const failed = scopeFailure(path, error);
      return step.onFailure === 'continue' ? { failed } : { failed, behind: path };
    }
  }
  if ('skipped' in end) {
    const error = end.absent === undefined ? undefined : `It reads ${end.absent}, which is not there.`;
    await control('record-step', { run: context.run, change: { path, kind, state: 'skipped', error, note: end.why } });
  }
  return end;
}

function resolveInputs(step: PlannedStep, bindings: Bindings): Resolved<Values> {
  if (step.type === 'repeat') return resolveValues({ ...step.carry, max: step.max }, bindings);
  if (step.type === 'fan-out') {
    return resolveValues('forEach' in step.legs ? { forEach: step.legs.forEach } : {}, bindings);
  }
  return resolveValues(step.type === 'pipeline' ? step.params : step.with, bindings);
}

async function outputsOf(
  step: KindStep,
  path: string,
  inputs: Values,
  holds: number,
  context: ScopeContext,
): Promise<Values> {
  if (step.type === 'foreign') return (await runForeign(step, path, inputs, context)).outputs;
  if (step.type === 'approve') return approveGate(step, path, inputs, context);
  return (await runKind(step, path, inputs, holds, context)).outputs;
}

async function runKind(
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
        callStep(context, path, callOf(step, holds), request),
      );
    case 'gate':
      return reviewGate(callOf(step, holds), request, context);
    case 'search':
      return searchCapacity(step, request, context);
  }
}

function callOf({ kind, queue, timeoutMs, heartbeatMs, retry }: ActivityStep | GateStep, holds: number) {
  return { activity: kind, queue, timeoutMs, heartbeatMs, retry, holds };
}
