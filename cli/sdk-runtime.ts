/** Where the engine's own words go while a command runs a worker or replays a history: a file, not the screen. */

import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from './settings.ts';

/** Set once the runtime is installed: the SDK takes one in each process. */
let logFile: string | undefined;

/** Before the first worker or replay of the process. Answers the file. */
export async function installRuntime({ folder }: Settings): Promise<string> {
  if (logFile !== undefined) return logFile;
  logFile = join(folder, 'worker.log');
  // The native worker takes half a second to load.
  const { DefaultLogger, Runtime } = await import('@temporalio/worker');
  mkdirSync(folder, { recursive: true });
  const log = createWriteStream(logFile, { flags: 'a' });
  // A full disk must not end the command: it can do without this file, and says itself that the disk is full.
  log.on('error', () => {});
  Runtime.install({
    // Signals are the command's matter: it saves, stops, and says how to go on.
    shutdownSignals: [],
    // The engine's warnings (a step that failed and is tried again) would tear the live view.
    logger: new DefaultLogger('WARN', ({ level, message, timestampNanos, meta }) => {
      const at = new Date(Number(timestampNanos / 1_000_000n)).toISOString();
      log.write(`${at} ${level} ${message} ${meta === undefined ? '' : describe(meta)}\n`);
    }),
    telemetryOptions: { logging: { forward: {}, filter: 'WARN' } },
  });
  return logFile;
}

/** What tells where it happened; whole tasks, which come along, would fill the disk. */
function describe(meta: { readonly [name: string]: unknown }): string {
  const told = ['taskQueue', 'workflowId', 'workflowType', 'activityType', 'attempt', 'error'] as const;
  return told
    .filter((name) => meta[name] !== undefined)
    .map((name) => {
      const value = meta[name];
      return `${name}=${value instanceof Error ? value.stack : String(value)}`.slice(0, 2_000);
    })
    .join(' ');
}
