/** Runs the steps of a scope that has too many for one workflow: its parts as child workflows, each after those it needs. */

import { isCancellation } from '@temporalio/workflow';
import { partsOfScope } from '../plan/step-events.ts';
import type { PlannedScope } from '../plan/types.ts';
import type { ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { runChild } from './run-child.ts';
import { runScope } from './run-scope.ts';
import { type Bindings, type PartArguments, type PartResult, type Values, visibleTo } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

/** As `runScope`. A step that is held holds the parts that need its part. `name` is what their paths have behind the scope's. */
export async function runParts(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings,
  made: { [id: string]: Values },
  name = '#',
): Promise<Bindings> {
  const steps: { [id: string]: Values } = { ...outer.steps };
  for (const { id } of scope.steps) delete steps[id];
  const parts = partsOfScope(scope);
  const partOf = new Map(parts.flatMap((part, at) => part.map(({ id }) => [id, at] as const)));
  const ends: Promise<PartResult>[] = [];
  const begin = async (at: number): Promise<PartResult> => {
    const part = parts[at]!;
    const needs = new Set(part.flatMap((step) => step.needs.map((id) => partOf.get(id)!)));
    needs.delete(at);
    for (const need of [...needs].sort((a, b) => a - b)) await ends[need];
    const result = await runChild<PartResult>(context, `${context.path}${name}${at + 1}`, {
      role: 'part',
      owner: context.path,
      scope: { steps: part },
      bindings: visibleTo(part, { ...outer, steps }),
    });
    Object.assign(steps, result.made);
    Object.assign(made, result.made);
    for (const { id } of part) context.mailbox.orders.stepEnded(id);
    return result;
  };
  for (const at of parts.keys()) ends.push(begin(at));
  // All must have ended before a failure goes up, so that nothing is left behind.
  const failures: unknown[] = [];
  for (const end of await Promise.allSettled(ends)) if (end.status === 'rejected') failures.push(end.reason);
  if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  return { ...outer, steps };
}

/** The child: its steps have the paths that they would have without parts. */
export async function runPart({ scope, bindings, path, owner, role: _, ...facts }: PartArguments): Promise<PartResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const made: { [id: string]: Values } = {};
  // It is one of many.
  const within = { ...facts, bundled: true } as const;
  const context = { ...within, path: owner, state, mailbox, root: distantRoot(within, mailbox) };
  try {
    await runScope(scope, context, bindings, made);
    return { made };
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}
