/** A store that lives as long as a test, for tests whose subject is something else. */

import { readFile } from 'node:fs/promises';
import { checkDigest, sha256Hex } from '../../artifacts/digest.ts';
import { DamagedObjectError, type Store } from '../../artifacts/store.ts';

export interface MemoryStore extends Store {
  /** When each was last put; a test may make one old. */
  readonly modified: Map<string, number>;
  /** Bytes by digest; a test may damage or remove them. */
  readonly objects: Map<string, Buffer>;
  readonly records: Map<string, Buffer>;
}

export function createMemoryStore(): MemoryStore {
  const objects = new Map<string, Buffer>();
  const records = new Map<string, Buffer>();
  const modified = new Map<string, number>();
  const infoOf = (digest: string) => ({
    digest,
    bytes: objects.get(digest)!.length,
    modifiedAt: modified.get(digest) ?? Date.now(),
  });
  const put = (content: Uint8Array): string => {
    const digest = sha256Hex(content);
    if (objects.get(digest)?.length !== content.byteLength) objects.set(digest, Buffer.from(content));
    modified.set(digest, Date.now());
    return digest;
  };
  return {
    url: 'memory',
    objects,
    records,
    modified,
    putObject: async (content) => put(content),
    putFile: async (path) => {
      const content = await readFile(path);
      return { digest: put(content), bytes: content.length };
    },
    getObject: async (digest) => {
      checkDigest(digest);
      const content = objects.get(digest);
      if (content === undefined) return null;
      if (sha256Hex(content) !== digest) throw new DamagedObjectError(digest, 'memory', sha256Hex(content));
      return Buffer.from(content);
    },
    hasObject: async (digest) => objects.has(digest),
    removeObject: async (digest) => {
      objects.delete(digest);
    },
    statObject: async (digest) => (objects.has(digest) ? infoOf(digest) : null),
    listObjects: async () => [...objects.keys()].map(infoOf),
    readRecord: async (key) => records.get(key) ?? null,
    createRecord: async (key, content) => {
      const first = records.get(key);
      if (first !== undefined) return first;
      records.set(key, Buffer.from(content));
      return null;
    },
    writeRecord: async (key, content) => {
      records.set(key, Buffer.from(content));
    },
    removeRecord: async (key) => {
      records.delete(key);
    },
    listRecords: async (prefix) => [...records.keys()].filter((key) => key.startsWith(prefix)).sort(),
    listNames: async (prefix) => {
      const below = [...records.keys()].filter((key) => key.startsWith(prefix));
      return [...new Set(below.map((key) => key.slice(prefix.length).split('/')[0]!))].sort();
    },
  };
}
