/**
 * What the steps of a run, or of a file that it imports, had made when they ended, kept where their `finally` was cut
 * because the run went on in a new history: there it sees the same, and they do not run again.
 *
 *     runs/RUN/ending.json          of the run: outputs by id of the step
 *     runs/RUN/endings/PATH.json    of the file that the step at PATH imports
 */

import { canonicalJson } from '../plan/canonical.ts';
import type { Json } from '../plan/types.ts';
import type { Store } from './store.ts';

/** Outputs of steps, by id. */
export type Made = { readonly [id: string]: { readonly [name: string]: Json } };

/** `path`: of the step that imports the file; empty for the run. */
export async function writeMade(store: Store, run: string, path: string, made: Made): Promise<void> {
  await store.writeRecord(keyOf(run, path), Buffer.from(canonicalJson(made)));
}

/** Empty where nothing was kept. */
export async function readMade(store: Store, run: string, path: string): Promise<Made> {
  const bytes = await store.readRecord(keyOf(run, path));
  return bytes === null ? {} : (JSON.parse(bytes.toString()) as Made);
}

const keyOf = (run: string, path: string): string =>
  path === '' ? `runs/${run}/ending.json` : `runs/${run}/endings/${path}.json`;
