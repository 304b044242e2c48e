/** The store as a folder: objects and records are files, each of which appears whole or not at all. */

import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  utimes,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { checkDigest, digestFile, sha256Hex } from './digest.ts';
import { mapInParallel } from './map-in-parallel.ts';
import { checkRecordKey, decodeSegment, encodeSegment } from './record-key.ts';
import {
  DamagedObjectError,
  FRESHEN_AFTER_MS,
  type ObjectInfo,
  type OpenOptions,
  type Store,
  StoreFullError,
  StoreUnavailableError,
} from './store.ts';

/** Files in tmp/ that are older were left by a writer that was killed, on another host perhaps; a living one needs seconds. */
const LEFTOVER_AGE_MS = 24 * 3_600_000;
/** So often an empty folder may be removed under a writer, before something else must be the matter. */
const takenAwayMax = 5;

/**
 * Opens the folder, which is made where it is missing; without `create` it is left missing, and reads as an empty store.
 * Throws `StoreUnavailableError` where it cannot be written.
 */
export async function openFolderStore(folder: string, { create = true }: OpenOptions = {}): Promise<Store> {
  const store = new FolderStore(folder);
  if (create || existsSync(folder)) await store.open();
  return store;
}

/**
 *     objects/ab/cdef…   an object, by its SHA-256
 *     records/…          a record, by its key; segments percent-encoded
 *     tmp/               files being written
 */
class FolderStore implements Store {
  readonly url: string;
  readonly #objects: string;
  readonly #records: string;
  /** On the same file system as the rest, because a rename is only atomic within one. */
  readonly #temporary: string;
  #isOpen = false;

  constructor(folder: string) {
    this.url = folder;
    const root = resolve(folder);
    this.#objects = join(root, 'objects');
    this.#records = join(root, 'records');
    this.#temporary = join(root, 'tmp');
  }

