/** One round of a loop, as a child workflow of its own, so that no history grows with the number of rounds. */

import { ApplicationFailure } from '@temporalio/workflow';
import type { Json } from '../plan/types.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { resolveCondition, resolveValues } from './resolve.ts';
import { runScope } from './run-scope.ts';
import type { Bindings, RoundArguments, RoundResult, Values } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function runRound({ step, bindings, path, ...facts }: RoundArguments): Promise<RoundResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts.run, mailbox) };
  try {
    const ended = await runScope(step.scope, context, bindings);
    const gain = step.gain === undefined ? undefined : ended.steps[step.gain];
    const round = gain === undefined ? bindings.round : { ...bindings.round, gain };
    const seen: Bindings = { ...ended, round };
    return {
      next: nextValues(step.next, seen),
      ended: isOver(step.until, seen),
      metric: metricOf(step.metric, seen),
      emptied: step.endWhenEmpty !== undefined && isAbsent(step.next[step.endWhenEmpty], seen),
    };
  } finally {
    state.close();
  }
}

/** A value that reads what a skipped step would have made stays what it was in this round. */
function nextValues(next: Values, seen: Bindings): Values {
  const values: { [name: string]: Values[string] } = {};
  for (const [name, value] of Object.entries(next)) {
    const resolved = resolveValues({ [name]: value }, seen);
    const kept = 'absent' in resolved ? seen.carry?.[name] : resolved.value[name];
    if (kept !== undefined) values[name] = kept;
  }
  return values;
}

const isAbsent = (value: Json | undefined, seen: Bindings): boolean =>
  value !== undefined && 'absent' in resolveValues({ value }, seen);

/** A condition over what is not there says nothing, so the loop goes on. */
function isOver(until: string | undefined, seen: Bindings): boolean {
  if (until === undefined) return false;
  const over = resolveCondition(until, seen);
  return 'value' in over && over.value;
}

function metricOf(metric: string | undefined, seen: Bindings): number | undefined {
  if (metric === undefined) return undefined;
  const resolved = resolveValues({ metric: { $: metric } }, seen);
  if ('absent' in resolved) return undefined;
  // A value that is null counts as absent, and `resolveValues` has left it out.
  const { metric: value } = resolved.value;
  if (value === undefined || typeof value === 'number') return value;
  throw ApplicationFailure.nonRetryable(
    `The metric "${metric}" is ${JSON.stringify(value)}; expected a number.`,
    'ExpressionFailed',
  );
}
