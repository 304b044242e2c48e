/**
 * Loaded into every Node process of a benchmark (NODE_OPTIONS=--import): a TensorFlow process appends to HARDCASE_PROBE when it
 * began, where it goes on from, and how far it is, as it tells its worker. Nothing else of it is changed.
 */

import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import type { FromChild } from '../../activities/tf-messages.ts';

/** One line of the file, in JSON. `at` is milliseconds of the clock, `parent` the worker. */
export type ProbeEntry = { readonly at: number; readonly pid: number; readonly parent: number } & (
  | { readonly type: 'process' }
  | { readonly type: 'resumed'; readonly step: number; readonly exact: boolean }
  | { readonly type: 'step'; readonly share: number }
);

const file = process.env.HARDCASE_PROBE;
const send = process.send?.bind(process);
if (file !== undefined && send !== undefined && isMainThread) {
  const tell = (entry: object): void =>
    appendFileSync(file, `${JSON.stringify({ at: Date.now(), pid: process.pid, parent: process.ppid, ...entry })}\n`);
  tell({ type: 'process' });
  process.send = ((message: FromChild, ...rest: []) => {
    if (message.type === 'resumed') tell(message);
    // A training says so after its first step and then every second; what comes before are images and threads.
    if (message.type === 'progress' && message.message.startsWith('epoch ') && message.share !== undefined)
      tell({ type: 'step', share: message.share });
    return send(message, ...rest);
  }) as typeof process.send;
}
