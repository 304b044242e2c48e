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
import type { EndArguments, EndsArguments } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

/** Each is some ten events of the root, which cannot go on in a new history meanwhile. More than a few have workflows of their own. */
const fewEnds = 20;
const workflowsMax = 50;

/** Those of files within the run's steps, or within its `finally`; inner ones first. As of what is cancelled, nobody is waited for, and a failure is in the record alone. */
export async function runOwedEnds(
  planDigest: string,
  of: 'steps' | 'finally',
  scope: PlannedScope,
  context: ScopeContext,
): Promise<void> {
  const { run } = context;
  const paths = await control('find-owed-ends', { run, planDigest, of });
  if (paths.length <= fewEnds) return runEnds(paths, scope, context);
  const count = Math.max(fewEnds, Math.ceil(paths.length / workflowsMax));
  for (let from = 0; from < paths.length; from += count) {
    const some = paths.slice(from, from + count);
    const name = `#owed${from / count + 1}`;
    await runChild<null>(context, name, { role: 'ends', owner: '', planDigest, paths: some });
  }
}

/** One after another, each as a child workflow. */
async function runEnds(paths: readonly string[], scope: PlannedScope, context: ScopeContext): Promise<void> {
  for (const path of paths) {
    const step = findStep(scope, path);
    if (step?.type !== 'pipeline') continue;
    await leaveUnattended(context.mailbox.orders, path);
    await runChild<null>(context, path, { role: 'end', scope: step.scope }).catch((error: unknown) => {
      if (!isStepFailure(error)) throw error;
    });
  }
}

/** As many as one workflow takes, as a child of the root, whose history they would make too long. */
export async function runSomeOwedEnds({
  planDigest,
  paths,
  path,
  owner,
  role: _,
  ...facts
}: EndsArguments): Promise<null> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path: owner, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    await runEnds(paths, await control('load-plan', { planDigest }), context);
    return null;
  } finally {
    state.close();
    await mailbox.relay.close();
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
