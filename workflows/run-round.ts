/** One round of a loop, as a child workflow of its own, so that no history grows with the number of rounds. */

import { type RoundResult, roundResult } from '../plan/round-end.ts';
import type { ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { expressionFailure } from './resolve.ts';
import { runScope } from './run-scope.ts';
import type { RoundArguments } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function runRound({ step, bindings, path, ...facts }: RoundArguments): Promise<RoundResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    return await stepsOfRound({ step, bindings }, context);
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}

/** Runs the round's steps, whose paths begin with that of the context. */
export async function stepsOfRound(
  { step, bindings }: Pick<RoundArguments, 'step' | 'bindings'>,
  context: ScopeContext,
): Promise<RoundResult> {
  const found = { reused: 0 };
  const ended = await runScope(step.scope, context, bindings, {}, found);
  try {
    const result = roundResult(step, { ...ended });
    return found.reused === step.scope.steps.length ? { ...result, reused: true } : result;
  } catch (error) {
    throw expressionFailure(error);
  }
}
