/** Workers of one Temporal server must have one store: looks at who else serves the queues, and says what does not fit. */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Store } from '../artifacts/store.ts';
import { queueName } from '../workflows/messages.ts';
import type { TemporalConnection } from './connect.ts';
import { CommandError, exitCodes } from './output.ts';

/** A worker as Temporal knows it. */
export interface KnownWorker {
  readonly identity: string;
  /** Milliseconds since it last asked for work: up to a minute for one that lives and has nothing to do. */
  readonly idleMs: number;
}

/** Which machine a process is on, and which store it has. */
export interface Place {
  readonly host: string;
  /**
   * Of the running kernel, where it can be told (Linux): containers of one machine have it in common, two machines that were given
   * one name do not.
   */
  readonly boot: string | null;
  /** An S3 address, or the full path of a folder. */
  readonly store: string;
  /** What the store calls itself: one path may be two folders, and one bucket's name two buckets. */
  readonly id: string | null;
}

/** Polls of a living worker last a minute; Temporal names those of dead ones for five. */
const livingMs = 70_000;
const idRecord = 'store-id.json';

export async function placeOfStore(store: Store): Promise<Place> {
  const url = store.url.startsWith('s3://') ? store.url : resolve(store.url);
  const own = Buffer.from(JSON.stringify({ id: randomUUID() }));
  const { id } = JSON.parse(String((await store.createRecord(idRecord, own)) ?? own)) as { readonly id: string };
  return { host: hostname(), boot: bootId(), store: url, id };
}

function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}

/** `1234@host boot=… store=/data/store id=…`: what others must know of a worker. */
export function workerIdentity({ host, boot, store, id }: Place): string {
  const words = [`${process.pid}@${host}`, boot && `boot=${boot}`, `store=${store}`, id && `id=${id}`];
  return words.filter(Boolean).join(' ');
}

const identityPattern =
  /^(?<name>\d+@(?<host>\S+))(?: boot=(?<boot>\S+))?(?: store=(?<store>.*?))?(?: id=(?<id>[\w-]+))?$/;

interface OtherWorker {
  /** `1234@host` */
  readonly name: string;
  readonly host: string;
  /** These three are absent where the worker is of an earlier release. */
  readonly boot?: string;
  readonly store?: string;
  readonly id?: string;
}

/** Living workers of hardcase: other programs may serve queues of their own, and have no store. */
const living = (others: readonly KnownWorker[]): OtherWorker[] =>
  others.flatMap(({ identity, idleMs }) => {
    const found = identityPattern.exec(identity);
    return found === null || idleMs > livingMs ? [] : [found.groups as unknown as OtherWorker];
  });

/** Why a worker at this place must not serve beside the others, or null. */
export function problemOfWorkers(own: Place, others: readonly KnownWorker[]): string | null {
  for (const other of living(others)) {
    const problem = problemWith(own, other, 'serves the same queues');
    if (problem !== null) return problem;
  }
  return null;
}

/** Why a run from this place would not be found by those who are to work for it, or null. */
export function problemOfClient(own: Place, workers: readonly KnownWorker[]): string | null {
  for (const worker of living(workers)) {
    const problem = problemWith(own, worker, 'works for this server');
    if (problem !== null) return problem;
  }
  return null;
}

/**
 * Of workers that began at the same moment none saw another: one of them must end. A folder yields to a bucket, which everybody
 * can reach, and else one to the other by name.
 */
export function problemOfStarted(own: Place, others: readonly KnownWorker[]): string | null {
  const rank = (store: string | undefined, identity: string): string => `${isFolder(store ?? '')} ${identity}`;
  const ownRank = rank(own.store, workerIdentity(own));
  const stronger = others.filter(({ identity }) => {
    const store = identityPattern.exec(identity)?.groups?.store;
    return rank(store, identity) < ownRank;
  });
  return problemOfWorkers(own, stronger);
}

const isFolder = (store: string): boolean => !store.startsWith('s3://');

function problemWith(own: Place, other: OtherWorker, does: string): string | null {
  const { name } = other;
  const wait = '(it counts for a minute longer)';
  if (isFolder(own.store) && !isSameMachine(own, other)) {
    const elsewhere = other.host === own.host ? 'another machine of the same name' : 'another machine';
    return (
      `The store is the folder ${own.store} of this machine (${own.host}), and ${name} ${does} from ${elsewhere}. A folder is no store for several machines: each would see only what its own disk holds, and on a network drive ` +
      `neither "create only if it is free" nor a rename is safe. Give all of them one store on S3, HARDCASE_STORE=s3://bucket/prefix, or stop the other worker ${wait}.`
    );
  }
  if (other.store !== undefined && other.store !== own.store) {
    return (
      `The store is ${own.store}, and ${name} ${does} with another one, ${other.store}. What belongs to one run would be recorded in two places. ` +
      `Give all of them the same HARDCASE_STORE, or this one queues of its own with --queue; or stop the other worker ${wait}.`
    );
  }
  if (own.id !== null && other.id !== undefined && other.id !== own.id) {
    const remedy = isFolder(own.store)
      ? 'Those of one machine may share a folder, but in a container it must be the same one: mount it into all of them'
      : 'Give all of them the same AWS_ENDPOINT_URL';
    return (
      `The store is ${own.store}, and ${name} ${does} with another one of that name. What belongs to one run would be recorded in two places. ` +
      `${remedy}, or this one queues of its own with --queue; or stop the other worker ${wait}.`
    );
  }
  return null;
}

const isSameMachine = (own: Place, other: OtherWorker): boolean =>
  own.boot !== null && other.boot !== undefined ? own.boot === other.boot : own.host === other.host;

/** Everyone who serves one of the queues, named without their prefix. */
export async function workersOf(
  { connection, target }: TemporalConnection,
  prefix: string,
  queues: readonly string[],
): Promise<KnownWorker[]> {
  const found = new Map<string, KnownWorker>();
  for (const name of new Set(queues)) {
    // Workflows, then activities (temporal.api.enums.v1.TaskQueueType).
    for (const taskQueueType of [1, 2]) {
      const taskQueue = { name: queueName(prefix, name) };
      const { pollers } = await connection.workflowService
        .describeTaskQueue({ namespace: target.namespace, taskQueue, taskQueueType })
        .catch((error: unknown) => {
          throw new CommandError(
            `The Temporal server at ${target.options.address} does not say who serves the queue ${taskQueue.name}: ${(error as Error).message}. Try again once it answers.`,
            exitCodes.engine,
            error,
          );
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
