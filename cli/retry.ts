/** `hardcase retry RUN [STEP]`: lets held steps try again, one of them also with other parameters. */

import { readRun, readStepRecord, readStepRecords } from '../artifacts/run-record.ts';
import { readChangedParameters } from './changed-parameters.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { type OperateOptions, planStepOf, whoOf } from './operate.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runRetry(
  settings: Settings,
  name: string,
  step: string | undefined,
  words: readonly string[],
  options: OperateOptions,
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
  if (words.length > 0 && step === undefined) {
    throw new CommandError('-p changes parameters of one step: name the step too.', exitCodes.usage);
  }
  const set =
    words.length === 0 || step === undefined
      ? undefined
      : readChangedParameters(words, step, (await planStepOf(store, header, step)).step);
  const { sendOperation } = await import('./send-messages.ts');
  const message = {
    ...whoOf(options),
    ...(step === undefined ? {} : { path: step }),
    ...(set === undefined ? {} : { set }),
  };
  // Until the record shows it, "status" would go on calling the steps held.
  const goesOn = async ({ steps }: { readonly steps: readonly string[] }) => {
    if ((await readRun(store, header.run))?.state.state === 'held') return false;
    const records = await Promise.all(steps.map((path) => readStepRecord(store, header.run, path)));
    return records.every((record) => record?.state !== 'held');
  };
  const answer = await sendOperation(settings, store, header, 'retry', message, goesOn);
  if (options.json) printJson({ run: header.run, retried: answer.steps });
  else {
    print(`Trying again: ${answer.steps.join(', ') || 'nothing'} (${header.run}).`);
    if (answer.goOn !== undefined) print(`Nothing runs it at the moment; it goes on with: ${answer.goOn}`);
  }
  return exitCodes.done;
}
