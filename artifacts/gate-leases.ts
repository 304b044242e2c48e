/**
 * Leases of a gate's candidates, where every server of the store sees them, and a restarted one too.
 *
 *     runs/RUN/gates/PATH/leases/NUMBER.json    LeaseTable, created once; the highest number counts
 *
 * A server reads the newest table and creates the next; where another was quicker it reads again. So two servers never
 * give the same candidate away, with no lock that could be left behind.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { canonicalJson } from '../plan/canonical.ts';
import { mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';

/** Who is quicker goes on; with a wait of random length after each, so many in a row lose only where something is wrong. */
const triesMax = 60;
const waitMsMax = 40;
/** Older tables are removed: nobody is this far behind, unless it was asleep between reading and writing. */
const tablesKept = 32;
/** Whoever took longer than this from reading to writing may have been, and does it again. */
const freshMs = 10_000;

/** `change` gets the newest table, null before the first, and may be called several times; the answer is of the one that was kept. */
export async function changeLeases<Table, Answer>(
  store: Store,
  run: string,
  gate: string,
  change: (table: Table | null) => { readonly table: Table; readonly answer: Answer },
): Promise<Answer> {
  const prefix = prefixOf(run, gate);
  for (let tries = 0; tries < triesMax; tries++) {
    const startedAt = Date.now();
    const keys = await store.listRecords(prefix);
    const newest = keys.at(-1);
    const bytes = newest === undefined ? null : await store.readRecord(newest);
    // It was removed in between: others have gone far on.
    if (newest !== undefined && bytes === null) continue;
    const { table, answer } = change(bytes === null ? null : (JSON.parse(bytes.toString()) as Table));
    const key = `${prefix}${String(numberOf(newest, prefix) + 1).padStart(12, '0')}.json`;
    const isKept = (await store.createRecord(key, Buffer.from(canonicalJson(table)))) === null;
    if (isKept && Date.now() - startedAt < freshMs) {
      await mapInParallel(keys.slice(0, -tablesKept), (old) => store.removeRecord(old));
      return answer;
    }
    await sleep(Math.random() * waitMsMax);
  }
  throw new Error(`The leases of ${gate} of ${run} were changed by others ${triesMax} times in a row.`);
}

/** Once a gate is closed nobody needs them. */
export async function removeLeases(store: Store, run: string, gate: string): Promise<void> {
  await mapInParallel(await store.listRecords(prefixOf(run, gate)), (key) => store.removeRecord(key));
}

const prefixOf = (run: string, gate: string): string => `runs/${run}/gates/${gate}/leases/`;

const numberOf = (key: string | undefined, prefix: string): number =>
  key === undefined ? 0 : Number(key.slice(prefix.length, -'.json'.length));
