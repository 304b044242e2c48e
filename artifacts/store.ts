/** The contract of every artifact store: immutable objects by digest, and small named records. */

export interface ObjectInfo {
  readonly digest: string;
  readonly bytes: number;
  /** When it was written or last put again, in milliseconds since 1970, by the clock of the store. */
  readonly modifiedAt: number;
}

/**
 * An object that is put although it is there, and was written longer ago than this (milliseconds), becomes as young as a new
 * one: a collection of garbage must not take what a step has just begun to count on.
 */
export const FRESHEN_AFTER_MS = 3_600_000;

/** Objects are read back verified; records are small JSON documents under slash-separated keys. */
export interface Store {
  /** As the user wrote it: a folder, or `s3://bucket/prefix`. */
  readonly url: string;

  /** Stores the bytes unless they are there already; answers their SHA-256 (hex). */
  putObject(content: Uint8Array): Promise<string>;
  /** As `putObject`, from a file that may be large. */
  putFile(path: string): Promise<{ digest: string; bytes: number }>;
  /** Null where there is none. Throws `DamagedObjectError` where the bytes do not match the digest. */
  getObject(digest: string): Promise<Buffer | null>;
  hasObject(digest: string): Promise<boolean>;
  /** Removes a damaged object, so that its step can make it again, or one that nothing needs. */
  removeObject(digest: string): Promise<void>;
  /** Null where there is none. */
  statObject(digest: string): Promise<ObjectInfo | null>;
  /** All objects, in no order. */
  listObjects(): Promise<ObjectInfo[]>;

  /** Null where there is none. */
  readRecord(key: string): Promise<Buffer | null>;
  /** Creates the record if the key is free: null then, else the bytes of the one that was first. Atomic. */
  createRecord(key: string, content: Uint8Array): Promise<Buffer | null>;
  /** Creates or replaces, atomically. */
  writeRecord(key: string, content: Uint8Array): Promise<void>;
  /** Without complaint where there is none. For what nobody reads any more: a reader must not take a gap for a fresh start. */
  removeRecord(key: string): Promise<void>;
  /** All keys that begin with the prefix, sorted. */
  listRecords(prefix: string): Promise<string[]>;
  /** Names of the immediate children of a key prefix that ends in a slash (folders without their slash), sorted, each once. */
  listNames(prefix: string): Promise<string[]>;
}

export interface OpenOptions {
  /** Whether a store that is not there is made (default true). */
  readonly create?: boolean;
}

/** The stored bytes are not those that the digest names: a disk or transfer fault. */
export class DamagedObjectError extends Error {
  readonly digest: string;
  readonly place: string;
  constructor(digest: string, place: string, found: string) {
    super(
      `Object ${digest} is damaged: its bytes have the digest ${found} (${place}). Remove it, and run again the step that made it.`,
    );
    this.name = 'DamagedObjectError';
    this.digest = digest;
    this.place = place;
  }
}

/** The store cannot be reached or refuses us; the message says what to change. Retried where `transient`. */
export class StoreUnavailableError extends Error {
  readonly transient: boolean;
  constructor(message: string, transient: boolean, cause?: unknown) {
    super(message, { cause });
    this.name = 'StoreUnavailableError';
    this.transient = transient;
  }
}

/** No space is left where the store is. It passes as soon as somebody frees some, and seldom by itself. */
export class StoreFullError extends StoreUnavailableError {
  constructor(message: string, cause?: unknown) {
    super(message, true, cause);
    this.name = 'StoreFullError';
  }
}
