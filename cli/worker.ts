/** `hardcase worker`: runs steps for a Temporal server that others share, until Ctrl-C. */

import { existsSync } from 'node:fs';
import type { Build } from '../plan/types.ts';
import { connectTemporal, openSettingsStore, type TemporalConnection, temporalTarget } from './connect.ts';
import { listenForInterruption, stoppingWords } from './interruption.ts';
import { CommandError, type ExitCode, exitCodes, note, ownCommand, print } from './output.ts';
import { startWorker, workerQueues } from './own-worker.ts';
import { servePageBeside } from './review-page.ts';
import type { Settings } from './settings.ts';

export async function runWorker(
  settings: Settings,
  options: {
    readonly queues: string;
    readonly review?: boolean;
    readonly workflows?: readonly string[];
    /** `train=1,cpu=8` */
    readonly slots?: string;
    /** `80`, `80%` */
    readonly memory?: string;
    readonly versioned?: boolean;
  },
): Promise<ExitCode> {
  const queues = readQueues(options.queues);
  const slots = options.slots === undefined ? undefined : readSlots(options.slots, queues);
  const memoryMax = options.memory === undefined ? undefined : readShare(options.memory);
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
    const { placeOfStore, problemOfStarted, problemOfWorkers, workersOf } = await import('./other-workers.ts');
    const place = await placeOfStore(store);
    const others = () => workersOf(temporal, settings.queue, [...workerQueues, ...queues]);
    refuse(problemOfWorkers(place, await others()));
    const bundlePath = await bundleOf(settings, options.workflows ?? []);
    const { versioned = false } = options;
    const worker = await startWorker(settings, temporal, store, queues, { bundlePath, slots, memoryMax, versioned });
    const served = queues.map((queue) =>
      slots?.[queue] === undefined ? queue : `${queue} (${slots[queue]} at a time)`,
    );
    print(`Working for ${address} (${target.namespace}) on ${served.join(', ')}; store ${store.url}. Ctrl-C stops it.`);
    // Which build new runs go to is the business of who runs their workflows.
    if (versioned && queues.includes('workflows')) await tellBuild(settings, temporal, worker.build);
    let page: Awaited<ReturnType<typeof servePageBeside>> | null = null;
    try {
      if (options.review) {
        page = await servePageBeside(settings, store, temporal);
        print(`Review page: ${page.link}`);
      }
      const startedAt = Date.now();
      let looks = 0;
      while (!interruption.signal.aborted) {
        worker.check();
        if (looks < looksAtMs.length && Date.now() - startedAt > looksAtMs[looks]!) {
          looks++;
          // A server that is away has told nobody of new workers either.
          refuse(problemOfStarted(place, await others().catch(() => [])));
        }
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

/** Workers that start at the same moment do not see each other before; on a busy machine a start takes half a minute. */
const looksAtMs = [3_000, 10_000, 30_000, 60_000];

function refuse(problem: string | null): void {
  if (problem !== null) throw new CommandError(problem, exitCodes.usage);
}

/** A build takes the runs that begin where no other does, or none that lives. */
async function tellBuild(settings: Settings, temporal: TemporalConnection, build: Build): Promise<void> {
  const { buildIdOf, makeCurrentIfFree } = await import('../deploy/builds.ts');
  const { serverOf } = await import('./builds.ts');
  const version = { deploymentName: settings.queue, buildId: buildIdOf(build) };
  const other = await makeCurrentIfFree(serverOf(temporal), version);
  print(
    other === null
      ? `Build ${version.buildId}: runs that begin come here, and stay with it.`
      : `Build ${version.buildId}: its runs stay with it. Runs that begin go to build ${other}; to have them come here: ${ownCommand('builds', '--current', version.buildId)}`,
  );
}

function readSlots(text: string, queues: readonly string[]): { readonly [queue: string]: number } {
  const slots: { [queue: string]: number } = {};
  for (const word of text.split(',')) {
    const [, queue = '', count] = /^\s*([a-z][a-z0-9-]*)=([1-9]\d{0,2})\s*$/.exec(word) ?? [];
    if (count === undefined || !queues.includes(queue) || queue === 'workflows') {
      throw new CommandError(
        `--slots: "${word}" is no number of steps at a time of a queue that this worker serves. Expected QUEUE=NUMBER, such as train=1,cpu=8, with one of ${queues.filter((name) => name !== 'workflows').join(', ') || 'its queues'}.`,
        exitCodes.usage,
      );
    }
    slots[queue] = Number(count);
  }
  return slots;
}

function readShare(text: string): number {
  const [, percent] = /^(\d{1,2})%?$/.exec(text) ?? [];
  if (percent !== undefined && Number(percent) >= 10) return Number(percent) / 100;
  throw new CommandError(
    `--memory: "${text}" is no share of the machine's memory. Expected 10 to 99 (percent).`,
    exitCodes.usage,
  );
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
