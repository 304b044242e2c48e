/** `hardcase watch RUN`: follows a run that goes on elsewhere, from its record alone. */

import { openExistingStore } from './connect.ts';
import { engineDownWords, isEngineDown } from './engine-down.ts';
import { findRun } from './find-run.ts';
import { followRun } from './follow-run.ts';
import { type ExitCode, exitCodes, note, print, printJson } from './output.ts';
import { readerGone } from './reader.ts';
import { writeReport } from './report.ts';
import { isFinal, statusJson } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runWatch(
  settings: Settings,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  if (!isFinal(state.state) && (await isEngineDown(settings))) note(engineDownWords(header));
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const output = options.json ? process.stderr : process.stdout;
  const unread = readerGone(output);
  const view = await followRun({
    store,
    run: header.run,
    output,
    signal: AbortSignal.any([interrupted.signal, unread]),
    untilWaiting: false,
    untilHeld: false,
  });
  process.off('SIGINT', interrupt);
  process.off('SIGTERM', interrupt);
  if (interrupted.signal.aborted && !isFinal(view.state)) return exitCodes.interrupted;
  if (unread.aborted && !isFinal(view.state)) return exitCodes.done;
  if (options.json) printJson(statusJson(view));
  const report = await writeReport(store, view, settings.folder);
  if (report && !options.json) print(`${report.summary}\n\nReport: ${report.html}`);
  return view.state === 'done' ? exitCodes.done : exitCodes.engine;
}
