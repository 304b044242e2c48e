/** Starts the workers of one process: a Temporal worker a task queue, stopped together, with a checkpoint. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { IllegalStateError, type WorkerDeploymentVersion } from '@temporalio/common';
import {
  GracefulShutdownPeriodExpiredError,
  NativeConnection,
  type NativeConnectionOptions,
  Worker,
  type WorkerDeploymentOptions,
  type WorkerOptions,
} from '@temporalio/worker';
import type { AnyStepImplementation } from '../activities/context.ts';
import { describeEnvironment } from '../activities/environment.ts';
import { type Activity, createActivities } from '../activities/index.ts';
import type { Store } from '../artifacts/store.ts';
import type { RunEnvironment } from '../plan/types.ts';
import { queueName } from '../workflows/messages.ts';

/** `workflows`, `cpu`, `train`, and what steps name with `queue`. */
export type WorkQueue = string;

export interface WorkerSettings {
  /** As `@temporalio/envconfig` reads it; `address` alone for a server on this machine. */
  readonly connection: NativeConnectionOptions | NativeConnection;
  readonly namespace: string;
  readonly store: Store;
  /** `hardcase` unless HARDCASE_QUEUE says otherwise. */
  readonly queuePrefix: string;
  readonly queues: readonly WorkQueue[];
  /** How Temporal names this worker to others; process and host where it is not given. */
  readonly identity?: string;
  /** Pins runs to this version of the workers (Worker Versioning); absent: any worker takes any run. */
  readonly deployment?: WorkerDeploymentVersion;
  /** Steps at a time, by queue; 4 of `cpu` and 1 of any other where it is not said. */
  readonly slots?: { readonly [queue: string]: number };
  /** No step beyond the first of a queue begins while more of the machine's memory is in use, 0..1. */
  readonly memoryMax?: number;
  /** Bundled workflows; the one beside the compiled code where it is not given. */
  readonly bundlePath?: string;
  /** In place of the shipped step kinds and this machine's description, for tests. */
  readonly implementations?: { readonly [kind: string]: AnyStepImplementation };
  readonly describeEnvironment?: () => Promise<RunEnvironment>;
}

export interface RunningWorker {
  /** Resolves when the worker has stopped, and rejects when it failed. */
  readonly stopped: Promise<void>;
  /** Polls these queues too; those that are polled already are passed over. */
  serve(queues: readonly WorkQueue[]): Promise<void>;
  /** Asks running steps to save and end, and resolves when all is down: within ten seconds. Harmless when repeated. */
  shutdown(): Promise<void>;
}

/** Steps get this long to write a checkpoint. */
const graceMs = 10_000;
// Light steps wait for the disk more than for the processor.
const lightSteps = 4;
// Two of them are the SDK's own.
const workflowFrames = 4;
// The record's activities are small, and wait for the store.
const recordSlots = 40;

/** Connects, and resolves once every queue is polled. Who calls it has installed the SDK's `Runtime` if it needs another. */
export async function startWorker(settings: WorkerSettings): Promise<RunningWorker> {
  const given = settings.connection;
  const connection = given instanceof NativeConnection ? given : await NativeConnection.connect(given);
  const workers: Worker[] = [];
  const activities = createActivities(
    { store: settings.store, describeEnvironment: settings.describeEnvironment ?? describeEnvironment },
    settings.implementations,
  );
  try {
    for (const queue of settings.queues) workers.push(await createWorker(settings, queue, connection, activities));
  } catch (error) {
    if (connection !== given) await connection.close();
    throw error;
  }
  const served = new Set(settings.queues);
  const runs: Promise<void>[] = [];
  let adding: Promise<void> = Promise.resolve();
  const stopAll = () => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  let stopping = false;
  const run = (worker: Worker) => {
    // On a busy machine the SDK may have calls under way when the grace is over, and then fails twice. All is to end anyway.
    const running = worker.run().catch((error: unknown) => {
      if (!stopping || !(error instanceof IllegalStateError || error instanceof GracefulShutdownPeriodExpiredError))
        throw error;
    });
    // One that failed must not leave the others behind.
    running.catch(stopAll);
    runs.push(running);
  };
  for (const worker of workers) run(worker);
  const stopped = (async () => {
    try {
      for (let i = 0; i < runs.length; i++) await runs[i];
    } finally {
      await adding;
      stopAll();
      await Promise.allSettled(runs);
      if (connection !== given) await connection.close();
    }
  })();
  stopped.catch(() => undefined);
  const add = async (queue: WorkQueue) => {
    if (stopping || served.has(queue)) return;
    const worker = await createWorker(settings, queue, connection, activities);
    served.add(queue);
    workers.push(worker);
    run(worker);
  };
  return {
    stopped,
    serve: (queues) => {
      const added = adding.then(async () => {
        for (const queue of queues) await add(queue);
      });
      adding = added.catch(() => undefined);
      return added;
    },
    shutdown: async () => {
      stopping = true;
      await adding;
      stopAll();
      await stopped;
    },
  };
}

