/**
 * The checkpoints of one training, in the store under its step's fingerprint:
 *
 *     checkpoints/FINGERPRINT/000000000120.json   what was saved after step 120, and on what machine
 *
 * Records are created, never replaced; the state itself is an object. Any number of attempts may list and add.
 */

import { sha256Hex } from '../artifacts/digest.ts';
import { DamagedObjectError, type Store } from '../artifacts/store.ts';
import type { CheckpointLink } from '../detection/model/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { RunEnvironment } from '../plan/types.ts';

/** What the last bits of a training depend on. */
export type NumericEnvironment = Pick<RunEnvironment, 'threads' | 'tensorflow' | 'oneDnn' | 'cpu'>;

export interface CheckpointRecord {
  readonly step: number;
  readonly object: string;
  readonly bytes: number;
  /**
   * Names the arithmetic of all steps up to here: a hash of the environment, and of each change of it. Two checkpoints
   * of one step and one chain hold the same weights.
   */
  readonly chain: string;
  /** The training's hash chain after this step, and the digest of its whole state; absent in records of the first builds. */
  readonly head?: string;
  readonly state?: string;
  readonly environment: NumericEnvironment;
  /** Training time of all attempts so far. */
  readonly seconds: number;
}

export interface FoundCheckpoint {
  readonly step: number;
  readonly bytes: Uint8Array;
  readonly seconds: number;
  /** Whether every step so far, and the ones to come, are computed as in a run that never stopped. */
  readonly exact: boolean;
}

export interface Checkpoints {
  /** The newest whole one; null: start from the beginning. */
  readonly newest: FoundCheckpoint | null;
  /** Adds one, unless another attempt is further, has gone on with other arithmetic, or has come to other numbers. */
  add(step: number, bytes: Uint8Array, seconds: number, link?: CheckpointLink): Promise<'added' | 'late' | 'differs'>;
  /** After success: leaves only the newest, from which a repeated attempt has its result at once. */
  tidy(): Promise<void>;
}

/** So many are kept while the training goes on: a damaged one falls back to the one before. */
const keptCount = 3;

export async function openCheckpoints(
  store: Store,
  fingerprint: string,
  environment: NumericEnvironment,
): Promise<Checkpoints> {
  const prefix = `checkpoints/${fingerprint}/`;
  const keyOf = (step: number): string => `${prefix}${String(step).padStart(12, '0')}.json`;
  /** Records whose objects are gone or damaged: nothing goes on from them. */
  const dead = new Set<string>();

  const read = async (key: string): Promise<CheckpointRecord | null> => {
    const bytes = await store.readRecord(key);
    try {
      return bytes === null ? null : (JSON.parse(bytes.toString()) as CheckpointRecord);
    } catch {
      return null;
    }
  };

  const load = async (record: CheckpointRecord): Promise<Buffer | null> => {
    try {
      return await store.getObject(record.object);
    } catch (error) {
      if (!(error instanceof DamagedObjectError)) throw error;
      // Taken away, so that the same state can be stored again when the training gets there.
      await store.removeObject(record.object);
      return null;
    }
  };

  const liveKeys = async (): Promise<string[]> => (await store.listRecords(prefix)).filter((key) => !dead.has(key));

  const ownChain = sha256Hex(canonicalJson([fingerprint, { ...environment }]));
  let chain = ownChain;
  let newest: FoundCheckpoint | null = null;
  let newestKey: string | null = null;
  for (const key of (await store.listRecords(prefix)).reverse()) {
    const record = await read(key);
    const bytes = record === null ? null : await load(record);
    if (record === null || bytes === null) {
      dead.add(key);
      continue;
    }
    const sameArithmetic = canonicalJson({ ...record.environment }) === canonicalJson({ ...environment });
    chain = sameArithmetic ? record.chain : sha256Hex(canonicalJson([record.chain, record.step, { ...environment }]));
    newestKey = key;
    // A copy: a Buffer may be a part of a larger one, and slices of it are no copies.
    newest = { step: record.step, bytes: new Uint8Array(bytes), seconds: record.seconds, exact: chain === ownChain };
    break;
  }

  const removeObjectsOf = async (keys: readonly string[]): Promise<void> => {
    for (const key of keys) {
      const record = await read(key);
      if (record !== null) await store.removeObject(record.object);
      dead.add(key);
    }
  };

  return {
    newest,
    async add(step, bytes, seconds, link) {
      const keys = await liveKeys();
      const last = keys.at(-1);
      const lastRecord = last === undefined ? null : await read(last);
      if (lastRecord !== null) {
        const onOurs = lastRecord.chain === chain || last === newestKey;
        if (lastRecord.step >= step || !onOurs) return 'late';
        // The same arithmetic gives the same numbers: where it did not, one of the two machines computes wrongly.
        const own = link?.headAt(lastRecord.step);
        if (own !== undefined && lastRecord.head !== undefined && own !== lastRecord.head) return 'differs';
      }
      const object = await store.putObject(bytes);
      const links = link === undefined ? {} : { head: link.head, state: link.state };
      const record: CheckpointRecord = { step, object, bytes: bytes.byteLength, chain, ...links, environment, seconds };
      await store.createRecord(keyOf(step), Buffer.from(canonicalJson({ ...record })));
      await removeObjectsOf([...keys].slice(0, Math.max(0, keys.length + 1 - keptCount)));
      return 'added';
    },
    async tidy() {
      await removeObjectsOf((await liveKeys()).slice(0, -1));
    },
  };
}

/** The next training of this fingerprint begins at the beginning. */
export async function forgetCheckpoints(store: Store, fingerprint: string): Promise<void> {
  for (const key of await store.listRecords(`checkpoints/${fingerprint}/`)) {
    const bytes = await store.readRecord(key);
    if (bytes !== null) await store.removeObject((JSON.parse(bytes.toString()) as CheckpointRecord).object);
  }
}
