/** Has it said in a step's record that nobody serves the step's queue, for as long as that is so. */

import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { control, siblingQueue } from './control.ts';
import type { ScopeContext } from './execute-step.ts';

// A worker that serves the queue takes the step up within milliseconds.
const firstLookMs = 2_000;
// Each look costs events of the history, and people may add a worker after days.
const longestMs = 3_600_000;

interface QueuedStep {
  readonly path: string;
  readonly kind: string;
  /** As in the plan. */
  readonly queue: string;
  /** Of a program that is not ours: its name is the whole name. */
  readonly foreign?: boolean;
}

export function whileTellingUnserved<Result>(
  context: ScopeContext,
  { path, kind, queue, foreign = false }: QueuedStep,
  work: () => Promise<Result>,
): Promise<Result> {
  // The queues of every run: that no worker is there at all is told by the command.
  if (!foreign && (queue === 'cpu' || queue === 'train')) return work();
  return whileLooking(context, { path, kind, queue, foreign }, work);
}

async function whileLooking<Result>(
  context: ScopeContext,
  { path, kind, queue, foreign }: QueuedStep,
  work: () => Promise<Result>,
): Promise<Result> {
  const looking = new CancellationScope();
  const look = async () => {
    const request = { run: context.run, path, kind, queue: foreign ? queue : siblingQueue(queue) };
    for (let waitMs = firstLookMs; ; waitMs = Math.min(2 * waitMs, longestMs)) {
      await sleep(waitMs);
      if (await control('check-queue', request)) return;
    }
  };
  looking.run(look).catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });
  try {
    return await work();
  } finally {
    looking.cancel();
  }
}
