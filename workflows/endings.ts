/** An end (`finally`) that is cut because the run goes on in a new history, and goes on there: what is kept, and found again. */

import { ApplicationFailure, CancelledFailure, isCancellation } from '@temporalio/workflow';
import type { SettledStep } from '../activities/endings.ts';
import { stepPath } from '../plan/paths.ts';
import type { Ending, PlannedScope, PlannedStep } from '../plan/types.ts';
import { takeBundle } from './bundles.ts';
import { control } from './control.ts';
import { reasonOf, type ScopeContext, typeOf } from './execute-step.ts';
import type { Values } from './scope-messages.ts';
import { failedEnd, type StepEnd } from './step-end.ts';

type Made = { readonly [id: string]: Values };

/** How steps ended that threw this, or, without it, were done. */
export function endingOf(error?: unknown): Ending {
  const at = new Date().toISOString();
  if (error === undefined) return { state: 'done', at };
  if (isCancellation(error)) return { state: 'cancelled', at };
  return { state: 'failed', error: reasonOf(error), errorType: typeOf(error), at };
}

/** What they threw; undefined where they were done. */
export function thrownBy({ state, error = '', errorType }: Ending): Error | undefined {
  if (state === 'done') return undefined;
  return state === 'cancelled'
    ? new CancelledFailure('Cancelled before')
    : ApplicationFailure.nonRetryable(error, errorType);
}

/** What `run` is in steps of `finally`. */
export const runAfter = ({ state, error }: Ending): Values => (error === undefined ? { state } : { state, error });

/** `path`: of the step that imports the file; empty for the run, whose workflow hands over the ending itself. */
export async function keepEnding(run: string, path: string, ending: Ending, made: Made): Promise<void> {
  const left = Object.entries(made);
  for (let isFirst = true; isFirst || left.length > 0; isFirst = false) {
    await control('keep-ending', { run, path, ending, made: Object.fromEntries(takeBundle(left)), isFirst });
  }
}

export async function loadMade(run: string, path: string): Promise<Made> {
  const made: { [id: string]: Values } = {};
  for (let from: number | null = 0; from !== null; ) {
    const page: Awaited<ReturnType<typeof nextPage>> = await nextPage(run, path, from);
    Object.assign(made, page.made);
    from = page.next;
  }
  return made;
}

const nextPage = (run: string, path: string, from: number) => control('load-made', { run, path, from });

/** What earlier histories have of the steps of a scope, by id, within an end that goes on. */
export async function settledSteps(
  { steps }: PlannedScope,
  { run, path, settledSince: since }: ScopeContext,
): Promise<{ readonly [id: string]: SettledStep }> {
  if (since === undefined) return {};
  const found: { [id: string]: SettledStep } = {};
  for (let ids: readonly string[] = steps.map(({ id }) => id); ids.length > 0; ) {
    const page: Awaited<ReturnType<typeof nextSettled>> = await nextSettled(run, path, ids, since);
    Object.assign(found, page.settled);
    ids = page.left;
  }
  return found;
}

const nextSettled = (run: string, path: string, ids: readonly string[], since: string) =>
  control('load-settled', { run, path, ids, since });

/** How the step ended; null where it was held. */
export function endBefore(step: PlannedStep, within: string, settled: SettledStep): StepEnd | null {
  if ('held' in settled) return null;
  if ('outputs' in settled) return settled;
  const path = stepPath(within, step.id);
  return failedEnd(path, step.onFailure, ApplicationFailure.nonRetryable(settled.error, settled.errorType));
}
