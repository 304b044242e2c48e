/** A folder of files as an artifact: names and digests, with the files as objects of their own. */

import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { loadJson, readBytes, saveJson } from './codecs.ts';
import { digestFile, sha256Hex } from './digest.ts';
import { mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';
import type { Tree } from './types.ts';

/** What the folder would be as an artifact; nothing is written. The reference equals that of `ingestTree`. */
export async function digestTree(folder: string): Promise<ArtifactRef> {
  const bytes = Buffer.from(canonicalJson(await readTree(folder, digestFile)));
  return { artifact: 'tree', digest: sha256Hex(bytes), bytes: bytes.length };
}

/** Puts every file into the store, then the list of them. */
export async function ingestTree(store: Store, folder: string): Promise<ArtifactRef> {
  return saveJson(store, 'tree', await readTree(folder, (path) => store.putFile(path)));
}

/** Files of a tree by name, read from the store and verified there. */
export interface OpenTree {
  readonly tree: Tree;
  /** Throws on a name that the tree does not have. */
  read(name: string): Promise<Buffer>;
  /** Null on a name that the tree does not have. */
  digestOf(name: string): string | null;
}

export async function openTree(store: Store, ref: ArtifactRef): Promise<OpenTree> {
  const tree = await loadJson(store, 'tree', ref);
  const digests = new Map(tree.files.map((file) => [file.name, file.digest]));
  return {
    tree,
    digestOf: (name) => digests.get(name) ?? null,
    read: async (name) => {
      const digest = digests.get(name);
      if (digest === undefined) throw new Error(`The folder has no file "${name}".`);
      return readBytes(store, `file "${name}"`, digest);
    },
  };
}

/** What was named is no folder of files; the message says why, and what to do. */
export class FolderError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FolderError';
  }
}

/** A file of the tree is already in the folder with other bytes. */
export class FileInTheWayError extends Error {
  constructor(paths: readonly string[]) {
    const shown = paths.slice(0, 10).join(', ') + (paths.length > 10 ? ` and ${paths.length - 10} more` : '');
    super(
      `Would overwrite ${shown}, which ${paths.length === 1 ? 'has' : 'have'} other contents. Nothing was written. Move ${paths.length === 1 ? 'it' : 'them'} away, or name another folder.`,
    );
    this.name = 'FileInTheWayError';
  }
}

/**
 * Writes the files of a tree into a folder. A file that is there with the same bytes stays; one with other bytes is
 * never overwritten: then nothing at all is written.
 */
export async function writeTree(store: Store, ref: ArtifactRef, folder: string): Promise<void> {
  const { tree, read } = await openTree(store, ref);
  const inTheWay: string[] = [];
  const missing: string[] = [];
  for (const { name, digest } of tree.files) {
    const path = join(folder, name);
    const there = await stat(path).catch(() => null);
    if (there === null) missing.push(name);
    else if (!there.isFile() || (await digestFile(path)).digest !== digest) inTheWay.push(path);
  }
  if (inTheWay.length > 0) throw new FileInTheWayError(inTheWay);
  for (const name of missing) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    // Beside, then renamed: a half-written file would be in the way of the next attempt.
    const temporary = `${path}.part-${process.pid}`;
    try {
      const file = await open(temporary, 'w');
      try {
        await file.writeFile(await read(name));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

async function readTree(
  folder: string,
  take: (path: string) => Promise<{ digest: string; bytes: number }>,
): Promise<Tree> {
  const root = await realpath(resolve(folder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new FolderError(`There is no folder "${folder}" (looked for ${resolve(folder)}). Correct the path.`);
  });
  if (!(await stat(root)).isDirectory()) {
    throw new FolderError(`"${folder}" is a file; expected a folder with images and labels. Correct the path.`);
  }
  const names = (await filesIn(root, root, folder)).sort();
  if (names.length === 0) {
    throw new FolderError(
      `The folder "${folder}" holds no files (those beginning with a dot do not count). Correct the path.`,
    );
  }
  const files = await mapInParallel(names, async (name) => ({ name, ...(await take(join(root, name))) }));
  return { files };
}

/** Relative names, with forward slashes. What begins with a dot belongs to tools, not to the data. */
async function filesIn(current: string, root: string, folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(current, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = join(current, entry.name);
    if (entry.isSymbolicLink()) await checkLink(path, root, folder);
    const info = entry.isSymbolicLink() ? await stat(path) : entry;
    if (info.isDirectory()) names.push(...(await filesIn(path, root, folder)));
    else if (info.isFile()) names.push(relative(root, path).split(sep).join('/'));
  }
  return names;
}

/** A link may point to another file of the folder; what lies outside would not be part of what was named. */
async function checkLink(path: string, root: string, folder: string): Promise<void> {
  const target = await realpath(path).catch(() => null);
  const place = `"${relative(root, path)}" in the folder "${folder}"`;
  if (target === null) throw new FolderError(`${place} is a symbolic link to nothing. Mend or remove it.`);
  if (!target.startsWith(root + sep)) {
    throw new FolderError(
      `${place} is a symbolic link to ${target}, outside of the folder. Copy the file into the folder, or name the folder it points to.`,
    );
  }
  // A link to a folder above itself would make an endless tree.
  if (path.startsWith(target + sep))
    throw new FolderError(`${place} is a symbolic link to a folder around it. Remove it.`);
}
