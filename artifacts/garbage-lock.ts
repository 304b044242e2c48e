/** One garbage collection at a time: a record that its process removes when it ends. */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { canonicalJson } from '../plan/canonical.ts';
import type { Store } from './store.ts';

const key = 'gc/lock.json';
/** Whose process cannot be asked (another host) counts as dead after this time. */
const staleMs = 6 * 3_600_000;

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
  readonly at: string;
}

export class GarbageLockedError extends Error {
  constructor({ pid, host, at }: Holder) {
    super(
      `Another garbage collection of this store runs since ${at} (process ${pid} on ${host}). Wait until it has ended; one whose process is gone is passed over on that host at once, and elsewhere after 6 hours.`,
    );
    this.name = 'GarbageLockedError';
  }
}

/** Answers what gives the lock back. Throws `GarbageLockedError` where another process holds it. */
export async function lockGarbage(store: Store): Promise<() => Promise<void>> {
  const own: Holder = { id: randomUUID(), pid: process.pid, host: hostname(), at: new Date().toISOString() };
  const first = await store.createRecord(key, Buffer.from(canonicalJson({ ...own })));
  if (first !== null) {
    const other = JSON.parse(first.toString()) as Holder;
    if (lives(other)) throw new GarbageLockedError(other);
    await store.writeRecord(key, Buffer.from(canonicalJson({ ...own })));
  }
  return async () => {
    const holder = await store.readRecord(key);
    if (holder !== null && (JSON.parse(holder.toString()) as Holder).id === own.id) await store.removeRecord(key);
  };
}

function lives({ pid, host, at }: Holder): boolean {
  if (host !== hostname()) return Date.now() - Date.parse(at) < staleMs;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
