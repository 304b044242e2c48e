/** Starts and stops the two servers a laptop and the tests need: Temporal's dev server, and MinIO. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { Client as MinioClient } from 'minio';
import { cacheFolder, findMinio, findTemporal } from './setup/parts.mjs';

/** A server that answered at least once. It is stopped by its own process id, never by name. */
export interface RunningServer {
  pid: number;
  /** `127.0.0.1:port`. */
  address: string;
  /** Resolves once the process is gone: asked first, killed after ten seconds. Harmless when it is gone already. */
  stop(): Promise<void>;
  /** SIGKILL, as a power cut would. */
  kill(): void;
}

export interface TemporalDevServerOptions {
  /** SQLite file that keeps the runs. Without it they are lost when the server stops. */
  dbFile?: string;
  /** A free one is chosen where it is not given. */
  port?: number;
  /** Created where it does not exist. */
  namespace?: string;
  /** What the server prints is appended here. */
  logFile: string;
  /** Outlives this process, and does not get its Ctrl-C. */
  detached?: boolean;
  /** Told as soon as there is a process, long before it answers; again where another port had to be taken. */
  launched?(pid: number, port: number): void;
}

export interface MinioOptions {
  dataDir: string;
  logFile: string;
  /** Those of a server that was here before, whose clients are to find it again. */
  port?: number;
  accessKey?: string;
  secretKey?: string;
}

export interface RunningMinio extends RunningServer {
  /** `http://127.0.0.1:port`. */
  endpoint: string;
  accessKey: string;
  secretKey: string;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 10_000;
const attempts = 4;

// Temporal forgets closed workflows after this time; the run record does not, but its web page and CLI should go on showing them.
const retentionMs = 3650 * 86_400_000;

// Stock settings cost 100 ms a sequential step, because these polls are limited to 20 a second.
const dynamicConfig = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'system.enableActivityEagerExecution=true',
];

/** Where the Temporal binary is. Throws with the remedy where there is none. */
export function findTemporalBinary(): string {
  const found = findTemporal({ anyVersion: true });
  if (found) return found.path;
  throw new Error(
    `No Temporal server was found: not in ${cacheFolder()}, not on PATH. Run "node deploy/setup.mjs" in the checkout, or set HARDCASE_TEMPORAL to the binary.`,
  );
}

export async function startTemporalDevServer(options: TemporalDevServerOptions): Promise<RunningServer> {
  const binary = findTemporalBinary();
  const namespace = options.namespace ?? 'default';
  return await withFreePort(options.port, async (port) => {
    const flags = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', `${port}`, '--headless'];
    flags.push('--namespace', namespace, '--log-format', 'json', '--disable-config-file');
    for (const setting of dynamicConfig) flags.push('--dynamic-config-value', setting);
    if (options.dbFile !== undefined) {
      mkdirSync(dirname(options.dbFile), { recursive: true });
      flags.push('--db-filename', options.dbFile);
      flags.push('--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=full');
    }
    // With a home it writes a file there, outside of what we may touch.
    const server = launch('Temporal server', binary, flags, options, `127.0.0.1:${port}`, { HOME: '' });
    if (server.pid !== 0) options.launched?.(server.pid, port);
    // Its own log tells that it is this server that listens there, and not one that took the port before it.
    await server.until(async () => new RegExp(`^Server: .*:${port}$`, 'm').test(server.log()));
    await server.until(async () => {
      const connection = await Connection.connect({ address: server.address, connectTimeout: 2_000 });
      try {
        await connection.workflowService.describeNamespace({ namespace });
        await connection.workflowService.updateNamespace({
          namespace,
          config: { workflowExecutionRetentionTtl: msToTs(retentionMs) },
        });
        return true;
      } finally {
        await connection.close();
      }
    });
    return { pid: server.pid, address: server.address, stop: server.stop, kill: server.kill };
  });
}

export async function startMinio(options: MinioOptions): Promise<RunningMinio> {
  const binary = findMinio();
  if (!binary) {
    throw new Error(
      `No MinIO was found: not in ${cacheFolder()}, not on PATH. Run "node deploy/setup.mjs --test", or set HARDCASE_MINIO to the binary.`,
    );
  }
  const accessKey = options.accessKey ?? randomBytes(10).toString('hex');
  const secretKey = options.secretKey ?? randomBytes(20).toString('hex');
  return await withFreePort(options.port, async (port) => {
    const objects = join(options.dataDir, 'objects');
    mkdirSync(objects, { recursive: true });
    const address = `127.0.0.1:${port}`;
    const flags = ['server', '--quiet', '--address', address, objects];
    const server = launch('MinIO', binary.path, flags, options, address, {
      MINIO_ROOT_USER: accessKey,
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      // It makes a folder for certificates in its home.
      HOME: options.dataDir,
    });
    const client = new MinioClient({ endPoint: '127.0.0.1', port, useSSL: false, accessKey, secretKey });
    // Only the server that was just started knows these credentials.
    await server.until(async () => {
      await client.listBuckets();
      return true;
    });
    return { ...server, endpoint: `http://${address}`, accessKey, secretKey };
  });
}

