/** `hardcase retry RUN [STEP]`: lets held steps try again. */

import { userInfo } from 'node:os';
import { readStepRecords } from '../artifacts/run-record.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runRetry(
  settings: Settings,
  name: string,
  step: string | undefined,
  options: { readonly by?: string; readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  if (isFinal(state.state)) {
    throw new CommandError(
      `Run ${header.run} is ${state.state}, so nothing of it is held. It begins again, and reuses what is finished, with: ${ownCommand('run', header.file, '--run', header.run)}`,
      exitCodes.input,
    );
  }
  const held = (await readStepRecords(store, header.run)).filter((record) => record.state === 'held');
  const paths = held.map(({ path }) => path);
  if (held.length === 0) throw new CommandError(`No step of ${header.run} is held.`, exitCodes.input);
  if (step !== undefined && !paths.includes(step)) {
    const near = didYouMean(step, paths);
    throw new CommandError(
      `Step "${step}" of ${header.run} is not held.${near ? ` Did you mean "${near}"?` : ''} Held: ${paths.join(', ')}.`,
      exitCodes.usage,
    );
  }
  const { sendRetry } = await import('./send-messages.ts');
  const by = options.by ?? userInfo().username;
  const answer = await sendRetry(settings, store, header, { by, ...(step === undefined ? {} : { path: step }) });
  if (options.json) printJson({ run: header.run, retried: answer.retried });
  else {
    print(`Trying again: ${answer.retried.join(', ') || 'nothing'} (${header.run}).`);
    if (answer.goOn !== undefined) print(`Nothing runs it at the moment; it goes on with: ${answer.goOn}`);
  }
  return exitCodes.done;
}
