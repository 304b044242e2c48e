/** How a step ends, whoever runs it: done, skipped, or failed; and the record that says so. */

import { type ApplicationFailure, isCancellation } from '@temporalio/workflow';
import type { OnFailure } from '../plan/types.ts';
import { control } from './control.ts';
import { holdUntilDone, isStepFailure, type ScopeContext, scopeFailure } from './execute-step.ts';
import { StepSkipped } from './orders.ts';
import type { Values } from './scope-messages.ts';

/**
 * How a step ended. One that reads what is not there (`absent`, as written) is skipped as if its `when` were false, and
 * so is one that failed with `onFailure: continue`. `behind` is a step that failed for good: what waits for it is
 * skipped. `why`: in the words of who had it skipped.
 */
export type StepEnd =
  | { readonly outputs: Values }
  | { readonly skipped: true; readonly absent?: string; readonly behind?: string; readonly why?: string }
  | { readonly failed: ApplicationFailure; readonly behind?: string };

/** One step: skipped, or tried until it is done. */
export async function tryUntilEnded(
  step: { readonly path: string; readonly kind: string; readonly onFailure?: OnFailure },
  context: ScopeContext,
  attempt: (holds: number) => Promise<StepEnd>,
): Promise<StepEnd> {
  const { path, kind, onFailure } = step;
  let end: StepEnd;
  try {
    end = await holdUntilDone(context, { path, kind }, attempt, onFailure);
  } catch (error) {
    if (error instanceof StepSkipped) end = { skipped: true, why: error.message };
    else if (isCancellation(error) || !isStepFailure(error)) throw error;
    else {
      const failed = scopeFailure(path, error);
      return onFailure === 'continue' ? { failed } : { failed, behind: path };
    }
  }
  if ('skipped' in end) {
    const error = end.absent === undefined ? undefined : `It reads ${end.absent}, which is not there.`;
    await control('record-step', { run: context.run, change: { path, kind, state: 'skipped', error, note: end.why } });
  }
  return end;
}
