/** What people said to gates that were not open yet, from the run's record, for a root that begins again. */

import { readApproval } from '../artifacts/approval-record.ts';
import { type EarlyMessage, earlyMessagesFrom } from '../artifacts/early-messages.ts';
import { ledgerKey, ledgerKeys } from '../artifacts/gate-record.ts';
import { messageBytesMax } from '../plan/limits.ts';
import type { ActivityDeps } from './attempt.ts';

/** A part of it, because Temporal refuses payloads of 2 MiB. */
export interface EarlyPage {
  readonly messages: readonly EarlyMessage[];
  /** Key of the record with which the next page begins; null after the last. */
  readonly next: string | null;
}

/** `from`: null for the first page. Without what gates have taken since; what they refused comes again, and does no harm. */
export async function loadEarly(
  { store }: ActivityDeps,
  { run, from }: { run: string; from: string | null },
): Promise<EarlyPage> {
  const written = new Set(await ledgerKeys(store, run));
  const isWanted = async (message: EarlyMessage) =>
    'batch' in message
      ? !written.has(ledgerKey(run, message.gate, message.batch.batch))
      : (await readApproval(store, run, message.gate))?.state !== 'answered';
  const messages: EarlyMessage[] = [];
  let room = messageBytesMax;
  for await (const { key, bytes, message } of earlyMessagesFrom(store, run, from, isWanted)) {
    if (bytes > room && messages.length > 0) return { messages, next: key };
    messages.push(message);
    room -= bytes;
  }
  return { messages, next: null };
}
