/** What workflows import that `hardcase compile` writes, and that people may write like it. */

import { ApplicationFailure } from '@temporalio/workflow';
import type { RunArguments, RunSummary } from '../messages.ts';
import { runPipeline } from '../run-pipeline.ts';
import { FileSteps } from './steps.ts';

export type { Json } from '../../plan/types.ts';
// Trials of a capacity search and turns of a concurrency group are workflows of their own.
export { default } from '../index.ts';
export type { RunArguments, RunSummary } from '../messages.ts';
export * from './kinds.ts';
export type { LoopOutputs } from './loop.ts';
export { type Each, FileSteps, type LegsOutputs, type RunEnd, type Step, Steps, skip } from './steps.ts';
export * from './values.ts';

/**
 * Opens the run's record, runs its steps, and closes the record. Operations and answers come as to any run. `planDigest`:
 * the plan that the workflow was compiled from; a run of another plan fails.
 */
export async function runWorkflow(
  args: RunArguments,
  planDigest: string,
  work: (steps: FileSteps) => Promise<void>,
): Promise<RunSummary> {
  return runPipeline(args, async (_, context) => {
    if (args.planDigest !== planDigest) {
      const message = `The run has the plan ${args.planDigest.slice(0, 12)}, and this workflow was compiled from ${planDigest.slice(0, 12)}. Compile the pipeline again, with the run's params.`;
      throw ApplicationFailure.nonRetryable(message, 'OtherPlan');
    }
    const steps = new FileSteps(context);
    await work(steps);
    await steps.closed();
  });
}
