/**
 * A worker of its own process, to be killed: ADDRESS STORES QUEUE FAULTS. The file STORES says where each run has its store:
 * `{ "chaos-7": "s3://…" }`. While the file FAULTS says so, its disk is full, or (where there is no libfaketime) its clock is
 * wrong by so many milliseconds: `{ "full": true, "clock": -3600000 }`.
 */

import { readFileSync } from 'node:fs';
import { Context } from '@temporalio/activity';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { openStore } from '../../artifacts/open-store.ts';
import { type Store, StoreFullError } from '../../artifacts/store.ts';
import { startWorker } from '../../deploy/worker.ts';
import { lightSteps } from './light-steps.ts';

const [address = '', storesFile = '', queuePrefix = '', faultsFile = ''] = process.argv.slice(2);

interface Faults {
  readonly full?: boolean;
  readonly clock?: number;
}

function faults(): Faults {
  try {
    return JSON.parse(readFileSync(faultsFile, 'utf8')) as Faults;
  } catch {
    return {};
  }
}

const RealDate = Date;
let clockMs = 0;
setInterval(() => {
  clockMs = faults().clock ?? 0;
}, 100).unref();
globalThis.Date = class extends RealDate {
  constructor(...given: unknown[]) {
    super(...((given.length === 0 ? [RealDate.now() + clockMs] : given) as [number]));
  }
  static override now(): number {
    return RealDate.now() + clockMs;
  }
} as DateConstructor;

const writes: ReadonlySet<string | symbol> = new Set(['putObject', 'putFile', 'createRecord', 'writeRecord']);
const stores = new Map<string, Promise<Store>>();

/** The store of the run that the current activity belongs to. One that could not be opened is tried again. */
function storeOfRun(): Promise<Store> {
  const run = Context.current().info.workflowExecution?.workflowId.split(':')[1] ?? '';
  let store = stores.get(run);
  if (store === undefined) {
    const url = (JSON.parse(readFileSync(storesFile, 'utf8')) as { readonly [run: string]: string })[run];
    store = openStore(url ?? '');
    store.catch(() => stores.delete(run));
    stores.set(run, store);
  }
  return store;
}

/** One store to the worker: each run's own, in which what writes fails as on a full disk, while there is one. */
const store = new Proxy({ url: 'the store of the run' } as Store, {
  get(target, name) {
    if (name === 'url') return target.url;
    // Not to be taken for a promise.
    if (name === 'then') return undefined;
    return async (...given: unknown[]) => {
      if (writes.has(name) && faults().full === true)
        throw new StoreFullError('The disk of the store is full (chaos).');
      const own = (await storeOfRun()) as unknown as { [name: string | symbol]: (...given: unknown[]) => unknown };
      return own[name]!(...given);
    };
  },
});

Runtime.install({
  shutdownSignals: [],
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
});
const environment = { threads: 1, tensorflow: 'none', oneDnn: false, cpu: 'any', hardcase: 'chaos', node: 'any' };
const worker = await startWorker({
  connection: { address },
  namespace: 'default',
  store,
  queuePrefix,
  queues: ['workflows', 'cpu', 'train'],
  implementations: lightSteps,
  describeEnvironment: async () => environment,
});
process.on('SIGTERM', () => void worker.shutdown());
// The harness is gone, also by SIGKILL: nobody needs a worker.
process.on('disconnect', () => process.exit(1));
process.send?.('ready');
await worker.stopped;
process.exit(0);
