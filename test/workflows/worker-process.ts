/**
 * A worker in a process of its own, for tests to kill: ADDRESS STORE BUNDLE LOG. Its one step kind, `unsteady`, never
 * ends in the process that runs it first, as LOG tells.
 */

import { appendFile, readFile } from 'node:fs/promises';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { StepContext } from '../../activities/context.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { startWorker } from '../../deploy/worker.ts';
import { testEnvironment, testQueuePrefix } from '../small-plans.ts';

const [address = '', folder = '', bundlePath = '', log = ''] = process.argv.slice(2);

const unsteady = async ({ signal }: StepContext) => {
  await appendFile(log, `${process.pid}\n`);
  const first = (await readFile(log, 'utf8')).split('\n')[0];
  if (first !== String(process.pid)) return { value: 5 };
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
};

Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
const worker = await startWorker({
  connection: { address },
  namespace: 'default',
  store: await openFolderStore(folder),
  queuePrefix: testQueuePrefix,
  queues: ['workflows', 'cpu', 'train'],
  bundlePath,
  implementations: { unsteady } as never,
  describeEnvironment: async () => testEnvironment,
});
process.on('SIGTERM', () => void worker.shutdown());
await worker.stopped;
