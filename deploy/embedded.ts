/**
 * The embedded engine of a laptop: one Temporal dev server for each state folder, shared by all commands there, and at
 * most one process that runs its worker.
 *
 * 1. `engine.json` names the server's process; it is read and written only under `engine.lock`.
 * 2. Every command that uses the server is listed in `users/` while it lives. The last to leave stops the server.
 * 3. A server whose commands all died (SIGKILL, a closed terminal) is adopted by the next command, or ended after a
 *    while: each command has a watcher that outlives it (`end-with-command.ts`). Both hold `engine.lock`, so a command
 *    either has a server that stays, or starts one.
 * 4. A database on which no server has ever come up (a full disk, a power cut at the very first start) holds nothing
 *    but would stop every later start; `temporal.db.new` stands beside it until one has.
 * 5. A database that SQLite cannot read any more (cut off, overwritten) is set aside under another name, and a new one
 *    takes its place: runs go on from their records.
 * 6. All of these count in the folder that they were written in, whatever it is called by now, and not in a copy of it:
 *    a copy has a server of its own.
 * 7. `worker.lock` belongs to the process that runs the worker; when it dies, another may take it.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { endWithCommand } from './end-with-command.ts';
import { fullDisk } from './full-disk.ts';
import {
  folderPlace,
  identify,
  isAlive,
  isOfPlace,
  lockOwner,
  type ProcessIdentity,
  tryLock,
  withLock,
} from './lock.ts';
import { startTemporalDevServer, stopProcess } from './servers.ts';

/** What `engine.json` says. */
export interface EngineRecord {
  readonly server: ProcessIdentity;
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly startedAt: string;
}

/** The engine could not be started, reached or stopped; the message says what to do. */
export class EngineError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'EngineError';
  }
}

/** A server that this process may use until it leaves. */
export interface AttachedEngine {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Whether this process started it, joined other commands, or found it without any. */
  readonly how: 'started' | 'joined' | 'adopted';
  /** Where the database lies that was damaged, so that a new one took its place; null where it was whole. */
  readonly setAside: string | null;
  /** Null while another living process runs the worker. */
  claimWorker(): (() => void) | null;
  /** Stops the server when no other command uses it; harmless when called again. */
  leave(): Promise<void>;
  /** As `leave`, but without waiting, for a process that ends at once. */
  leaveNow(): void;
}

// A server that starts takes about two seconds; one that must be stopped first, ten more.
const lockWaitMs = 90_000;

/** So long after the death of its last command the server waits for another, in seconds. */
export const engineLingerS = 120;

const paths = (folder: string) => ({
  engine: join(folder, 'engine.json'),
  engineLock: join(folder, 'engine.lock'),
  workerLock: join(folder, 'worker.lock'),
  users: join(folder, 'users'),
  database: join(folder, 'temporal.db'),
  unproven: join(folder, 'temporal.db.new'),
  log: join(folder, 'engine.log'),
});

/** Attaches to the folder's server, and starts it where none runs. It ends `lingerS` seconds after its last command died. */
export async function attachEngine(folder: string, lingerS: number = engineLingerS): Promise<AttachedEngine> {
  mkdirSync(folder, { recursive: true });
  const files = paths(folder);
  // Before there is a server: this process may be killed while it starts.
  const unwatch = endWithCommand(folder, lingerS);
  try {
    return await withLock(files.engineLock, lockWaitMs, async () => {
      const others = livingUsers(folder);
      const running = await findRunning(folder);
      if (running !== null) {
        rmSync(files.unproven, { force: true });
        return register(folder, running, others.length > 0 ? 'joined' : 'adopted', null, unwatch);
      }
      const { record, setAside } = await startOnWhole(folder);
      return register(folder, record, 'started', setAside, unwatch);
    });
  } catch (error) {
    unwatch();
    throw error;
  }
}

/** Stops the folder's server where every command that used it is dead; leaves it where one lives, or has adopted it. */
export async function endAbandonedEngine(folder: string): Promise<void> {
  // A folder that is gone is not made anew for a lock.
  if (readEngine(folder) === null) return;
  await withLock(paths(folder).engineLock, lockWaitMs, () => stopUnused(folder, null));
}

/** Under the lock. */
async function stopUnused(folder: string, own: EngineRecord | null): Promise<void> {
  if (livingUsers(folder).length > 0) return;
  for (const record of [own, readRecord(folder)]) if (record !== null) await stopServer(record);
  rmSync(paths(folder).engine, { force: true });
}

/** What SQLite says of a file that is none of its own, or no longer whole; Temporal passes it on. */
const damagedWords = /file is not a database|database disk image is malformed|malformed database schema|no such table/;
const databaseParts = ['', '-wal', '-shm', '-journal'] as const;

/** Starts the server; once more on a new database where it cannot read the one that is there. */
async function startOnWhole(folder: string): Promise<{ record: EngineRecord; setAside: string | null }> {
  const { database } = paths(folder);
  try {
    return { record: await startServer(folder), setAside: null };
  } catch (error) {
    if (!damagedWords.test(messageOf(error)) || !existsSync(database)) throw error;
    const setAside = `${database}.damaged-${new Date().toISOString().replace(/[:.]/g, '-')}`;
    for (const part of databaseParts) {
      if (existsSync(`${database}${part}`)) renameSync(`${database}${part}`, `${setAside}${part}`);
    }
    return { record: await startServer(folder), setAside };
  }
}

