/**
 * What a run's record keeps of its gates: what was asked, and every batch of decisions that came in.
 *
 *     runs/RUN/gates/PATH.json                    GateRecord
 *     runs/RUN/gates/PATH/decisions/BATCH.json    DecisionBatch, created once
 */

import type { KnownQuestion } from '../detection/known-questions.ts';
import type { Decision } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { type ChainTip, type StoredBatch, tipOf } from './decision-chain.ts';
import { mapAhead, mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';

const decisionsFolder = '/decisions/';

export interface GateRecord {
  /** Path of the `review-labels` step. */
  readonly path: string;
  readonly state: 'open' | 'closed';
  readonly openedAt: string;
  readonly closedAt?: string;
  /** When the undecided candidates are given up. */
  readonly expiresAt?: string;
  readonly remindAt?: string;
  readonly escalateAt?: string;
  /** Those that a reviewer is asked about, best rank first: without the carried over, and cut to `limit`. */
  readonly candidates: ArtifactRef;
  readonly dataset: ArtifactRef;
  /** Number of candidates in `candidates`. */
  readonly asked?: number;
  /** Number of candidates decided in an earlier round or run. */
  readonly carriedOver: number;
  /** Digest of the JSON array of those decisions (`RecordedDecision`), fixed when the gate opened. */
  readonly earlier?: string;
  readonly limit?: number;
  /** Digest of the JSON array of `KnownQuestion`: which of the candidates are no real ones. Absent: none. */
  readonly known?: string;
  /** Digest of the JSON array of `Asking`: which of the candidates are not asked once. Absent: all are. */
  readonly asking?: string;
  /** Who settles what reviewers do not agree on. Absent: anybody who gave no opinion on it. */
  readonly adjudicators?: readonly string[];
  /** Number of `candidates` decided so far: those with a verdict. */
  readonly decided?: number;
  readonly reviewer?: 'human' | 'oracle';
  /** Why it was closed: all decided, expired, cancelled. */
  readonly reason?: string;
  /** The newest batch of decisions that the gate has seen. */
  readonly ledger?: ChainTip;
}

export interface DecisionBatch {
  /** Chosen by the sender; the same batch sent twice counts once. */
  readonly batch: string;
  readonly by: string;
  readonly at: string;
  /** Digest of what the reviewer was shown. */
  readonly shown?: string;
  readonly decisions: readonly Decision[];
  /** Whoever sent it ended the wait with it. */
  readonly proceed?: true;
  /** Place in the gate's chain, from 1, and the hash of the record before (decision-chain.ts). */
  readonly sequence?: number;
  readonly previous?: string;
}

export interface RecordedDecision extends Decision {
  readonly batch: string;
  readonly by: string;
  readonly at: string;
  readonly shown?: string;
}

/** Creates or replaces. */
export async function writeGate(store: Store, run: string, gate: GateRecord): Promise<void> {
  await store.writeRecord(`runs/${run}/gates/${gate.path}.json`, encode(gate));
}

/** Null where the gate never opened. */
export async function readGate(store: Store, run: string, path: string): Promise<GateRecord | null> {
  const bytes = await store.readRecord(`runs/${run}/gates/${path}.json`);
  return bytes === null ? null : (JSON.parse(bytes.toString()) as GateRecord);
}

/** In order of opening. */
export async function listGates(store: Store, run: string): Promise<GateRecord[]> {
  // Beside each gate's record lies its folder of decisions.
  const names = (await store.listNames(`runs/${run}/gates/`)).filter((name) => name.endsWith('.json'));
  const gates = await mapInParallel(names, (name) => readGate(store, run, name.slice(0, -'.json'.length)));
  return gates
    .filter((gate) => gate !== null)
    .sort((a, b) => (a.openedAt < b.openedAt ? -1 : a.openedAt > b.openedAt ? 1 : 0));
}

/** Adds a batch to the end of the gate's chain; one that is there already stays as it is. */
export async function appendDecisions(
  store: Store,
  run: string,
  gatePath: string,
  batch: Omit<DecisionBatch, 'sequence' | 'previous'>,
): Promise<'created' | 'repeated'> {
  const before = await readBatches(store, run, gatePath);
  if (before.some((stored) => stored.batch.batch === batch.batch)) return 'repeated';
  const tip = tipOf(run, gatePath, before);
  const key = ledgerKey(run, gatePath, batch.batch);
  const linked: DecisionBatch = { ...batch, sequence: tip.batches + 1, previous: tip.hash };
  return (await store.createRecord(key, encode(linked))) === null ? 'created' : 'repeated';
}

/** The questions of a gate whose answers are known. */
export async function readKnown(store: Store, { known }: GateRecord): Promise<readonly KnownQuestion[]> {
  if (known === undefined) return [];
  const bytes = await store.getObject(known);
  if (bytes === null) throw new Error(`The list of known questions ${known} is not in the store.`);
  return JSON.parse(bytes.toString()) as KnownQuestion[];
}

/** The batches of a gate as they are stored, in any order. */
export async function readBatches(store: Store, run: string, gatePath: string): Promise<StoredBatch[]> {
  const keys = await store.listRecords(ledgerPrefix(run, gatePath));
  const batches = await mapInParallel(keys, (key) => readBatch(store, key));
  return batches.filter((stored) => stored !== null);
}

async function readBatch(store: Store, key: string): Promise<StoredBatch | null> {
  const bytes = await store.readRecord(key);
  return bytes === null ? null : { key, bytes, batch: JSON.parse(bytes.toString()) as DecisionBatch };
}

/**
 * The batches of all gates of a run, gate by gate, from the one with this key on, or from the first. What lies before it is
 * not read.
 */
export async function* batchesFrom(
  store: Store,
  run: string,
  from: string | null,
): AsyncGenerator<{ readonly gate: string; readonly key: string; readonly batch: DecisionBatch }> {
  const prefix = `runs/${run}/gates/`;
  const keys = (await ledgerKeys(store, run)).filter((key) => key >= (from ?? ''));
  for await (const stored of mapAhead(keys, (key) => readBatch(store, key))) {
    if (stored === null) continue;
    const { key, batch } = stored;
    yield { gate: key.slice(prefix.length, key.lastIndexOf(decisionsFolder)), key, batch };
  }
}

/** How far the ledger of a gate goes. */
export async function readTip(store: Store, run: string, gatePath: string): Promise<ChainTip> {
  return tipOf(run, gatePath, await readBatches(store, run, gatePath));
}

/** Where the ledger of a gate has a batch, or will have it. */
export function ledgerKey(run: string, gatePath: string, batch: string): string {
  // Encoded, because the sender may have chosen a name with a slash.
  return `${ledgerPrefix(run, gatePath)}${encodeURIComponent(batch)}.json`;
}

/** Keys of all batches in the ledgers of a run, sorted. */
export async function ledgerKeys(store: Store, run: string): Promise<string[]> {
  return (await store.listRecords(`runs/${run}/gates/`)).filter((key) => key.includes(decisionsFolder));
}

function ledgerPrefix(run: string, gatePath: string): string {
  return `runs/${run}/gates/${gatePath}${decisionsFolder}`;
}

/** All decisions of a gate, oldest batch first. Also those that came before it opened. */
export async function readDecisions(store: Store, run: string, gatePath: string): Promise<RecordedDecision[]> {
  const batches = await readBatches(store, run, gatePath);
  return batches
    .map(({ batch }) => batch)
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.batch < b.batch ? -1 : 1))
    .flatMap(({ batch, by, at, shown, decisions }) => decisions.map((one) => ({ ...one, batch, by, at, shown })));
}

function encode(value: unknown): Buffer {
  return Buffer.from(canonicalJson(value));
}
