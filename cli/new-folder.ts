/** Folders that a command makes: nothing that is there is overwritten, and all of the folder is there or nothing. */

import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CommandError, exitCodes } from './output.ts';

/** Throws `CommandError` unless there is nothing at the path, or an empty folder. */
export async function expectNewFolder(path: string): Promise<void> {
  const occupied = await readdir(path).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? [] : null));
  if (occupied !== null && occupied.length === 0) return;
  throw new CommandError(
    `${path} ${occupied === null ? 'is no folder' : 'is not empty'}. Name a new folder, so that nothing is overwritten.`,
    exitCodes.usage,
  );
}

/** Names are those within the folder; folders between are made. */
export interface NewFolder {
  put(name: string, content: Uint8Array | string): Promise<void>;
  copy(name: string, from: string): Promise<void>;
}

/** Fills a folder beside the path, and renames it once `fill` has made it whole. */
export async function makeFolder(path: string, fill: (folder: NewFolder) => Promise<void>): Promise<void> {
  const target = resolve(path);
  const temporary = join(dirname(target), `.hardcase-${randomUUID()}`);
  const within = async (name: string): Promise<string> => {
    const file = join(temporary, name);
    await mkdir(dirname(file), { recursive: true });
    return file;
  };
  try {
    await mkdir(temporary, { recursive: true });
    await fill({
      put: async (name, content) => writeFile(await within(name), content),
      copy: async (name, from) => copyFile(from, await within(name)),
    });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
