/** The root of a run: settles what holds for the whole of it, runs the pipeline's steps, and closes the record. */

import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { control } from './control.ts';
import { DecisionDesk } from './decision-desk.ts';
import { Mailbox, receiveChildStates } from './mailbox.ts';
import type { RunArguments, RunSummary } from './messages.ts';
import { runToItsEnd } from './run-to-its-end.ts';
import { openScopeState } from './scope-state.ts';

export async function runPipeline({ run, pipeline, planDigest, seed, ...given }: RunArguments): Promise<RunSummary> {
  try {
    const mailbox = new Mailbox();
    const state = openScopeState((published) => control('record-run', { run, state: published }));
    receiveChildStates(state, mailbox);
    const scope = given.scope ?? (await control('load-plan', { planDigest }));
    const desk = new DecisionDesk(run, scope, mailbox);
    desk.open();
    const environment = await control('open-run', { run, planDigest });

    const context = { run, pipeline, seed, environment, path: '', mailbox, root: desk, state };
    await runToItsEnd(scope, context);

    state.close();
    await desk.close();
    await control('close-run', { run, state: 'done' });
    return { state: 'done' };
  } catch (error) {
    const cancelled = isCancellation(error);
    const message = cancelled ? undefined : error instanceof Error ? error.message : String(error);
    // Also when the run was cancelled, its record must say so.
    await CancellationScope.nonCancellable(() =>
      control('close-run', { run, state: cancelled ? 'cancelled' : 'failed', error: message }),
    );
    throw error;
  }
}