async function startServer(folder: string): Promise<EngineRecord> {
  const files = paths(folder);
  if (existsSync(files.unproven)) {
    for (const part of databaseParts) rmSync(`${files.database}${part}`, { force: true });
  } else if (!existsSync(files.database)) writeFileSync(files.unproven, '');

  let record: EngineRecord | null = null;
  await startTemporalDevServer({
    dbFile: files.database,
    logFile: files.log,
    detached: true,
    // At once: a server whose command is killed before it answers would else be known to nobody, and keep the database.
    launched: (pid, port) => {
      const server = identify(pid);
      if (server === null) return;
      record = { server, port, startedAt: new Date().toISOString() };
      writeWhole(files.engine, { ...record, place: folderPlace(folder) });
    },
  }).catch((error: unknown) => {
    rmSync(files.engine, { force: true });
    throw new EngineError(`The embedded engine did not start. ${fullDisk(folder) ?? messageOf(error)}`, error);
  });
  if (record === null) throw new EngineError(`The embedded engine ended as soon as it ran. Its log: ${files.log}`);
  rmSync(files.unproven, { force: true });
  return record;
}

/** The server that runs for this folder, or null; starts and changes nothing. */
export function readEngine(folder: string): EngineRecord | null {
  const record = readRecord(folder);
  return record !== null && isAlive(record.server) ? record : null;
}

/** The process that runs the folder's worker, or null. */
export function workerOwner(folder: string): ProcessIdentity | null {
  return lockOwner(paths(folder).workerLock);
}

/** A server that lives and listens. One that lives but does not answer is ended, so that a new one can take the file. */
async function findRunning(folder: string): Promise<EngineRecord | null> {
  const record = readRecord(folder);
  if (record === null) return null;
  if (isAlive(record.server)) {
    if (await listens(record.port)) return record;
    await stopServer(record);
  }
  rmSync(paths(folder).engine, { force: true });
  return null;
}

function register(
  folder: string,
  record: EngineRecord,
  how: AttachedEngine['how'],
  setAside: string | null,
  unwatch: () => void,
): AttachedEngine {
  const files = paths(folder);
  const me = identify(process.pid)!;
  const ticket = join(files.users, `${process.pid}.json`);
  mkdirSync(files.users, { recursive: true });
  writeWhole(ticket, { ...me, place: folderPlace(folder) });
  let left = false;
  return {
    address: `127.0.0.1:${record.port}`,
    how,
    setAside,
    claimWorker: () => tryLock(files.workerLock),
    leave: async () => {
      if (left) return;
      left = true;
      // One that was removed or renamed meanwhile is not made anew for a lock.
      if (!existsSync(folder)) await stopServer(record);
      else {
        await withLock(files.engineLock, lockWaitMs, async () => {
          rmSync(ticket, { force: true });
          await stopUnused(folder, record);
        });
      }
      // Last: this process may be killed while it waits for the server's end.
      unwatch();
    },
    leaveNow: () => {
      if (left) return;
      left = true;
      rmSync(ticket, { force: true });
      // Its record and the watcher stay: whoever comes next sees that the process is gone, or ends it.
      if (livingUsers(folder).length === 0 && isAlive(record.server)) process.kill(record.server.pid, 'SIGTERM');
    },
  };
}

/** Commands that use the server now; what dead ones left is removed. */
function livingUsers(folder: string): ProcessIdentity[] {
  const { users } = paths(folder);
  const living: ProcessIdentity[] = [];
  for (const name of listFolder(users)) {
    const file = join(users, name);
    const user = parseIdentity(readJson(file), folder);
    if (user !== null && isAlive(user)) living.push(user);
    else if (name.endsWith('.json')) rmSync(file, { force: true });
  }
  return living;
}

async function stopServer(record: EngineRecord): Promise<void> {
  // The pid may belong to another program by now: only the process that was written down is ended.
  if (!isAlive(record.server)) return;
  await stopProcess(record.server.pid).catch((error: unknown) => {
    throw new EngineError(`The embedded engine could not be stopped. ${messageOf(error)}`, error);
  });
}

async function listens(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 });
    const answer = (value: boolean) => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => answer(true));
    socket.once('timeout', () => answer(false));
    socket.once('error', () => answer(false));
  });
}

function readRecord(folder: string): EngineRecord | null {
  const value = readJson(paths(folder).engine);
  if (typeof value !== 'object' || value === null || !('server' in value) || !('port' in value)) return null;
  if (!isOfPlace(value, folder)) return null;
  const server = parseIdentity(value.server, folder);
  if (server === null) return null;
  return { server, port: Number(value.port), startedAt: 'startedAt' in value ? String(value.startedAt) : '' };
}

function parseIdentity(value: unknown, folder: string): ProcessIdentity | null {
  if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return null;
  if (!isOfPlace(value, folder)) return null;
  return { pid: Number(value.pid), started: String(value.started) };
}

function writeWhole(path: string, value: object): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value)}\n`, { flush: true });
  renameSync(draft, path);
}

/** Undefined where there is no such file, or no JSON in it. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
