/** Finds what is there already of many steps at once, so that a run that does little anew need not ask for each. */

import { writeStepRecord } from '../artifacts/run-record.ts';
import { readStepResult } from '../artifacts/step-results.ts';
import { stepPath } from '../plan/paths.ts';
import type { ActivityStep, Json, RunEnvironment, StepRequest } from '../plan/types.ts';
import { resolveValue } from '../plan/values.ts';
import { type ExpressionScope, evaluateExpression } from '../spec/expression.ts';
import type { ActivityDeps } from './attempt.ts';
import { endOfFound, newRecord } from './run-step.ts';
import { fingerprintOfStep, isReusable } from './step-identity.ts';

export interface ReuseRequest {
  readonly run: string;
  readonly seed: number;
  readonly environment: RunEnvironment;
  /** Path of the scope. */
  readonly path: string;
  /** In the order of the plan. */
  readonly steps: readonly ActivityStep[];
  /** Ids of steps of the scope that have ended; nothing is decided behind others. */
  readonly ended: readonly string[];
  /** What expressions of the scope see so far. */
  readonly bindings: ExpressionScope;
}

/** Outputs by id. */
export type ReusedSteps = { readonly [id: string]: { readonly [name: string]: Json } };

/** What travels to the workflow stays well below what Temporal refuses. */
const outputBytesMax = 256 * 1024;

/** Looks that are on their way to the store at once. */
const looksAtOnce = 16;

/** Goes along the steps as far as results are recorded, and records each of those as done in this run. */
export async function reuseSteps(deps: ActivityDeps, request: ReuseRequest): Promise<ReusedSteps> {
  const ended = new Set(request.ended);
  const steps: { [id: string]: ReusedSteps[string] } = { ...(request.bindings.steps as ReusedSteps) };
  const found: { [id: string]: ReusedSteps[string] } = {};
  let bytes = 0;
  const look = async (step: ActivityStep): Promise<void> => {
    const outputs = bytes > outputBytesMax ? null : await reuse(deps, request, step, steps);
    if (outputs === null) return;
    bytes += JSON.stringify(outputs).length;
    found[step.id] = outputs;
    steps[step.id] = outputs;
    ended.add(step.id);
  };
  // What one look finds may let others follow.
  for (let left = request.steps; ; ) {
    const ready = left.filter(({ needs }) => needs.every((id) => ended.has(id)));
    if (ready.length === 0) return found;
    left = left.filter((step) => !ready.includes(step));
    for (let at = 0; at < ready.length; at += looksAtOnce) {
      await Promise.all(ready.slice(at, at + looksAtOnce).map(look));
    }
  }
}

/** The outputs where the step's result is recorded; null where the run must see to the step. */
async function reuse(
  deps: ActivityDeps,
  { run, seed, environment, path: within, bindings }: ReuseRequest,
  step: ActivityStep,
  steps: ReusedSteps,
): Promise<ReusedSteps[string] | null> {
  const { kind, version, secrets, fresh } = step;
  const inputs = isReusable(kind) ? inputsOf(step, { ...bindings, steps }) : null;
  if (inputs === null) return null;
  const own: StepRequest = {
    run,
    path: stepPath(within, step.id),
    kind,
    version,
    with: inputs,
    secrets,
    seed,
    environment,
    fresh,
  };
  const fingerprint = fingerprintOfStep(own);
  const result = await readStepResult(deps.store, fingerprint);
  if (result === null) return null;
  const end = endOfFound(own, result);
  const record = await newRecord(deps, own, fingerprint);
  await writeStepRecord(deps.store, run, { ...record, ...end.record }, { again: true });
  return end.result.outputs;
}

/** Null where the step is to be skipped or its expressions fail: the workflow decides that, and says so. */
function inputsOf({ when, with: values }: ActivityStep, scope: ExpressionScope): StepRequest['with'] | null {
  try {
    if (when !== undefined && evaluateExpression(when, scope) !== true) return null;
    return resolveValue(values, scope) as StepRequest['with'];
  } catch {
    return null;
  }
}
