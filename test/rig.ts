/** A temporary folder, a store, a Temporal server and workers in one object, and small plans to run on them. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { AnyStepImplementation, StepContext } from '../activities/context.ts';
import { openFolderStore } from '../artifacts/folder-store.ts';
import { createRun, readStepRecord, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { type RunningServer, startTemporalDevServer } from '../deploy/servers.ts';
import { type RunningWorker, startWorker } from '../deploy/worker.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { Plan, PlannedScope, StepRecord } from '../plan/types.ts';
import { queueName, type RunArguments, workflowIdOf } from '../workflows/messages.ts';
import { testEnvironment, testQueuePrefix } from './small-plans.ts';
import { bundleWorkflows } from './workflow-bundle.ts';

export type Steps = { readonly [kind: string]: (context: StepContext, inputs: never) => unknown };

type StartedWith = Pick<RunArguments, 'renewAfter' | 'wornAfter' | 'decided'>;

export interface Rig {
  readonly folder: string;
  readonly store: Store;
  readonly server: RunningServer;
  /** The bundled workflows, and the store's folder: for workers in other processes. */
  readonly bundlePath: string;
  readonly storeFolder: string;
  readonly client: Client;
  readonly connection: Connection;
  /** Workers of all queues, in this process. */
  startWorker(steps: Steps): Promise<RunningWorker>;
  /** Creates the run and starts its workflow. */
  startRun(run: string, scope: PlannedScope, more?: StartedWith): Promise<WorkflowHandle>;
  step(run: string, path: string): Promise<StepRecord | null>;
  /** `path: state` of every step that began, in order of path. */
  states(run: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function openRig(): Promise<Rig> {
  installRuntimeOnce();
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-rig-'));
  const bundlePath = await bundleWorkflows(folder);
  const store = await openFolderStore(join(folder, 'store'));
  const server = await startTemporalDevServer({
    logFile: join(folder, 'temporal.log'),
    dbFile: join(folder, 'temporal.db'),
  });
  const connection = await Connection.connect({ address: server.address });
  const client = new Client({ connection });
  const workers: RunningWorker[] = [];
  return {
    folder,
    store,
    storeFolder: join(folder, 'store'),
    bundlePath,
    server,
    client,
    connection,
    startWorker: async (steps) => {
      const worker = await startWorker({
        connection: { address: server.address },
        namespace: 'default',
        store,
        queuePrefix: testQueuePrefix,
        queues: ['workflows', 'cpu', 'train'],
        bundlePath,
        implementations: steps as unknown as { [kind: string]: AnyStepImplementation },
        describeEnvironment: async () => testEnvironment,
      });
      workers.push(worker);
      return worker;
    },
    startRun: (run, scope, more) => startRun(client, store, run, scope, { more }),
    step: (run, path) => readStepRecord(store, run, path),
    states: async (run) => {
      const steps = await readStepRecords(store, run);
      return steps.map(({ path, state, reused }) => `${path}: ${state}${reused ? ' (reused)' : ''}`).sort();
    },
    close: async () => {
      await Promise.all(workers.map((worker) => worker.shutdown()));
      await connection.close();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Without `inline` the workflow fetches its scope from the store, as those do whose scope is too large to be sent. */
export async function startRun(
  client: Client,
  store: Store,
  run: string,
  root: PlannedScope,
  { inline = true, more = {} }: { inline?: boolean; more?: StartedWith } = {},
): Promise<WorkflowHandle> {
  const plan: Plan = { format: 1, pipeline: 'test-pipeline', seed: 1, params: {}, root };
  const text = canonicalJson(plan);
  const planDigest = await store.putObject(Buffer.from(text));
  const createdAt = new Date().toISOString();
  const header = {
    run,
    pipeline: plan.pipeline,
    planDigest,
    source: planDigest,
    file: 'test.yaml',
    params: {},
    createdAt,
  };
  await createRun(store, header);
  const args: RunArguments = { run, pipeline: plan.pipeline, planDigest, seed: plan.seed, ...more };
  const argument = inline ? { ...args, scope: root } : args;
  return client.workflow.start(plan.pipeline, {
    workflowId: workflowIdOf(run),
    taskQueue: queueName(testQueuePrefix, 'workflows'),
    args: [argument],
  });
}

let runtimeInstalled = false;

/** Tests fail steps on purpose, so only the engine's own faults are printed. */
export function installRuntimeOnce(): void {
  if (runtimeInstalled) return;
  Runtime.install({
    shutdownSignals: [],
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  });
  runtimeInstalled = true;
}

/** Polls until the answer is no longer undefined or false. */
export async function eventually<Answer>(
  ask: () => Promise<Answer | undefined | false>,
  timeoutMs = 60_000,
): Promise<Answer> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`Nothing came in ${timeoutMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
