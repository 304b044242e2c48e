/** `hardcase cancel RUN`: ends a run for good; what is done stays in the store. */

import { writeRunState } from '../artifacts/run-record.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { type OperateOptions, whoOf } from './operate.ts';
import { CommandError, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

// Steps stop with a checkpoint, which may take a few seconds.
const cancelWaitMs = 30_000;

export async function runCancel(settings: Settings, name: string, options: OperateOptions): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  const { run, file } = header;
  if (isFinal(state.state)) {
    if (state.state !== 'cancelled') {
      throw new CommandError(`Run ${run} is ${state.state} already; there is nothing to cancel.`, exitCodes.input);
    }
    if (options.json) printJson({ run, cancelled: true });
    else print(`Run ${run} was cancelled before.`);
    return exitCodes.done;
  }
  const { sendCancel, WorkflowGoneError } = await import('./send-messages.ts');
  const { endStuckRun, StuckWorkflowError } = await import('./stuck-workflow.ts');
  const { cancelled } = await sendCancel(settings, store, header, whoOf(options), cancelWaitMs).catch(
    async (error: unknown) => {
      if (error instanceof StuckWorkflowError) {
        await endStuckRun(settings, store, header, whoOf(options));
        return { cancelled: true };
      }
      if (!(error instanceof WorkflowGoneError)) throw error;
      // The engine has forgotten it, so nobody else writes its record.
      const { takeRun } = await import('./claim-run.ts');
      await takeRun(settings, store, header);
      await writeRunState(store, run, { state: 'cancelled', endedAt: new Date().toISOString() });
      return { cancelled: true };
    },
  );
  if (options.json) printJson({ run, cancelled });
  else if (cancelled)
    print(
      `Run ${run} is cancelled. It can begin again, and reuse what is finished: ${ownCommand('run', file, '--run', run)}`,
    );
  else print(`Run ${run} was asked to stop; its steps are ending. See: ${ownCommand('status', run)}`);
  return exitCodes.done;
}
