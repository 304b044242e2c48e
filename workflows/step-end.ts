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
export function tryUntilEnded(
  { onFailure, ...step }: { readonly path: string; readonly kind: string; readonly onFailure?: OnFailure },
  context: ScopeContext,
  attempt: (holds: number) => Promise<StepEnd> | StepEnd,
): Promise<StepEnd> {
  const skipped = async (end: Extract<StepEnd, { skipped: true }>): Promise<StepEnd> => {
    const error = end.absent === undefined ? undefined : `It reads ${end.absent}, which is not there.`;
    await control('record-step', { run: context.run, change: { ...step, state: 'skipped', error, note: end.why } });
    return end;
  };
  return holdUntilDone(context, step, attempt, onFailure).then(
    (end) => ('skipped' in end ? skipped(end) : end),
    (error: unknown) => {
      if (error instanceof StepSkipped) return skipped({ skipped: true, why: error.message });
      if (isCancellation(error) || !isStepFailure(error)) throw error;
      return failedEnd(step.path, onFailure, error);
    },
  );
}

/** A step that failed for good. */
export function failedEnd(path: string, onFailure: OnFailure | undefined, error: unknown): StepEnd {
  const failed = scopeFailure(path, error);
  return onFailure === 'continue' ? { failed } : { failed, behind: path };
}
