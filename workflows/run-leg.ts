/** One leg of a fan-out, as a child workflow of its own: what is held in it holds nothing else. */

import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { resolveValues } from './resolve.ts';
import { runScope } from './run-scope.ts';
import type { LegArguments, LegResult, Values } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function runLeg({ step, bindings, path, role: _, ...facts }: LegArguments): Promise<LegResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts.orders);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts.run) };
  try {
    const ended = await runScope(step.scope, context, bindings);
    // The leg is one step: its outputs, or nothing where it was skipped.
    if (step.outputs === undefined) return ended.steps[''] ?? null;
    const values: { [name: string]: Values[string] } = {};
    for (const [name, value] of Object.entries(step.outputs)) {
      const resolved = resolveValues({ [name]: value }, ended);
      const kept = 'absent' in resolved ? undefined : resolved.value[name];
      if (kept !== undefined) values[name] = kept;
    }
    return values;
  } finally {
    state.close();
  }
}
