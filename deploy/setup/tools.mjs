/** Runs the tools of the set-up, keeps what they print, and keeps what they write inside the cache folder. */

import { spawn } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from './parts.mjs';
import { explain, SetupError } from './remedies.mjs';

const running = new Set();
let stopped = false;

/** Ends what was started and has not ended, and starts nothing more; for an interrupted or failed set-up. */
export function stopTools() {
  stopped = true;
  // A group each, because npm, pip and go start processes of their own.
  for (const child of running) {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It ended in this very moment.
    }
  }
}

/**
 * Runs a command to its end and resolves with what it printed. `what` is for the error: "npm ci". Everything goes to
 * the stage's log in the cache folder too. `explainWith` may know a failure better than the general remedies do.
 */
export async function runTool(what, command, args, { cwd, env = {}, log, explainWith = () => null }) {
  if (stopped) throw new SetupError(`${what} was not started.`, 'See the error before this one.');
  const logFile = join(cacheFolder(), 'logs', `${log}.log`);
  mkdirSync(dirname(logFile), { recursive: true });
  mkdirSync(join(cacheFolder(), 'tmp'), { recursive: true });
  const logStream = createWriteStream(logFile);
  logStream.on('error', () => {}); // A full disk shows in the tool's own failure.
  let output = '';
  const child = spawn(command, args, {
    cwd,
    // The tools' own temporary files would land outside the cache folder, often on a small disk.
    env: { ...process.env, TMPDIR: join(cacheFolder(), 'tmp'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      output = (output + text).slice(-200_000);
      logStream.write(text);
    });
  }
  const failure = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) =>
      resolve(code === 0 ? null : `${what} ended with ${signal ?? `status ${code}`}`),
    );
  });
  running.delete(child);
  logStream.end();
  if (failure !== null) throw explainWith(output, logFile) ?? explain(what, `${output}\n${failure}`, logFile);
  return output;
}

/** Calls `make` with an empty folder beside the final place, to be renamed into it, and removes what is left of it. */
export async function withTemporaryFolder(make) {
  const parent = join(cacheFolder(), 'tmp');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'stage-'));
  try {
    return await make(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Removes a folder of the cache in the background: the thousands of files that Go leaves take minutes on a slow disk. It
 * is renamed first, so that nobody sees it half gone; what an earlier removal did not finish goes with it.
 */
export function discard(folder) {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return;
  renameSync(folder, join(cacheFolder(), `discarded-${process.pid}-${Date.now()}`));
  const program = `
    const fs = require('node:fs');
    for (const name of fs.readdirSync('.')) if (name.startsWith('discarded-')) fs.rmSync(name, { recursive: true, force: true, maxRetries: 3 });
  `;
  const options = { cwd: cacheFolder(), detached: true, stdio: 'ignore' };
  spawn(process.execPath, ['--eval', program], options)
    .on('error', () => {})
    .unref();
}

/** Null, or the error that says how much space is missing for this. */
export function missingSpace(folder, gigabytes, what) {
  let existing = folder;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  const free = (bavail * bsize) / 1e9;
  if (free >= gigabytes) return null;
  return new SetupError(
    `${what} needs about ${gigabytes} GB in ${folder}, and ${free.toFixed(1)} GB are free there.`,
    'Free some space, or name a cache folder on another disk in HARDCASE_CACHE.',
  );
}
