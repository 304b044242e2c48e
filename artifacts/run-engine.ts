/**
 * Where a run is run: a second engine with the same store finds it there, and does not run the run as well.
 *
 *     runs/RUN/engines/NUMBER.json    RunEngine, created once; the highest number counts
 *
 * Who takes a run over reads the newest and creates the next: of two at once one is first, and the other reads again.
 */

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

export interface EngineClaim {
  /** From 1. */
  readonly number: number;
  readonly engine: RunEngine;
}

const prefixOf = (run: string): string => `runs/${run}/engines/`;

/** Null for a run that has not begun, or that an earlier version began. */
export async function readEngineClaim(store: Store, run: string): Promise<EngineClaim | null> {
  const newest = (await store.listRecords(prefixOf(run))).at(-1);
  if (newest === undefined) return null;
  const engine = JSON.parse(String(await store.readRecord(newest))) as RunEngine;
  return { number: Number(newest.slice(prefixOf(run).length, -'.json'.length)), engine };
}

/** Puts a claim behind the newest that is known, null where there is none. False where another engine was quicker. */
export async function addEngineClaim(
  store: Store,
  run: string,
  newest: EngineClaim | null,
  engine: RunEngine,
): Promise<boolean> {
  const number = String((newest?.number ?? 0) + 1).padStart(6, '0');
  const key = `${prefixOf(run)}${number}.json`;
  const content = Buffer.from(canonicalJson(engine));
  const first = await store.createRecord(key, content);
  return first === null;
}