  async open(): Promise<void> {
    await this.#guard('open', async () => {
      await makeFolder(this.#objects);
      await makeFolder(this.#records);
      await makeFolder(this.#temporary);
      await this.#sweep();
    });
    this.#isOpen = true;
  }

  async putObject(content: Uint8Array): Promise<string> {
    const digest = sha256Hex(content);
    const path = this.#objectPath(digest);
    await this.#guard('write', async () => {
      // The size tells a truncated file, which is then replaced.
      if ((await sizeOf(path)) === content.byteLength && (await freshen(path))) return;
      await this.#write(path, (file) => file.writeFile(content), rename);
    });
    return digest;
  }

  async putFile(path: string): Promise<{ digest: string; bytes: number }> {
    // Read once before it is copied: most files of a repeated import are in the store already.
    const before = await digestFile(path);
    return this.#guard('write', async () => {
      const there = this.#objectPath(before.digest);
      if ((await sizeOf(there)) === before.bytes && (await freshen(there))) return before;
      const hash = createHash('sha256');
      let bytes = 0;
      // Hashed again on the way, because the file may change while it is read.
      let digest = '';
      await this.#write(
        () => this.#objectPath(digest),
        async (file) => {
          for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
            hash.update(chunk as Buffer);
            bytes += (chunk as Buffer).length;
            await file.writeFile(chunk as Buffer);
          }
          digest = hash.digest('hex');
        },
        rename,
      );
      return { digest, bytes };
    });
  }

  async getObject(digest: string): Promise<Buffer | null> {
    const path = this.#objectPath(digest);
    const content = await this.#guard('read', () => readOrNull(path));
    if (content === null) return null;
    const found = sha256Hex(content);
    if (found !== digest) throw new DamagedObjectError(digest, path, found);
    return content;
  }

  async hasObject(digest: string): Promise<boolean> {
    return this.#guard('read', async () => (await sizeOf(this.#objectPath(digest))) !== null);
  }

  async removeObject(digest: string): Promise<void> {
    await this.#guard('write', () => rm(this.#objectPath(digest), { force: true }));
  }

  async statObject(digest: string): Promise<ObjectInfo | null> {
    return this.#guard('read', () => infoOf(digest, this.#objectPath(digest)));
  }

  async listObjects(): Promise<ObjectInfo[]> {
    return this.#guard('read', async () => {
      const folders = (await entriesOf(this.#objects))
        .map(({ name }) => name)
        .filter((name) => /^[0-9a-f]{2}$/.test(name));
      const lists = await mapInParallel(folders, async (folder) => {
        const names = (await entriesOf(join(this.#objects, folder))).map(({ name }) => name);
        const digests = names.map((name) => folder + name).filter((digest) => /^[0-9a-f]{64}$/.test(digest));
        return Promise.all(digests.map((digest) => infoOf(digest, this.#objectPath(digest))));
      });
      return lists.flat().filter((info) => info !== null);
    });
  }

  async readRecord(key: string): Promise<Buffer | null> {
    return this.#guard('read', () => readOrNull(this.#recordPath(key)));
  }

  async createRecord(key: string, content: Uint8Array): Promise<Buffer | null> {
    const path = this.#recordPath(key);
    return this.#guard('write', async () => {
      // A look first spares the many losers of a race, and repeated calls, the writing.
      const existing = await readOrNull(path);
      if (existing !== null) return existing;
      try {
        // link() fails where the name is taken, and so decides between writers in one step.
        await this.#write(path, (file) => file.writeFile(content), link);
        return null;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
        return readFile(path);
      }
    });
  }

  async writeRecord(key: string, content: Uint8Array): Promise<void> {
    const path = this.#recordPath(key);
    await this.#guard('write', () => this.#write(path, (file) => file.writeFile(content), rename));
  }

  async removeRecord(key: string): Promise<void> {
    const path = this.#recordPath(key);
    await this.#guard('write', async () => {
      await rm(path, { force: true });
      // Folders that it leaves empty would be listed as names.
      for (let folder = dirname(path); folder.length > this.#records.length; folder = dirname(folder)) {
        if (!(await removedEmpty(folder))) break;
      }
    });
  }

  async listRecords(prefix: string): Promise<string[]> {
    const folderKey = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    return this.#guard('read', async () => {
      const keys: string[] = [];
      const walk = async (folder: string, key: string): Promise<void> => {
        for (const entry of await entriesOf(folder)) {
          const segment = decodeSegment(entry.name);
          if (segment === null) continue;
          const child = key + segment;
          if (entry.isDirectory()) await walk(join(folder, entry.name), `${child}/`);
          else if (child.startsWith(prefix)) keys.push(child);
        }
      };
      await walk(this.#folderPath(folderKey), folderKey);
      return keys.sort();
    });
  }

  async listNames(prefix: string): Promise<string[]> {
    return this.#guard('read', async () => {
      const entries = await entriesOf(this.#folderPath(prefix));
      return entries
        .map((entry) => decodeSegment(entry.name))
        .filter((name) => name !== null)
        .sort();
    });
  }

  #objectPath(digest: string): string {
    checkDigest(digest);
    return join(this.#objects, digest.slice(0, 2), digest.slice(2));
  }

  #recordPath(key: string): string {
    checkRecordKey(key);
    return join(this.#records, ...key.split('/').map(encodeSegment));
  }

  /** `prefix` is empty or ends in a slash. */
  #folderPath(prefix: string): string {
    if (prefix === '') return this.#records;
    return this.#recordPath(prefix.replace(/\/$/, ''));
  }

  /** Writes beside, flushes, and only then gives the file its name: by `rename` (replaces) or `link` (never does). */
  async #write(
    target: string | (() => string),
    fill: (file: FileHandle) => Promise<void>,
    publish: (from: string, to: string) => Promise<void>,
  ): Promise<void> {
    const temporary = join(this.#temporary, `${randomUUID()}.${process.pid}.${encodeSegment(hostname())}`);
    try {
      const file = await open(temporary, 'wx');
      try {
        await fill(file);
        await file.sync();
      } finally {
        await file.close();
      }
      const path = typeof target === 'string' ? target : target();
      await inFolder(dirname(path), () => publish(temporary, path));
    } finally {
      // After a rename there is nothing left to remove.
      await rm(temporary, { force: true });
    }
  }

  async #sweep(): Promise<void> {
    const oldest = Date.now() - LEFTOVER_AGE_MS;
    for (const name of await readdir(this.#temporary)) {
      const path = join(this.#temporary, name);
      if (isOfTheDead(name)) {
        await rm(path, { force: true });
        continue;
      }
      const info = await stat(path).catch(() => null);
      if (info !== null && info.mtimeMs < oldest) await rm(path, { recursive: true, force: true });
    }
  }

  /** Whether the folder was here, and was since removed, renamed or unmounted. */
  #isGone(): boolean {
    return this.#isOpen && !existsSync(this.#temporary);
  }

  #goneError(cause?: unknown): StoreUnavailableError {
    return new StoreUnavailableError(
      `The store ${this.url} is gone: its folder was there before, and has been removed, renamed or unmounted. Put it back where it was.`,
      true,
      cause,
    );
  }

  /** Turns what the file system says into what the user can do about it. */
  async #guard<T>(action: 'open' | 'read' | 'write', work: () => Promise<T>): Promise<T> {
    try {
      const found = await work();
      // Nothing is found in a folder that is not there; that says nothing about what the store holds.
      if ((found === null || found === false || (Array.isArray(found) && found.length === 0)) && this.#isGone())
        throw this.#goneError();
      return found;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' && this.#isGone()) throw this.#goneError(error);
      // A file in tmp/ has another name each time, and is no place where anybody could look.
      const said = error instanceof Error ? error.message : String(error);
      const detail = said.includes(this.#temporary) ? said.replace(/, \w+ '.*$/, '') : said;
      if (code === 'ENOSPC' || code === 'EDQUOT') {
        throw new StoreFullError(
          `The disk of the store ${this.url} is full (${detail}). Nothing was left half-written. Free some space there, or set HARDCASE_STORE to a folder on another disk, and run again.`,
          error,
        );
      }
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
        throw new StoreUnavailableError(
          `Cannot ${action} the store ${this.url}: permission denied (${detail}). Give this user read and write access to the folder, on a file system with hard links, or set HARDCASE_STORE to another folder.`,
          false,
          error,
        );
      }
      if (code === 'ENOTDIR' || code === 'EEXIST' || code === 'EISDIR' || code === 'ENAMETOOLONG') {
        throw new StoreUnavailableError(
          `Cannot ${action} the store ${this.url}: something other than a store is in the way (${detail}). Set HARDCASE_STORE to an empty or new folder.`,
          false,
          error,
        );
      }
      if (code === 'EIO' || code === 'EMFILE' || code === 'ENFILE' || code === 'ESTALE') {
        throw new StoreUnavailableError(
          `Cannot ${action} the store ${this.url} (${detail}). Check the disk, then run again.`,
          true,
          error,
        );
      }
      throw error;
    }
  }
}

/** Whether the file's name tells of a process of this host that is gone. */
function isOfTheDead(name: string): boolean {
  const [, pid, ...host] = name.split('.');
  if (pid === undefined || host.join('.') !== encodeSegment(hostname())) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

async function readOrNull(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    // A key below or above another record's is as free as any other.
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR' || codeOf(error) === 'EISDIR') return null;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** False where the file has gone meanwhile: then it is to be written anew. */
async function freshen(path: string): Promise<boolean> {
  try {
    const now = Date.now();
    if ((await stat(path)).mtimeMs < now - FRESHEN_AFTER_MS) await utimes(path, now / 1000, now / 1000);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function infoOf(digest: string, path: string): Promise<ObjectInfo | null> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { digest, bytes: size, modifiedAt: mtimeMs };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** False where it is not empty, or somebody has just put something into it. */
async function removedEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** As `mkdir -p`; the entries of new folders are flushed, so that a power cut cannot take away what they hold. */
async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) await syncFolder(dirname(folder));
}

/** Makes the folder, does the work in it and flushes it: again where a collection of garbage took the empty folder away. */
async function inFolder(folder: string, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await makeFolder(folder);
      await work();
      return await syncFolder(folder);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === takenAwayMax) throw error;
    }
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
