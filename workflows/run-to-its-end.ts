/** Runs the steps of a pipeline, and when they have ended, however that was, those of `finally`. */

import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { PlannedScope } from '../plan/types.ts';
import { isStepFailure, reasonOf, type ScopeContext } from './execute-step.ts';
import type { Renewal } from './renewal.ts';
import { runScope } from './run-scope.ts';
import type { Values } from './scope-messages.ts';

/**
 * Throws as the steps ended; where they were done, as those of `finally` did. Where they ended because the history has
 * become long, the run goes on in a new one.
 */
export async function runToItsEnd(scope: PlannedScope, context: ScopeContext, renewal?: Renewal): Promise<void> {
  const made: { [id: string]: Values } = {};
  const atEnd = async (run: Values) => {
    const steps = (context.mailbox.orders.plan ?? scope).finally;
    if (steps === undefined) return;
    // Shielded, because a run that was cancelled is what they are for.
    await CancellationScope.nonCancellable(() => runScope({ steps }, context, { steps: made, run }));
  };
  try {
    // An upgrade may have come before the first step began.
    await runScope(context.mailbox.orders.plan ?? scope, context, { steps: {} }, made);
    renewal?.endsHere();
  } catch (error) {
    if (isCancellation(error)) await renewal?.goOn();
    else renewal?.endsHere();
    const end: Values = isCancellation(error) ? { state: 'cancelled' } : { state: 'failed', error: reasonOf(error) };
    // The first failure is the one that people look for; a step of `finally` has its own in its record.
    await atEnd(end).catch((atEndError: unknown) => {
      if (!isStepFailure(atEndError)) throw atEndError;
    });
    throw error;
  }
  await atEnd({ state: 'done' });
}
