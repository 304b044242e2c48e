/**
 * A worker of its own process, to be killed: ADDRESS STORE QUEUE FAULTS. While the file FAULTS says so, its disk is full, or its
 * clock is wrong by so many milliseconds: `{ "full": true, "clock": -3600000 }`.
 */

import { readFileSync } from 'node:fs';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { openStore } from '../../artifacts/open-store.ts';
import { type Store, StoreFullError } from '../../artifacts/store.ts';
import { startWorker } from '../../deploy/worker.ts';
import { lightSteps } from './light-steps.ts';

const [address = '', storeUrl = '', queuePrefix = '', faultsFile = ''] = process.argv.slice(2);

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

/** What writes fails as on a full disk, while there is one. */
function fillable(store: Store): Store {
  const writes: ReadonlySet<string | symbol> = new Set(['putObject', 'putFile', 'createRecord', 'writeRecord']);
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => {
        if (writes.has(name) && faults().full === true) {
          return Promise.reject(new StoreFullError('The disk of the store is full (chaos).'));
        }
        return (member as (...given: unknown[]) => unknown).apply(target, given);
      };
    },
  });
}

Runtime.install({
  shutdownSignals: [],
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
});
const environment = { threads: 1, tensorflow: 'none', oneDnn: false, cpu: 'any', hardcase: 'chaos', node: 'any' };
const worker = await startWorker({
  connection: { address },
  namespace: 'default',
  store: fillable(await openStore(storeUrl)),
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
