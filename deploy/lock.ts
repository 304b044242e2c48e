/** Locks between processes of one machine: a file that names its owner, and does not outlive it. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from './servers.ts';

/** A process, told apart from a later one that got the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in the system's own words; empty where the system does not say. */
  readonly started: string;
}

/** Null where no such process runs. */
export function identify(pid: number): ProcessIdentity | null {
  try {
    if (!isRunning(pid)) return null;
  } catch {
    // It belongs to another user, so it runs.
  }
  return { pid, started: startOf(pid) };
}

/**
 * The folder as the file system knows it, whatever it is called: what a file in it says of living processes is true in
 * this folder only, and not in a copy of it. Empty where the folder is gone.
 */
export function folderPlace(folder: string): string {
  try {
    const { dev, ino } = statSync(folder);
    return `${dev}:${ino}`;
  } catch {
    return '';
  }
}

/** Whether what was written with this place (none: by an earlier version) was written in the folder as it is now. */
export const isOfPlace = (value: object, folder: string): boolean =>
  !('place' in value) || value.place === folderPlace(folder);

export function isAlive(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now !== null && (now.started === identity.started || now.started === '' || identity.started === '');
}

function startOf(pid: number): string {
  try {
    // Field 22 counts ticks since the boot, so the boot belongs to it. The name in field 2 may hold spaces.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  } catch {
    try {
      return execFileSync('ps', ['-o', 'lstart=', '-p', `${pid}`], { encoding: 'utf8', timeout: 5_000 }).trim();
    } catch {
      return '';
    }
  }
}

/** Takes the lock unless a living process has it; answers how to give it back, or null. */
export function tryLock(path: string): (() => void) | null {
  mkdirSync(dirname(path), { recursive: true });
  const token = randomBytes(8).toString('hex');
  const content = JSON.stringify({ ...identify(process.pid), place: folderPlace(dirname(path)), token });
  if (!createWhole(path, content)) {
    if (!removeStale(path) || !createWhole(path, content)) return null;
  }
  return () => {
    if (readText(path) === content) rmSync(path, { force: true });
  };
}

/** The living owner of the lock, or null. */
export function lockOwner(path: string): ProcessIdentity | null {
  const owner = ownerOf(path, readText(path));
  return owner !== null && isAlive(owner) ? owner : null;
}

/** Runs the function while holding the lock; waits for it at most `waitMs`. */
export async function withLock<T>(path: string, waitMs: number, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + waitMs;
  let release = tryLock(path);
  while (release === null) {
    if (Date.now() > deadline) {
      const owner = ownerOf(path, readText(path));
      throw new Error(
        `The lock ${path} has been held for ${Math.round(waitMs / 1000)} s by process ${owner?.pid ?? 'unknown'}. End that process ("kill ${owner?.pid ?? 'PID'}"), or wait for it.`,
      );
    }
    await sleep(50);
    release = tryLock(path);
  }
  try {
    return await work();
  } finally {
    release();
  }
}

/** Creates the file with all its content at once: a reader never sees half an owner. False where there is one. */
function createWhole(path: string, content: string): boolean {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, content, { flush: true });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

// Breaking a lock takes microseconds; a breaker this old was left by a process that died meanwhile.
const breakerAgeMaxMs = 10_000;

/**
 * Removes the lock of a dead owner. Only one process at a time may do so, or a slow one would remove the lock that a
 * quick one has just taken instead.
 */
function removeStale(path: string): boolean {
  const breaker = `${path}.break`;
  if (!createWhole(breaker, '')) {
    if (ageMs(breaker) > breakerAgeMaxMs) rmSync(breaker, { force: true });
    return false;
  }
  try {
    const text = readText(path);
    if (text === null) return true;
    const owner = ownerOf(path, text);
    if (owner !== null && isAlive(owner)) return false;
    rmSync(path, { force: true });
    return true;
  } finally {
    rmSync(breaker, { force: true });
  }
}

function ageMs(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** Null also for the owner that a copied folder names: it holds the lock of the folder that was copied. */
function ownerOf(path: string, text: string | null): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return null;
    if (!isOfPlace(value, dirname(path))) return null;
    return { pid: Number(value.pid), started: String(value.started) };
  } catch {
    return null;
  }
}
