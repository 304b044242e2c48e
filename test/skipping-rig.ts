/** A Temporal server whose clock skips what nobody works in, a store and a worker: eight days pass in a second. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { AnyStepImplementation } from '../activities/context.ts';
import { openFolderStore } from '../artifacts/folder-store.ts';
import type { Store } from '../artifacts/store.ts';
import { findTestServer } from '../deploy/setup/parts.mjs';
import { startWorker } from '../deploy/worker.ts';
import type { PlannedScope } from '../plan/types.ts';
import { installRuntimeOnce, type Steps, startRun } from './rig.ts';
import { testEnvironment, testQueuePrefix } from './small-plans.ts';
import { bundleWorkflows } from './workflow-bundle.ts';

export interface SkippingRig {
  readonly store: Store;
  /** Time passes while a result of the run is waited for, and in `sleep`. */
  startRun(run: string, scope: PlannedScope): Promise<WorkflowHandle>;
  sleep(duration: `${number} days` | `${number} hours`): Promise<void>;
  /** The server's time, ISO 8601. */
  now(): Promise<string>;
  close(): Promise<void>;
}

export async function openSkippingRig(steps: Steps): Promise<SkippingRig> {
  installRuntimeOnce();
  const server = findTestServer();
  if (server === null) throw new Error('The time-skipping server is missing: run "node deploy/setup.mjs --test".');
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-skipping-'));
  const bundlePath = await bundleWorkflows(folder);
  const store = await openFolderStore(join(folder, 'store'));
  const environment = await startEnvironment(server.path);
  const worker = await startWorker({
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    store,
    queuePrefix: testQueuePrefix,
    queues: ['workflows', 'cpu', 'train'],
    bundlePath,
    implementations: steps as unknown as { [kind: string]: AnyStepImplementation },
    describeEnvironment: async () => testEnvironment,
  });
  return {
    store,
    startRun: (run, scope) => startRun(environment.client, store, run, scope),
    sleep: (duration) => environment.sleep(duration),
    now: async () => new Date(await environment.currentTimeMs()).toISOString(),
    close: async () => {
      await worker.shutdown();
      await environment.teardown();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The SDK gives the server five seconds, which a machine with much else to do may not keep at once. */
async function startEnvironment(path: string, attempts = 5): Promise<TestWorkflowEnvironment> {
  try {
    return await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path } },
    });
  } catch (error) {
    if (attempts <= 1) throw error;
    return startEnvironment(path, attempts - 1);
  }
}
