/** `hardcase worker`: runs steps for a Temporal server that others share, until Ctrl-C. */

import { existsSync } from 'node:fs';
import { queueName } from '../workflows/messages.ts';
import { connectTemporal, openSettingsStore, temporalTarget } from './connect.ts';
import { listenForInterruption, stoppingWords } from './interruption.ts';
import { CommandError, type ExitCode, exitCodes, note, ownCommand, print } from './output.ts';
import { startWorker, workerQueues } from './own-worker.ts';
import { servePageBeside } from './review-page.ts';
import type { Settings } from './settings.ts';

export async function runWorker(
  settings: Settings,
  options: { readonly queues: string; readonly review?: boolean; readonly workflows?: readonly string[] },
): Promise<ExitCode> {
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
      `Warning: the store is the folder ${settings.store}, and the server is elsewhere (${address}). Workers of other machines are refused beside this one; to share the work, set HARDCASE_STORE to s3://bucket/prefix.`,
    );
  }
  const store = await openSettingsStore(settings);
  const temporal = await connectTemporal(settings);
  const interruption = listenForInterruption(
    () => {},
    () => stoppingWords,
  );
  try {
    const { problemOfWorkers, workersOf } = await import('./other-workers.ts');
    const names = [...new Set([...workerQueues, ...queues])].map((queue) => queueName(settings.queue, queue));
    const problem = problemOfWorkers(store.url, await workersOf(temporal, names));
    if (problem !== null) throw new CommandError(problem, exitCodes.usage);
    const bundlePath = await bundleOf(settings, options.workflows ?? []);
    const worker = await startWorker(settings, temporal, store, queues, bundlePath);
    print(`Working for ${address} (${target.namespace}) on ${queues.join(', ')}; store ${store.url}. Ctrl-C stops it.`);
    let page: Awaited<ReturnType<typeof servePageBeside>> | null = null;
    try {
      if (options.review) {
        page = await servePageBeside(settings, store, temporal);
        print(`Review page: ${page.link}`);
      }
      while (!interruption.signal.aborted) {
        worker.check();
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      await page?.close();
      await worker.stop();
    }
  } finally {
    await temporal.close();
    interruption.restore();
  }
  return exitCodes.interrupted;
}

/** Of compiled workflows; undefined where there are none, which is the shipped one. */
async function bundleOf({ folder }: Settings, files: readonly string[]): Promise<string | undefined> {
  if (files.length === 0) return undefined;
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) {
    throw new CommandError(
      `--workflows ${missing}: there is no such file. Write it with "hardcase compile".`,
      exitCodes.usage,
    );
  }
  const { bundleCompiled } = await import('../deploy/bundle-compiled.ts');
  return await bundleCompiled(files, folder).catch((error: unknown) => {
    const message = `The workflows in ${files.join(', ')} cannot be bundled: ${error instanceof Error ? error.message : String(error)}`;
    throw new CommandError(message, exitCodes.input, error);
  });
}

/** Any name that a step may have for its `queue`; that it is none of the usual ones is said, as it may be mistyped. */
function readQueues(names: string): string[] {
  const queues = [...new Set(names.split(',').map((name) => name.trim()))];
  const wrong = queues.find((name) => !/^[a-z][a-z0-9-]{0,63}$/.test(name));
  if (wrong !== undefined) {
    throw new CommandError(
      `--queues: "${wrong}" is no name of a queue. Expected ${workerQueues.join(', ')}, or what a step names with "queue" (small letters, digits and -).`,
      exitCodes.usage,
    );
  }
  const own = queues.filter((name) => !(workerQueues as readonly string[]).includes(name));
  if (own.length > 0) note(`${own.join(', ')}: for steps with "queue: ${own[0]}".`);
  return queues;
}
