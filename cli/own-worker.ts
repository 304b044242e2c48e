/** A worker in this process: of the embedded engine while a command lives, or of any server for `hardcase worker`. */

import type { Store } from '../artifacts/store.ts';
import type { HeldRun } from '../deploy/move-runs.ts';
import type { WorkerSettings } from '../deploy/worker.ts';
import type { Build } from '../plan/types.ts';
import type { TemporalConnection } from './connect.ts';
import { CommandError, exitCodes } from './output.ts';
import { installRuntime } from './sdk-runtime.ts';
import type { Settings } from './settings.ts';

/** Queues that every run uses; steps may name others with `queue`. */
export const workerQueues = ['workflows', 'cpu', 'train'] as const;

export interface OwnWorker {
  /** Throws when the worker has failed, and so runs no steps any more. */
  check(): void;
  /** Runs that another build began and that do not go on with this one. Empty where the server is not ours. */
  readonly heldRuns: readonly HeldRun[];
  /** This build. */
  readonly build: Build;
  /** Polls these queues too. */
  serve(queues: readonly string[]): Promise<void>;
  /** Steps save and end; resolves within about ten seconds. */
  stop(): Promise<void>;
}

export interface OwnWorkerOptions extends Pick<WorkerSettings, 'slots' | 'memoryMax'> {
  /** Bundled workflows; those of this build where it is not given. */
  readonly bundlePath?: string;
  /** Runs stay with the build that began them. */
  readonly versioned?: boolean;
}

export async function startWorker(
  settings: Settings,
  temporal: TemporalConnection,
  store: Store,
  queues: readonly string[],
  own: OwnWorkerOptions = {},
): Promise<OwnWorker> {
  // The native worker takes half a second to load, and reading commands do not need it.
  const worker = await import('../deploy/worker.ts');
  const { placeOfStore, workerIdentity } = await import('./other-workers.ts');
  const { buildOf, moveOpenRuns } = await import('../deploy/move-runs.ts');
  const { buildIdOf } = await import('../deploy/builds.ts');
  const logFile = await installRuntime(settings);
  const bundlePath = own.bundlePath ?? worker.defaultBundlePath();
  const build = await buildOf(bundlePath);
  const { claimOpenRuns } = await import('./claim-run.ts');
  // Before anything of them runs here.
  await claimOpenRuns(settings, store, temporal);
  const heldRuns = temporal.engine === null ? [] : await moveOpenRuns(temporal.client, store, bundlePath, build);
  const running = await worker.startWorker({
    connection: temporal.target.options,
    namespace: temporal.target.namespace,
    store,
    queuePrefix: settings.queue,
    queues,
    bundlePath,
    slots: own.slots,
    memoryMax: own.memoryMax,
    ...(own.versioned === true ? { deployment: { deploymentName: settings.queue, buildId: buildIdOf(build) } } : {}),
    // Nobody else serves the embedded engine.
    ...(temporal.engine === null ? { identity: workerIdentity(await placeOfStore(store)) } : {}),
  });
  let failure: unknown;
  let stopping = false;
  running.stopped.catch((error: unknown) => {
    failure = error;
  });
  return {
    heldRuns,
    build,
    check: () => {
      if (failure === undefined || stopping) return;
      throw new CommandError(
        `The worker of this command failed: ${failure instanceof Error ? failure.message : String(failure)}. More is in ${logFile}. Run the same command again to go on.`,
        exitCodes.engine,
        failure,
      );
    },
    serve: (more) => running.serve(more),
    stop: async () => {
      stopping = true;
      await running.shutdown().catch(() => undefined);
    },
  };
}
