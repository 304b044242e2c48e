/** Whether a full disk is why something failed that does not say so itself, as SQLite and Temporal do. */

import { statfsSync } from 'node:fs';

/** A server that has failed has probably failed for this, where less is free. */
const freeMinBytes = 8 * 1024 * 1024;

/** One sentence with the remedy, or null where there is space, or no such folder. */
export function fullDisk(folder: string, minBytes: number = freeMinBytes): string | null {
  try {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize >= minBytes) return null;
    const freeMb = ((bavail * bsize) / 1024 / 1024).toFixed(1);
    return `The disk of ${folder} is full: ${freeMb} MB are free, and the embedded engine needs more. Free some space there, then run the same command again.`;
  } catch {
    return null;
  }
}
