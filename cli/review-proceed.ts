/** `hardcase review proceed`: ends the wait of a gate, so that the run goes on with what is decided. */

import { userInfo } from 'node:os';
import { readGate } from '../artifacts/gate-record.ts';
import { readGateView } from '../review/gate-view.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { CommandError, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runReviewProceed(
  settings: Settings,
  runName: string,
  gatePath: string,
  options: { readonly by?: string; readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, runName);
  const gate = await readGate(store, header.run, gatePath);
  if (gate === null || gate.state !== 'open' || isFinal(state.state)) {
    throw new CommandError(
      `The gate "${gatePath}" of ${header.run} does not wait for decisions. See "${ownCommand('review', 'list', header.run)}".`,
      exitCodes.usage,
    );
  }
  const { candidates, decided } = await readGateView(store, header.run, gate);
  const undecided = candidates.filter(({ id }) => !decided.has(id)).length;
  const by = options.by ?? userInfo().username;
  const { sendProceed } = await import('./send-messages.ts');
  const { goOn } = await sendProceed(settings, store, header, gatePath, by);
  if (options.json)
    printJson({ run: header.run, gate: gatePath, by, decided: candidates.length - undecided, undecided });
  else {
    print(
      `${header.run} ${gatePath} goes on with ${candidates.length - undecided} decisions; ${undecided} candidates keep their labels.`,
    );
    if (goOn !== undefined) print(`The run goes on with: ${goOn}`);
  }
  return exitCodes.done;
}
