/**
 * What people said about gates that were not open yet. Until they open it waits in the run's workflow; here it is kept as
 * well, for a workflow that begins again because the engine has lost its memory, or because the run was cancelled.
 *
 *     runs/RUN/early/GATE/NAME.json    EarlyMessage, created once
 */

import type { Decision } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { GivenAnswer } from './approval-record.ts';
import { mapAhead } from './map-in-parallel.ts';
import type { Store } from './store.ts';

/** Decisions about candidates of a review, or the answer to an `approve` step. */
export type EarlyMessage =
  | { readonly gate: string; readonly batch: EarlyBatch }
  | { readonly gate: string; readonly given: GivenAnswer };

/** Decisions that somebody sent at once. */
export interface EarlyBatch {
  readonly gate: string;
  /** Names the record; begins with the number of the batch in the gate, so that records sort by arrival. */
  readonly batch: string;
  readonly by: string;
  readonly at: string;
  readonly via: 'update' | 'signal';
  readonly shown?: string;
  readonly decisions?: readonly Decision[];
  /** Digest of a list of decisions in the store. */
  readonly reference?: string;
}

/** The same message counts once, however often it is kept. */
export async function keepEarlyMessage(store: Store, run: string, message: EarlyMessage): Promise<void> {
  const name = 'batch' in message ? message.batch.batch : 'answer';
  // Encoded, because the sender may have chosen a name with a slash.
  const key = `${prefixOf(run)}${message.gate}/${encodeURIComponent(name)}.json`;
  await store.createRecord(key, Buffer.from(canonicalJson(message)));
}

/** Those that `isWanted`, in the order in which they came to each gate, from the one with this key on, or from the first. */
export async function* earlyMessagesFrom(
  store: Store,
  run: string,
  from: string | null,
  isWanted: (message: EarlyMessage) => Promise<boolean>,
): AsyncGenerator<{ readonly key: string; readonly bytes: number; readonly message: EarlyMessage }> {
  const keys = (await store.listRecords(prefixOf(run))).filter((key) => key >= (from ?? ''));
  const read = async (key: string) => {
    const record = await store.readRecord(key);
    if (record === null) return null;
    const message = JSON.parse(record.toString()) as EarlyMessage;
    return (await isWanted(message)) ? { key, bytes: record.length, message } : null;
  };
  for await (const one of mapAhead(keys, read)) if (one !== null) yield one;
}

/** Whether anything was said early. */
export async function hasEarlyMessages(store: Store, run: string): Promise<boolean> {
  return (await store.listRecords(prefixOf(run))).length > 0;
}

/** Those of gates that begin anew, and ask again. */
export async function forgetEarlyMessages(
  store: Store,
  run: string,
  isReset: (gate: string) => boolean,
): Promise<void> {
  for (const key of await store.listRecords(prefixOf(run))) {
    const bytes = await store.readRecord(key);
    if (bytes !== null && isReset((JSON.parse(bytes.toString()) as EarlyMessage).gate)) await store.removeRecord(key);
  }
}

const prefixOf = (run: string): string => `runs/${run}/early/`;
