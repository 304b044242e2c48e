/**
 * What a store holds that nothing needs. Kept are: all runs but those that are to go, the results and checkpoints of their
 * steps, detections of models that are kept, all decisions of reviewers, and whatever these name. Records of kinds that are not
 * known here are kept, with all that they name.
 */

import type { Json, StepState } from '../plan/types.ts';
import { mapInParallel } from './map-in-parallel.ts';
import { Reach } from './reach.ts';
import { listRuns, type RunRecord, readStepRecords } from './run-record.ts';
import type { ObjectInfo, Store } from './store.ts';

export interface GarbageRules {
  /** Finished runs that ended longer ago than this go; null: all runs stay. */
  readonly olderThanMs: number | null;
  /** Ids of runs that stay in any case. */
  readonly keep: ReadonlySet<string>;
  /** Objects younger than this stay: a step writes its objects before the record that names them. */
  readonly graceMs: number;
}

export interface Garbage {
  readonly runs: readonly { readonly run: string; readonly state: StepState; readonly endedAt?: string }[];
  /** Keys, those of the runs included. */
  readonly records: readonly string[];
  readonly objects: readonly ObjectInfo[];
  readonly kept: Amount;
  /** Not needed by anything, but too young to go. */
  readonly young: Amount;
}

export interface Amount {
  readonly objects: number;
  readonly bytes: number;
}

/** Checkpoints of steps that no run knows stay this long: a search that is extended goes on from them. */
const strayCheckpointsMs = 7 * 86_400_000;
const finalStates: ReadonlySet<StepState> = new Set<StepState>(['done', 'failed', 'cancelled']);

/** Reads only. What it answers is a guess as soon as other processes write; `removeGarbage` looks again. */
export async function findGarbage(store: Store, rules: GarbageRules, now: number = Date.now()): Promise<Garbage> {
  const keys = await store.listRecords('');
  const runs = await listRuns(store);
  const going = runs.filter((run) => mayGo(run, rules, now));
  const gone = new Set(going.map(({ header }) => header.run));
  const known = new Set(runs.map(({ header }) => header.run).filter((run) => !gone.has(run)));

  const fingerprints = new Set<string>();
  await mapInParallel([...known], async (run) => {
    for (const { fingerprint } of await readStepRecords(store, run)) if (fingerprint) fingerprints.add(fingerprint);
  });
  for (const fingerprint of await keptResults(store, keys, known)) fingerprints.add(fingerprint);

  const objects = await store.listObjects();
  const there = new Map(objects.map((object) => [object.digest, object]));
  const reach = new Reach(
    async ({ digest }) => {
      if (!there.has(digest)) return null;
      // A damaged object names nothing; who needs it makes it again.
      return store.getObject(digest).catch(() => null);
    },
    { readsLeaves: false },
  );
  const records: string[] = [];
  const detections: string[] = [];
  const roots: string[] = [];
  const threads: string[] = [];
  /** Fingerprints of checkpoints that no run knows, and that stay. */
  const strays = new Set<string>();
  for (const key of keys) {
    const [kind, name = ''] = key.split('/');
    if (kind === 'runs') (gone.has(name) ? records : roots).push(key);
    else if (kind === 'results') (fingerprints.has(name) ? roots : records).push(key);
    else if (kind === 'detections') detections.push(key);
    else if (kind === 'checkpoints' && !fingerprints.has(name)) {
      const isStray = await isOld(store, key, there, now);
      if (!isStray) strays.add(name);
      (isStray ? records : roots).push(key);
    } else if (kind === 'threads') {
      threads.push(key);
    } else if (kind !== 'decisions') {
      roots.push(key);
    }
  }
  // Parts of a capacity search that runs are known by their own fingerprints, which no step's record has.
  const isBusy = runs.some(({ state }) => !finalStates.has(state.state));
  for (const key of threads) {
    const name = key.split('/')[1]!.replace(/\.json$/, '');
    const stays = isBusy || name === 'machines' || fingerprints.has(name) || strays.has(name);
    (stays ? roots : records).push(key);
  }
  await mapInParallel(roots, (key) => addRecord(store, reach, key));
  await reach.walk();
  // What a model that nobody needs any more saw in images can go with it.
  const needed = detections.filter((key) => reach.objects.has(key.split('/')[1]!));
  records.push(...detections.filter((key) => !needed.includes(key)));
  await mapInParallel(needed, (key) => addRecord(store, reach, key));
  await reach.walk();

  const unreached = objects.filter(({ digest }) => !reach.objects.has(digest));
  const isYoung = ({ modifiedAt }: ObjectInfo): boolean => modifiedAt > now - rules.graceMs;
  return {
    runs: going.map(({ header, state }) => ({ run: header.run, state: state.state, endedAt: state.endedAt })),
    records: records.sort(),
    objects: unreached.filter((object) => !isYoung(object)),
    kept: amountOf(objects.filter(({ digest }) => reach.objects.has(digest))),
    young: amountOf(unreached.filter(isYoung)),
  };
}

