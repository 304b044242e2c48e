/** One leg of a fan-out, or the steps of another file, as a child workflow: what is held in it holds nothing else. */

import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { resolveValues } from './resolve.ts';
import { runToItsEnd } from './run-to-its-end.ts';
import type { Bindings, LegArguments, LegResult, Values } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function runLeg({ step, bindings, path, role: _, ending, ...facts }: LegArguments): Promise<LegResult> {
  const state = openScopeState((published) => tellParent(path, published), facts.bundled);
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    return leftBehind(step, await runToItsEnd(step.scope, context, bindings, { ending }));
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}

/** What the steps left behind, by `outputs`, as far as it is there; null where a leg's only step was skipped. */
export function leftBehind({ outputs }: Pick<LegArguments['step'], 'outputs'>, ended: Bindings): LegResult {
  if (outputs === undefined) return ended.steps[''] ?? null;
  const values: { [name: string]: Values[string] } = {};
  for (const [name, value] of Object.entries(outputs)) {
    const resolved = resolveValues({ [name]: value }, ended);
    const kept = 'absent' in resolved ? undefined : resolved.value[name];
    if (kept !== undefined) values[name] = kept;
  }
  return values;
}
