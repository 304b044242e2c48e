/** Runs the steps of a run or of another file, and when they have ended, however that was, those of `finally`. */

import { CancellationScope, CancelledFailure, condition, isCancellation } from '@temporalio/workflow';
import type { PlannedScope } from '../plan/types.ts';
import { isStepFailure, reasonOf, type ScopeContext } from './execute-step.ts';
import { leaveUnattended } from './orders.ts';
import { runOwedEnds } from './owed-ends.ts';
import type { Renewal } from './renewal.ts';
import { runParts } from './run-parts.ts';
import { runScope } from './run-scope.ts';
import type { Bindings, Values } from './scope-messages.ts';

/**
 * Answers what the steps left behind, and throws as they ended; where they were done, as those of `finally` did. Where
 * they ended because the history has become long, the run goes on in a new one.
 */
export async function runToItsEnd(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings = { steps: {} },
  renewal?: Renewal,
): Promise<Bindings> {
  const made: { [id: string]: Values } = {};
  // An upgrade may come before the first step begins, and until the last has ended.
  const planned = () => (context.path === '' ? (context.mailbox.orders.plan ?? scope) : scope);
  const { ends } = context.mailbox;
  const around = CancellationScope.current();
  // Also a new history is begun by a cancellation of all steps.
  const isCancelled = () => (renewal === undefined ? around.consideredCancelled : renewal.isCancelled);
  const atEnd = async (run: Values) => {
    const owed = renewal?.owesEnds === true ? renewal.planDigest : null;
    if (planned().finally === undefined && owed === null) return;
    await ends.run(() =>
      afterwards(context, isCancelled, run.state === 'cancelled', async () => {
        if (owed !== null) await runOwedEnds(owed, planned(), context);
        await runEnd(planned(), context, { ...outer, steps: made, run });
      }),
    );
  };
  const mayEnd = async () => {
    if (renewal === undefined && planned().finally !== undefined && ends.isHeld) await ends.released();
  };
  context.mailbox.orders.attend(context.path);
  let ended: Bindings;
  try {
    ended = await runScope(planned(), context, outer, made);
    renewal?.endsHere();
  } catch (error) {
    if (!isCancellation(error)) renewal?.endsHere();
    else if (renewal !== undefined) await renewal.goOn();
    // It was not cancelled: the run goes on in a new history, and so will this.
    else if (ends.isHeld) throw error;
    await mayEnd();
    // The first failure is the one that people look for; a step of `finally` has its own in its record.
    await atEnd(endOf(error)).catch((atEndError: unknown) => {
      if (!isStepFailure(atEndError)) throw atEndError;
    });
    throw error;
  }
  await mayEnd();
  await atEnd({ state: 'done' });
  return ended;
}

/** The steps of `finally` of a run or of another file, where it has some. */
export async function runEnd(
  { finally: steps, finallyParts: parts }: PlannedScope,
  context: ScopeContext,
  bindings: Bindings,
): Promise<void> {
  if (steps === undefined) return;
  await (parts === undefined
    ? runScope({ steps }, context, bindings)
    : runParts({ steps, parts }, context, bindings, {}, '#end'));
}

/** What `run` is in the steps of `finally` after steps that threw this. */
export const endOf = (error: unknown): { readonly state: string; readonly error?: string } =>
  isCancellation(error) ? { state: 'cancelled' } : { state: 'failed', error: reasonOf(error) };

/**
 * Runs what a cancellation does not end; but once there was one, before or meanwhile, nobody is waited for. Throws as
 * cancelled where it came meanwhile.
 */
export async function afterwards(
  { path, mailbox: { orders } }: ScopeContext,
  isCancelled: () => boolean,
  cancelled: boolean,
  work: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const shielded = CancellationScope.nonCancellable(async () => {
    if (cancelled || isCancelled()) await leaveUnattended(orders, path);
    else void condition(() => isOver || isCancelled()).then(() => (isOver ? undefined : leaveUnattended(orders, path)));
    await work();
  });
  try {
    await shielded;
  } catch (error) {
    if (!isCancelled() || !isStepFailure(error)) throw error;
  } finally {
    isOver = true;
  }
  if (isCancelled()) throw new CancelledFailure('Cancelled while the steps of finally ran');
}
