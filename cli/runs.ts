/** `hardcase runs`: every run of the store, newest first. */

import { listRuns } from '../artifacts/run-record.ts';
import { openExistingStore } from './connect.ts';
import {
  type ExitCode,
  exitCodes,
  formatDuration,
  formatMoment,
  ownCommand,
  paintState,
  print,
  printJson,
  table,
} from './output.ts';
import { readRunView } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runRuns(settings: Settings, options: { readonly json?: boolean }): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const rows = [];
  for (const { header } of await listRuns(store)) {
    const view = await readRunView(store, header.run);
    if (view !== null) rows.push(view);
  }
  if (options.json) {
    printJson(
      rows.map((view) => ({
        run: view.header.run,
        ...(view.header.fork === undefined ? {} : { fork: view.header.fork }),
        pipeline: view.header.pipeline,
        state: view.state,
        file: view.header.file,
        planDigest: view.header.planDigest,
        createdAt: view.header.createdAt,
        startedAt: view.record.startedAt,
        endedAt: view.record.endedAt,
      })),
    );
    return exitCodes.done;
  }
  if (rows.length === 0) {
    print(`There are no runs in ${store.url} yet. Start one: ${ownCommand('run', 'FILE')}`);
    return exitCodes.done;
  }
  print(
    table(
      rows.map((view) => {
        const done = view.steps.filter((step) => step.state === 'done' || step.state === 'skipped').length;
        const ended = view.record.endedAt;
        return [
          view.header.run,
          paintState(view.state),
          formatMoment(view.header.createdAt),
          ended ? `took ${formatDuration(Date.parse(ended) - Date.parse(view.header.createdAt))}` : '',
          `${done} of ${view.steps.length} steps`,
          view.header.fork === undefined
            ? view.header.file
            : `fork of ${view.header.fork.run} from ${view.header.fork.from}`,
        ];
      }),
    ),
  );
  return exitCodes.done;
}