async function createWorker(
  { namespace, queuePrefix, identity, bundlePath = defaultBundlePath(), deployment, slots, memoryMax }: WorkerSettings,
  queue: WorkQueue,
  connection: NativeConnection,
  activities: { readonly [name: string]: Activity },
): Promise<Worker> {
  const common: WorkerOptions = {
    connection,
    namespace,
    taskQueue: queueName(queuePrefix, queue),
    ...(identity === undefined ? {} : { identity }),
    ...(deployment === undefined ? {} : { workerDeploymentOptions: pinnedTo(deployment) }),
    shutdownForceTime: graceMs,
    // A run goes on this long after its worker was killed; the default of ten seconds is for slow networks.
    stickyQueueScheduleToStartTimeout: 5_000,
    // Cancellation travels with the heartbeat's answer, so heartbeats must not be held back for long.
    maxHeartbeatThrottleInterval: 3_000,
    defaultHeartbeatThrottleInterval: 3_000,
  };
  const whole: WorkerOptions = { ...common, activities: activities as object };
  if (queue === 'workflows') {
    const interpreter = workflowOptions(bundlePath);
    return withShortStacks(() =>
      Worker.create({ ...whole, ...interpreter, maxConcurrentActivityTaskExecutions: recordSlots }),
    );
  }
  // One training takes the whole machine, and so may whatever a queue of its own is for.
  const maximumSlots = slots?.[queue] ?? (queue === 'cpu' ? lightSteps : 1);
  if (memoryMax === undefined) return Worker.create({ ...whole, maxConcurrentActivityTaskExecutions: maximumSlots });
  const tunerOptions = { targetMemoryUsage: memoryMax, targetCpuUsage: 1 };
  const activityTaskSlotOptions = { minimumSlots: 1, maximumSlots, rampThrottle: 1_000 };
  return Worker.create({ ...whole, tuner: { tunerOptions, activityTaskSlotOptions } });
}

/**
 * The SDK takes a stack trace of every promise of a workflow, frame by frame through the source map: the deeper they are, the
 * more of a run's time goes into that. V8 gives its limit to each thread and context as it is made, and these are made here.
 */
async function withShortStacks<Made>(make: () => Promise<Made>): Promise<Made> {
  setFlagsFromString(`--stack-trace-limit=${workflowFrames}`);
  try {
    return await make();
  } finally {
    setFlagsFromString(`--stack-trace-limit=${Error.stackTraceLimit}`);
  }
}

/**
 * The SDK breaks a workflow task off after 5 s by the clock on the wall, which a machine under load or a stopped process
 * passes. Node then ends the whole process ("async hook stack has become corrupted", nodejs/node#38503).
 */
export const workflowOptions = (bundlePath: string) => ({
  workflowBundle: { codePath: bundlePath },
  isolateExecutionTimeout: 600_000,
});

const pinnedTo = (version: WorkerDeploymentVersion): WorkerDeploymentOptions => ({
  version,
  useWorkerVersioning: true,
  defaultVersioningBehavior: 'PINNED',
});

/** Beside the compiled code; from source, where the build has put it. */
export function defaultBundlePath(): string {
  for (const place of ['../workflow-bundle.js', '../dist/workflow-bundle.js']) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new Error('dist/workflow-bundle.js is missing. Build it with "node deploy/setup.mjs build".');
}
