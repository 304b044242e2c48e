/** What workflows import that `hardcase compile` writes, and that people may write like it. */

import { ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import { isStepFailure, reasonOf } from '../execute-step.ts';
import type { RunArguments, RunSummary } from '../messages.ts';
import { runPipeline } from '../run-pipeline.ts';
import { Steps } from './steps.ts';
import { present } from './values.ts';

export type { Json } from '../../plan/types.ts';
// Trials of a capacity search and turns of a concurrency group are workflows of their own.
export { default } from '../index.ts';
export type { RunArguments, RunSummary } from '../messages.ts';
export * from './kinds.ts';
export type { LoopOutputs } from './loop.ts';
export { type Each, type LegsOutputs, type Step, Steps, skip } from './steps.ts';
export * from './values.ts';

/** How the steps of a run ended, for those that run afterwards. */
export interface RunEnd {
  readonly state: 'done' | 'failed' | 'cancelled';
  /** Where it failed. */
  readonly error: string;
}

/** The steps of a run, and those that run when it has ended, however that was. */
export class RunSteps extends Steps {
  #error: unknown = null;
  #isOver = false;

  /** Resolves when every step has ended, also where one failed: `closed` throws that. */
  async over(): Promise<RunEnd> {
    this.#isOver = true;
    try {
      await this.ended();
      return present<RunEnd>({ state: 'done' }, 'run');
    } catch (error) {
      this.#error = error;
      const end = isCancellation(error) ? { state: 'cancelled' } : { state: 'failed', error: reasonOf(error) };
      return present<RunEnd>(end, 'run');
    }
  }

  /** Runs steps that a cancelled run has too. */
  async atEnd(work: (steps: Steps) => Promise<void>): Promise<void> {
    try {
      await CancellationScope.nonCancellable(() => work(new Steps(this.context)));
    } catch (error) {
      // The first failure is the one that people look for; a step of the end has its own in its record.
      if (this.#error === null || !isStepFailure(error)) throw error;
    }
  }

  async closed(): Promise<void> {
    if (!this.#isOver) await this.ended();
    if (this.#error !== null) throw this.#error;
  }
}

/**
 * Opens the run's record, runs its steps, and closes the record. Operations and answers come as to any run. `planDigest`:
 * the plan that the workflow was compiled from; a run of another plan fails.
 */
export async function runWorkflow(
  args: RunArguments,
  planDigest: string,
  work: (steps: RunSteps) => Promise<void>,
): Promise<RunSummary> {
  return runPipeline(args, async (_, context) => {
    if (args.planDigest !== planDigest) {
      const message = `The run has the plan ${args.planDigest.slice(0, 12)}, and this workflow was compiled from ${planDigest.slice(0, 12)}. Compile the pipeline again, with the run's params.`;
      throw ApplicationFailure.nonRetryable(message, 'OtherPlan');
    }
    const steps = new RunSteps(context);
    await work(steps);
    await steps.closed();
  });
}
