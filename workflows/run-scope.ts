/** Runs the steps of one scope (the root, a round, a leg): each starts when the steps it needs have ended. */

import type { SettledStep } from '../activities/endings.ts';
import { kindOf, stepPath } from '../plan/paths.ts';
import type { PlannedScope, PlannedStep, StepResult } from '../plan/types.ts';
import { endBefore, settledSteps } from './endings.ts';
import type { ScopeContext } from './execute-step.ts';
import { inGroup } from './in-group.ts';
import { type Resolved, resolveCondition, resolveValues } from './resolve.ts';
import { ReuseChain } from './reuse-chain.ts';
import { runFanOut } from './run-fan-out.ts';
import { runImport } from './run-import.ts';
import { isOneCall, resultOf } from './run-kind.ts';
import { runLoop } from './run-loop.ts';
import { runParts } from './run-parts.ts';
import type { Bindings, Values } from './scope-messages.ts';
import { merged } from './standing-orders.ts';
import { type StepEnd, tryUntilEnded } from './step-end.ts';
import { StepGraph, type StepNode } from './step-graph.ts';

/**
 * Answers what the steps left behind, beside what was visible from outside; inner names shadow outer ones. `made`
 * receives their outputs also where the scope fails, and `found` counts those that were there already.
 */
export async function runScope(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings,
  made: { [id: string]: Values } = {},
  found: { reused: number } = { reused: 0 },
): Promise<Bindings> {
  if (scope.parts !== undefined) return runParts(scope, context, outer, made);
  const steps: { [id: string]: Values } = { ...outer.steps };
  // An outer step of the same name must not be seen, also where the inner one is skipped.
  for (const { id } of scope.steps) delete steps[id];
  const visible: Bindings = { ...outer, steps };

  const settled = context.settledSince === undefined ? {} : await settledSteps(scope, context);
  const graph = new StepGraph(context);
  const chain = new ReuseChain(scope, context, visible);
  const nodeOf = (step: PlannedStep): StepNode => {
    const { id, needs } = step;
    return {
      id,
      kind: kindOf(step),
      needs,
      run: () => endOf(step, context, visible, chain, found, settled[id]),
      keep: (outputs) => {
        chain.keep(id, outputs);
        for (const kept of [steps, made]) {
          if (outputs === null) delete kept[id];
          else kept[id] = outputs;
        }
      },
    };
  };
  for (const step of scope.steps) graph.add(nodeOf(step));
  if (context.path === '') followUpgrades(scope.steps, context, graph, nodeOf, chain);
  await graph.ended();
  return visible;
}

/** What has begun goes on as it is; loops look up what their later rounds do. */
function followUpgrades(
  steps: readonly PlannedStep[],
  { mailbox: { orders } }: ScopeContext,
  graph: StepGraph,
  nodeOf: (step: PlannedStep) => StepNode,
  chain: ReuseChain,
): void {
  let planned = new Map(steps.map((step) => [step.id, step]));
  orders.onUpgrade((scope, again) => {
    chain.stop();
    const stays = (id: string) => orders.hasBegun(id) && !again.includes(id);
    const next = scope.steps.map((step) => (stays(step.id) ? planned.get(step.id)! : step));
    const stopped = graph.replace(next.map((step) => (planned.get(step.id) === step ? step.id : nodeOf(step))));
    planned = new Map(next.map((step) => [step.id, step]));
    return stopped;
  });
}

/** One step: skipped, or tried until it is done. */
function endOf(
  step: PlannedStep,
  context: ScopeContext,
  bindings: Bindings,
  chain: ReuseChain,
  counts: { reused: number },
  settled: SettledStep | undefined,
): Promise<StepEnd> {
  const before = settled === undefined ? null : endBefore(step, context.path, settled);
  if (before !== null) {
    if ('outputs' in before) counts.reused++;
    return Promise.resolve(before);
  }
  const path = stepPath(context.path, step.id);
  const kind = kindOf(step);
  const begin = (holds: number): Promise<StepEnd> | StepEnd => {
    const found = chain.begin(step);
    if (found !== null) {
      counts.reused++;
      return { outputs: found };
    }
    const wanted = step.when === undefined ? { value: true } : resolveCondition(step.when, bindings);
    if ('absent' in wanted) return { skipped: true, absent: wanted.absent };
    if (!wanted.value) return { skipped: true };
    const resolved = resolveInputs(step, bindings);
    if ('absent' in resolved) return { skipped: true, absent: resolved.absent };
    const { orders } = context.mailbox;
    const inputs = merged(resolved.value, orders.changesOf(path) ?? {});
    const keep = async ({ outputs, reused }: StepResult): Promise<StepEnd> => {
      if (reused) {
        counts.reused++;
        await chain.reused(step, outputs);
      }
      return { outputs };
    };
    if (isOneCall(step)) {
      return resultOf(step, path, inputs, holds, context).then((result) =>
        result.reused ? keep(result) : { outputs: result.outputs },
      );
    }
    // What has failed within a step that is tried again is tried again, too.
    const within = holds > 0 || settled !== undefined ? { ...context, settledSince: undefined } : context;
    const run = async (): Promise<StepEnd> => {
      if (step.type === 'repeat') return { outputs: await runLoop(step, path, within, bindings) };
      if (step.type === 'fan-out') return { outputs: await runFanOut(step, path, within, bindings) };
      if (step.type === 'pipeline') return { outputs: await runImport(step, path, resolved.value, within) };
      return keep(await resultOf(step, path, inputs, holds, context));
    };
    if (!('group' in step) || step.group === undefined) return orders.attempt(path, run);
    const named = resolveValues({ group: step.group }, bindings);
    if ('absent' in named) return { skipped: true, absent: named.absent };
    const use = { group: String(named.value.group), cancelInProgress: false, step: { path, kind } };
    return orders.attempt(path, () => inGroup(context, use, run));
  };
  // No more promises than there must be: the SDK keeps the stack of each in a workflow, which takes some 50 us.
  const attempt = (holds: number): Promise<StepEnd> | StepEnd => {
    const look = chain.look();
    return look === null ? begin(holds) : look.then(() => begin(holds));
  };
  return tryUntilEnded({ path, kind, onFailure: step.onFailure }, context, attempt);
}

function resolveInputs(step: PlannedStep, bindings: Bindings): Resolved<Values> {
  if (step.type === 'repeat') return resolveValues({ ...step.carry, max: step.max }, bindings);
  if (step.type === 'fan-out') {
    return resolveValues('forEach' in step.legs ? { forEach: step.legs.forEach } : {}, bindings);
  }
  return resolveValues(step.type === 'pipeline' ? step.params : step.with, bindings);
}
