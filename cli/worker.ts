/** `hardcase worker`: runs steps for a Temporal server that others share, until Ctrl-C. */

import { connectTemporal, openSettingsStore, temporalTarget } from './connect.ts';
import { listenForInterruption, stoppingWords } from './interruption.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, note, ownCommand, print } from './output.ts';
import { startWorker, type WorkerQueue, workerQueues } from './own-worker.ts';
import type { Settings } from './settings.ts';

export async function runWorker(settings: Settings, options: { readonly queues: string }): Promise<ExitCode> {
  const queues = readQueues(options.queues);
  const target = await temporalTarget(settings);
  if (target === null) {
    throw new CommandError(
      `"hardcase worker" serves a Temporal server that others use too, and none is named: set TEMPORAL_ADDRESS or --address. On one machine "${ownCommand('run', 'FILE')}" brings its own worker.`,
      exitCodes.usage,
    );
  }
  const { address } = target.options;
  if (!settings.store.startsWith('s3://') && !/^(localhost|127\.|\[?::1)/.test(address)) {
    note(
      `Warning: the store is the folder ${settings.store}, and the server is elsewhere (${address}). Workers of other machines do not see that folder, unless it is a network drive; set HARDCASE_STORE to s3://bucket/prefix.`,
    );
  }
  const store = await openSettingsStore(settings);
  const temporal = await connectTemporal(settings);
  const interruption = listenForInterruption(
    () => {},
    () => stoppingWords,
  );
  try {
    const worker = await startWorker(settings, temporal, store, queues);
    print(`Working for ${address} (${target.namespace}) on ${queues.join(', ')}; store ${store.url}. Ctrl-C stops it.`);
    try {
      while (!interruption.signal.aborted) {
        worker.check();
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      await worker.stop();
    }
  } finally {
    await temporal.close();
    interruption.restore();
  }
  return exitCodes.interrupted;
}

function readQueues(names: string): WorkerQueue[] {
  const queues = names.split(',').map((name) => name.trim());
  for (const name of queues) {
    if ((workerQueues as readonly string[]).includes(name)) continue;
    const near = didYouMean(name, workerQueues);
    throw new CommandError(
      `--queues: there is no queue "${name}".${near ? ` Did you mean "${near}"?` : ''} Queues: ${workerQueues.join(', ')}.`,
      exitCodes.usage,
    );
  }
  return queues as WorkerQueue[];
}
