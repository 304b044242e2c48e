/** Runs the steps of a run or of another file, and when they have ended, however that was, those of `finally`. */

import { CancellationScope, CancelledFailure, isCancellation } from '@temporalio/workflow';
import type { PlannedScope } from '../plan/types.ts';
import { isStepFailure, reasonOf, type ScopeContext } from './execute-step.ts';
import { leaveUnattended } from './orders.ts';
import { runParts } from './run-parts.ts';
import { runScope } from './run-scope.ts';
import type { Bindings, Values } from './scope-messages.ts';

/** Answers what the steps left behind, and throws as they ended; where they were done, as those of `finally` did. */
export async function runToItsEnd(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings = { steps: {} },
): Promise<Bindings> {
  const made: { [id: string]: Values } = {};
  // An upgrade may come before the first step begins, and until the last has ended.
  const planned = () => (context.path === '' ? (context.mailbox.orders.plan ?? scope) : scope);
  const around = CancellationScope.current();
  const atEnd = async (run: Values) => {
    const { finally: steps, finallyParts: parts } = planned();
    if (steps === undefined) return;
    const bindings = { ...outer, steps: made, run };
    await afterwards(context, around, run.state === 'cancelled', async () => {
      await (parts === undefined
        ? runScope({ steps }, context, bindings)
        : runParts({ steps, parts }, context, bindings, {}, '#end'));
    });
  };
  context.mailbox.orders.attend(context.path);
  let ended: Bindings;
  try {
    ended = await runScope(planned(), context, outer, made);
  } catch (error) {
    // The first failure is the one that people look for; a step of `finally` has its own in its record.
    await atEnd(endOf(error)).catch((atEndError: unknown) => {
      if (!isStepFailure(atEndError)) throw atEndError;
    });
    throw error;
  }
  await atEnd({ state: 'done' });
  return ended;
}

/** What `run` is in the steps of `finally` after steps that threw this. */
export const endOf = (error: unknown): { readonly state: string; readonly error?: string } =>
  isCancellation(error) ? { state: 'cancelled' } : { state: 'failed', error: reasonOf(error) };

/**
 * Runs what a cancellation does not end; but once there was one, before or meanwhile, nobody is waited for. Throws as
 * cancelled where it came meanwhile. `around` is the scope that a cancellation ends.
 */
export async function afterwards(
  { path, mailbox: { orders } }: ScopeContext,
  around: CancellationScope,
  cancelled: boolean,
  work: () => Promise<void>,
): Promise<void> {
  const shielded = CancellationScope.nonCancellable(async () => {
    if (cancelled || around.consideredCancelled) await leaveUnattended(orders, path);
    else around.cancelRequested.catch(() => leaveUnattended(orders, path));
    await work();
  });
  await shielded.catch((error: unknown) => {
    if (!around.consideredCancelled || !isStepFailure(error)) throw error;
  });
  if (around.consideredCancelled) throw new CancelledFailure('Cancelled while the steps of finally ran');
}
