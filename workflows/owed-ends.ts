/**
 * Ends that a run owes: of files that were stopped because the run went on in a new history, and then did not begin again,
 * because it was cancelled or they were skipped. They see what the record has of their file.
 */

import { findStep } from '../plan/paths.ts';
import type { PlannedScope } from '../plan/types.ts';
import { control } from './control.ts';
import { loadMade, runAfter } from './endings.ts';
import { isStepFailure, type ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { leaveUnattended } from './orders.ts';
import { runChild } from './run-child.ts';
import { runEnd } from './run-to-its-end.ts';
import type { EndArguments } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

/** Those of files within the run's steps, or within its `finally`; inner ones first. As of what is cancelled, nobody is waited for, and a failure is in the record alone. */
export async function runOwedEnds(
  planDigest: string,
  of: 'steps' | 'finally',
  scope: PlannedScope,
  context: ScopeContext,
): Promise<void> {
  const { run, mailbox } = context;
  for (const path of await control('find-owed-ends', { run, planDigest, of })) {
    const step = findStep(scope, path);
    if (step?.type !== 'pipeline') continue;
    await leaveUnattended(mailbox.orders, path);
    await runChild<null>(context, path, { role: 'end', scope: step.scope }).catch((error: unknown) => {
      if (!isStepFailure(error)) throw error;
    });
  }
}

/** The child: the end of a file, and nothing else of it. */
export async function runOwedEnd({ scope, path, role: _, ...facts }: EndArguments): Promise<null> {
  const { run } = facts;
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    const { params, made, ending } = await control('load-owed-end', {
      run,
      path,
      ids: scope.steps.map(({ id }) => id),
    });
    if (ending === undefined) await runEnd(scope, context, { steps: made, params, run: { state: 'cancelled' } });
    else {
      const steps = await loadMade(run, path);
      const within = { ...context, settledSince: ending.at };
      await runEnd(scope, within, { steps, params, run: runAfter(ending) }).finally(() =>
        control('forget-ending', { run, path }),
      );
    }
    return null;
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}
