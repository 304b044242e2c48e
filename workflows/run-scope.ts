/** Runs the steps of one scope (the root, a round, a leg): each starts when the steps it needs have ended. */

import { kindOf, stepPath } from '../plan/paths.ts';
import type { PlannedScope, PlannedStep } from '../plan/types.ts';
import type { ScopeContext } from './execute-step.ts';
import { inGroup } from './in-group.ts';
import { type Resolved, resolveCondition, resolveValues } from './resolve.ts';
import { ReuseChain } from './reuse-chain.ts';
import { runFanOut } from './run-fan-out.ts';
import { runImport } from './run-import.ts';
import { resultOf } from './run-kind.ts';
import { runLoop } from './run-loop.ts';
import { runParts } from './run-parts.ts';
import type { Bindings, Values } from './scope-messages.ts';
import { merged } from './standing-orders.ts';
import { type StepEnd, tryUntilEnded } from './step-end.ts';
import { StepGraph, type StepNode } from './step-graph.ts';

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
  const steps: { [id: string]: Values } = { ...outer.steps };
  // An outer step of the same name must not be seen, also where the inner one is skipped.
  for (const { id } of scope.steps) delete steps[id];
  const visible: Bindings = { ...outer, steps };

  const graph = new StepGraph(context);
  const chain = new ReuseChain(scope, context, visible);
  const nodeOf = (step: PlannedStep): StepNode => {
    const { id, needs } = step;
    return {
      id,
      kind: kindOf(step),
      needs,
      run: () => endOf(step, context, visible, chain),
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
  orders.onUpgrade((scope) => {
    chain.stop();
    const next = scope.steps.map((step) => (orders.hasBegun(step.id) ? planned.get(step.id)! : step));
    graph.replace(next.map((step) => (planned.get(step.id) === step ? step.id : nodeOf(step))));
    planned = new Map(next.map((step) => [step.id, step]));
  });
}

/** One step: skipped, or tried until it is done. */
async function endOf(
  step: PlannedStep,
  context: ScopeContext,
  bindings: Bindings,
  chain: ReuseChain,
): Promise<StepEnd> {
  const path = stepPath(context.path, step.id);
  const kind = kindOf(step);
  const attempt = async (holds: number): Promise<StepEnd> => {
    const found = await chain.begin(step);
    if (found !== null) return { outputs: found };
    const wanted = step.when === undefined ? { value: true } : resolveCondition(step.when, bindings);
    if ('absent' in wanted) return { skipped: true, absent: wanted.absent };
    if (!wanted.value) return { skipped: true };
    const resolved = resolveInputs(step, bindings);
    if ('absent' in resolved) return { skipped: true, absent: resolved.absent };
    if (step.type === 'repeat') return { outputs: await runLoop(step, path, context, bindings) };
    if (step.type === 'fan-out') return { outputs: await runFanOut(step, path, context, bindings) };
    if (step.type === 'pipeline') return { outputs: await runImport(step, path, resolved.value, context) };
    const inputs = merged(resolved.value, context.mailbox.orders.changesOf(path) ?? {});
    const run = async () => {
      const { outputs, reused } = await resultOf(step, path, inputs, holds, context);
      if (reused) await chain.reused(step, outputs);
      return outputs;
    };
    if (!('group' in step) || step.group === undefined) return { outputs: await run() };
    const named = resolveValues({ group: step.group }, bindings);
    if ('absent' in named) return { skipped: true, absent: named.absent };
    const use = { group: String(named.value.group), cancelInProgress: false, step: { path, kind } };
    return { outputs: await inGroup(context, use, run) };
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
