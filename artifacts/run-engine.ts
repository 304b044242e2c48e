/** Where a run is run: a second engine with the same store finds it there, and does not run the run as well. */

import { canonicalJson } from '../plan/canonical.ts';
import type { Store } from './store.ts';

/** The embedded engine of a folder, or a server that others share. */
export type RunEngine =
  | {
      /** As it was called then. */
      readonly folder: string;
      /** Tells the folder from its copies, and stays when it is renamed. */
      readonly place: string;
      /** The server's process, told apart from a later one that got the same pid. */
      readonly server: { readonly pid: number; readonly started: string };
    }
  | { readonly address: string; readonly namespace: string };

const keyOf = (run: string): string => `runs/${run}/engine.json`;

/** Null for a run that has not begun, or that an earlier version began. */
export async function readRunEngine(store: Store, run: string): Promise<RunEngine | null> {
  const bytes = await store.readRecord(keyOf(run));
  return bytes === null ? null : (JSON.parse(bytes.toString()) as RunEngine);
}

/** Of two that claim a run nobody has run at once, one succeeds, and the other gets the one that did; null: succeeded. */
export async function createRunEngine(store: Store, run: string, engine: RunEngine): Promise<RunEngine | null> {
  const first = await store.createRecord(keyOf(run), Buffer.from(canonicalJson(engine)));
  return first === null ? null : (JSON.parse(first.toString()) as RunEngine);
}

export async function writeRunEngine(store: Store, run: string, engine: RunEngine): Promise<void> {
  await store.writeRecord(keyOf(run), Buffer.from(canonicalJson(engine)));
}