export interface Removed {
  readonly runs: number;
  readonly records: number;
  readonly objects: number;
  readonly bytes: number;
}

/**
 * Removes what was found, as far as it still is garbage. Records go first; what is reached is then worked out anew, so that an
 * object stays that a step took up meanwhile; and an object that was put again a moment ago is young, and stays too.
 */
export async function removeGarbage(store: Store, rules: GarbageRules, found: Garbage): Promise<Removed> {
  const still = await findGarbage(store, rules);
  const both = new Set(still.records);
  const records = found.records.filter((key) => both.has(key));
  // The header last: a run whose removal was cut short is still found, and removed the next time.
  const headersLast = [...records.filter((key) => !isHeader(key)), ...records.filter(isHeader)];
  await mapInParallel(
    headersLast.filter((key) => !isHeader(key)),
    (key) => store.removeRecord(key),
  );
  await mapInParallel(headersLast.filter(isHeader), (key) => store.removeRecord(key));
  const { objects } = await findGarbage(store, rules);
  let bytes = 0;
  let count = 0;
  await mapInParallel(objects, async ({ digest, modifiedAt }) => {
    const info = await store.statObject(digest);
    if (info === null || info.modifiedAt > modifiedAt) return;
    await store.removeObject(digest);
    count++;
    bytes += info.bytes;
  });
  return { runs: found.runs.length, records: records.length, objects: count, bytes };
}

const isHeader = (key: string): boolean => /^runs\/[^/]+\/run\.json$/.test(key);

function mayGo({ header, state }: RunRecord, { olderThanMs, keep }: GarbageRules, now: number): boolean {
  if (olderThanMs === null || keep.has(header.run) || !finalStates.has(state.state)) return false;
  return Date.parse(state.endedAt ?? header.createdAt) < now - olderThanMs;
}

/** Fingerprints whose result was made by a run that stays. */
async function keptResults(store: Store, keys: readonly string[], runs: ReadonlySet<string>): Promise<string[]> {
  const results = keys.filter((key) => key.startsWith('results/') && key.endsWith('.json'));
  const made = await mapInParallel(results, async (key) => {
    const { run } = (await readJson(store, key)) as { readonly run?: string };
    return run !== undefined && runs.has(run) ? key.split('/')[1]! : null;
  });
  return made.filter((fingerprint) => fingerprint !== null);
}

async function isOld(store: Store, key: string, there: ReadonlyMap<string, ObjectInfo>, now: number): Promise<boolean> {
  const { object } = (await readJson(store, key)) as { readonly object?: string };
  const info = object === undefined ? undefined : there.get(object);
  return info === undefined || info.modifiedAt < now - strayCheckpointsMs;
}

async function addRecord(store: Store, reach: Reach, key: string): Promise<void> {
  const value = await readJson(store, key);
  reach.addValue(value, key);
  // The key itself may name an object.
  reach.addValue(key, key);
}

/** An empty object where there is none (any more), or none that can be read. */
async function readJson(store: Store, key: string): Promise<Json> {
  const bytes = await store.readRecord(key);
  if (bytes === null) return {};
  try {
    return (JSON.parse(bytes.toString()) ?? {}) as Json;
  } catch {
    return {};
  }
}

function amountOf(objects: readonly ObjectInfo[]): Amount {
  return { objects: objects.length, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0) };
}
