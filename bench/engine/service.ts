/** A server, a store and a worker for measurements, with the flags of the embedded engine. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { AnyStepImplementation } from '../../activities/context.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun } from '../../artifacts/run-record.ts';
import { bundleCompiled } from '../../deploy/bundle-compiled.ts';
import { startTemporalDevServer } from '../../deploy/servers.ts';
import { startWorker } from '../../deploy/worker.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { writeWorkflow } from '../../plan/typescript/workflow.ts';
import { queueName, type RunArguments, workflowIdOf } from '../../workflows/messages.ts';
import { countsOf, type HistoryCounts } from './history-counts.ts';
import type { Shape } from './shapes.ts';

/** The sources, from `dist/` too: compiled workflows import those. */
export const root = join(import.meta.dirname, import.meta.url.endsWith('.ts') ? '../..' : '../../..');
const queuePrefix = 'bench';

const environment = {
  threads: 1,
  tensorflow: 'none',
  oneDnn: false,
  cpu: 'bench',
  hardcase: 'bench',
  node: process.version,
};

/** What the steps do: nothing. */
const nothing: AnyStepImplementation = async () => ({ AP: 1 });

export interface Service {
  /** Runs the shape with the given type of workflow; answers ms from the call to the result. */
  run(shape: Shape, workflowType: string, run: string, seed: number, more?: object): Promise<number>;
  /** What the histories of an ended run hold. */
  counts(run: string): Promise<HistoryCounts>;
  close(): Promise<void>;
}

export async function openService(shapes: readonly Shape[]): Promise<Service> {
  Runtime.install({
    shutdownSignals: [],
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  });
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-engine-'));
  const files = shapes.map((shape) => compiledFile(shape, folder));
  const bundlePath = await bundleCompiled([...files, join(root, 'bench/engine/by-hand.ts')], folder);
  const server = await startTemporalDevServer({
    logFile: join(folder, 'temporal.log'),
    dbFile: join(folder, 'temporal.db'),
  });
  const connection = await Connection.connect({ address: server.address });
  const client = new Client({ connection });
  const store = await openFolderStore(join(folder, 'store'));
  const worker = await startWorker({
    connection: { address: server.address },
    namespace: 'default',
    store,
    queuePrefix,
    queues: ['workflows', 'cpu'],
    bundlePath,
    implementations: { train: nothing },
    describeEnvironment: async () => environment,
  });
  return {
    run: async ({ plan, planDigest }, workflowType, run, seed, more = {}) => {
      await store.putObject(Buffer.from(canonicalJson(plan)));
      const createdAt = new Date().toISOString();
      const { pipeline, params } = plan;
      await createRun(store, { run, pipeline, planDigest, source: planDigest, file: 'bench.yaml', params, createdAt });
      // Another seed gives other fingerprints, so that nothing is reused that is not meant to be.
      const args: RunArguments = { run, pipeline, planDigest, seed, scope: plan.root, ...more };
      const began = performance.now();
      await client.workflow.execute(workflowType, {
        workflowId: workflowIdOf(run),
        taskQueue: queueName(queuePrefix, 'workflows'),
        args: [args],
      });
      return performance.now() - began;
    },
    counts: (run) => countsOf(client, workflowIdOf(run)),
    close: async () => {
      await worker.shutdown();
      await connection.close();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The shape's compiled form, under the name `NAMECompiled`. */
function compiledFile({ name, plan, planDigest }: Shape, folder: string): string {
  const library = join(root, 'workflows/compiled/index.ts');
  const { text } = writeWorkflow({ plan, planDigest, file: 'bench.yaml', library });
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, text.replace(`export async function ${name}(`, `export async function ${name}Compiled(`));
  return file;
}
