/** A train worker in a process of its own, with the shipped step kinds, for tests to kill: ADDRESS STORE. */

import { DefaultLogger, Runtime } from '@temporalio/worker';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { startWorker } from '../../deploy/worker.ts';
import { testQueuePrefix } from '../small-plans.ts';

const [address = '', folder = ''] = process.argv.slice(2);

Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
const worker = await startWorker({
  connection: { address },
  namespace: 'default',
  store: await openFolderStore(folder),
  queuePrefix: testQueuePrefix,
  queues: ['train'],
});
process.on('SIGTERM', () => void worker.shutdown());
console.log('ready');
await worker.stopped;