/** Ends a process by its id: SIGTERM, then SIGKILL after ten seconds. Resolves once it is gone. */
export async function stopProcess(pid: number): Promise<void> {
  for (const [signal, timeoutMs] of [['SIGTERM', stopTimeoutMs] as const, ['SIGKILL', stopTimeoutMs] as const]) {
    if (!signalProcess(pid, signal)) return;
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      if (!isRunning(pid)) return;
      await sleep(20);
    }
  }
  throw new Error(`Process ${pid} did not end, not even on SIGKILL. Look at it with "ps -p ${pid}".`);
}

/** A zombie, dead but not yet collected by its parent, does not count as running. */
export function isRunning(pid: number): boolean {
  if (!signalProcess(pid, 0)) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    // Where there is no /proc the signal alone decides.
    return !existsSync('/proc/self/stat');
  }
}

/** False where no such process exists. */
function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** A server that crashed while it started: a port that was free when it was chosen was lost to another process. */
class CrashedAtStartError extends Error {
  /** Whether the port that was lost is the one that others are to call. */
  readonly ownPort: boolean;

  constructor(message: string, ownPort: boolean) {
    super(message);
    this.ownPort = ownPort;
  }
}

/**
 * A port that is asked for must be had; a chosen one may be lost to another process in between, so another is tried.
 * Temporal also chooses four ports for its parts by itself, and crashes where it loses one: then it is started again.
 */
async function withFreePort<T>(wanted: number | undefined, start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(wanted ?? (await freePort()));
    } catch (error) {
      if (!(error instanceof CrashedAtStartError) || attempt === attempts) throw error;
      if (error.ownPort && wanted !== undefined) throw error;
    }
  }
}

/** A TCP port of 127.0.0.1 on which nobody listens at this moment. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

interface LaunchedServer extends RunningServer {
  /** What this process has printed so far. */
  log(): string;
  /** Resolves once the check holds; stops the server and throws, with the end of its log, where that takes too long. */
  until(check: () => Promise<boolean>): Promise<void>;
}

function launch(
  name: string,
  binary: string,
  flags: string[],
  options: { logFile: string; detached?: boolean },
  address: string,
  environment: Record<string, string> = {},
): LaunchedServer {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const logStart = existsSync(options.logFile) ? statSync(options.logFile).size : 0;
  const output = openSync(options.logFile, 'a');
  const child = spawn(binary, flags, {
    stdio: ['ignore', output, output],
    detached: options.detached ?? false,
    env: { ...process.env, ...environment },
  });
  closeSync(output);
  let failure: Error | undefined;
  child.on('error', (error) => {
    failure = error;
  });
  if (options.detached) child.unref();
  else if (child.pid !== undefined) endWithUs(child, child.pid);

  const log = () =>
    existsSync(options.logFile) ? readFileSync(options.logFile).subarray(logStart).toString('utf8') : '';
  const ended = () => failure !== undefined || child.exitCode !== null || child.signalCode !== null;
  const stop = async () => {
    if (child.pid !== undefined && !ended()) await stopChild(child);
  };
  return {
    pid: child.pid ?? 0,
    address,
    log,
    stop,
    kill: () => void child.kill('SIGKILL'),
    until: async (check) => {
      const deadline = Date.now() + startTimeoutMs;
      let reason: unknown;
      while (!ended() && Date.now() < deadline) {
        try {
          if (await check()) return;
        } catch (error) {
          reason = error;
        }
        await sleep(50);
      }
      const how = failure
        ? failure.message
        : ended()
          ? `it ended with ${child.signalCode ?? `status ${child.exitCode}`}`
          : `it did not answer within ${startTimeoutMs / 1000} s`;
      const crashed = ended();
      await stop();
      const printed = log();
      const tail = printed.trimEnd().split('\n').slice(-4).map(plainLine).join('\n');
      const said =
        tail.trim() === '' ? `Its log, ${options.logFile}, is empty.` : `The end of ${options.logFile}:\n${tail}`;
      const message = `The ${name} did not start on ${address}: ${how}. ${said}`;
      // Of all that was printed: a stack of many lines may follow.
      if (crashed && /^panic: |address already in use/im.test(printed)) {
        throw new CrashedAtStartError(message, new RegExp(`${address}: bind: address already in use`).test(printed));
      }
      throw new Error(message, { cause: reason });
    },
  };
}

/** A line of a log in JSON as a person would have written it, without the stack; other lines as they are. */
function plainLine(line: string): string {
  const lengthMax = 300;
  try {
    const { msg, error } = JSON.parse(line) as { msg?: unknown; error?: unknown };
    if (typeof msg === 'string') return `  ${typeof error === 'string' ? `${msg}: ${error}` : msg}`.slice(0, lengthMax);
  } catch {
    // Not JSON.
  }
  return `  ${line}`.slice(0, lengthMax);
}

/**
 * Lets a server end when this process ends in any way, SIGKILL included: a shell waits for the pipe to it to close, and
 * then kills the server. Neither server watches its parent by itself.
 */
function endWithUs(server: ChildProcess, pid: number): void {
  const watch = spawn('/bin/sh', ['-c', 'read -r _; kill -KILL "$1"', 'sh', `${pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Where there is no shell, the server is stopped by whoever started it, as always, but outlives a crash.
  watch.on('error', () => {});
  watch.unref();
  (watch.stdin as Socket | null)?.unref();
  // A number that is free again may soon be another process.
  server.on('exit', () => watch.kill('SIGKILL'));
}

async function stopChild(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
  await gone;
  clearTimeout(timer);
}
