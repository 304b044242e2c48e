/** Workers of one Temporal server must have one store: looks at who else serves the queues, and says what does not fit. */

import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { TemporalConnection } from './connect.ts';

/** A worker as Temporal knows it. */
export interface KnownWorker {
  readonly identity: string;
  /** Milliseconds since it last asked for work: up to a minute for one that lives and has nothing to do. */
  readonly idleMs: number;
}

/** Polls of a living worker last a minute; Temporal names those of dead ones for five. */
const livingMs = 70_000;

const storeOf = (url: string): string => (url.startsWith('s3://') ? url : resolve(url));

/** `1234@host store=/data/store`: what others must know of a worker. */
export function workerIdentity(url: string): string {
  return `${process.pid}@${hostname()} store=${storeOf(url)}`;
}

/** Why a worker with this store must not serve beside the others, or null. */
export function problemOfWorkers(url: string, others: readonly KnownWorker[], host = hostname()): string | null {
  const own = storeOf(url);
  const isFolder = !url.startsWith('s3://');
  for (const { identity, idleMs } of others) {
    const other = /^\d+@(\S+?)(?: store=(.*))?$/.exec(identity);
    // Other programs may serve queues of their own, and have no store.
    if (other === null || idleMs > livingMs) continue;
    const [, otherHost, otherStore] = other;
    if (isFolder && otherHost !== host) {
      return (
        `The store is the folder ${own} of this machine (${host}), and ${identity} serves the same queues from another. A folder is no store for workers of several machines: each would see only what its own disk holds, and on a network drive ` +
        'neither "create only if it is free" nor a rename is safe. Give all of them one store on S3, HARDCASE_STORE=s3://bucket/prefix, or stop the other worker (it counts for a minute longer).'
      );
    }
    if (otherStore !== undefined && otherStore !== own) {
      return `The store is ${own}, and ${identity} serves the same queues with another one. Steps of one run would be recorded in two places. Give all workers the same HARDCASE_STORE, or this one queues of its own with --queue.`;
    }
  }
  return null;
}

/** Everyone who serves one of the queues. */
export async function workersOf(temporal: TemporalConnection, queues: readonly string[]): Promise<KnownWorker[]> {
  const { connection, target } = temporal;
  const found = new Map<string, KnownWorker>();
  for (const name of queues) {
    // Workflows, then activities (temporal.api.enums.v1.TaskQueueType).
    for (const taskQueueType of [1, 2]) {
      const { pollers } = await connection.workflowService.describeTaskQueue({
        namespace: target.namespace,
        taskQueue: { name },
        taskQueueType,
      });
      for (const { identity, lastAccessTime } of pollers ?? []) {
        if (!identity) continue;
        const idleMs = Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000;
        const before = found.get(identity);
        if (before === undefined || idleMs < before.idleMs) found.set(identity, { identity, idleMs });
      }
    }
  }
  return [...found.values()];
}
