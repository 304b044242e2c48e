/** What earlier runs did: the record nearest to a step's work, and how long work of its kind took. */

import { fingerprintOf, type StepIdentity } from '../artifacts/fingerprint.ts';
import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { listRuns, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { stepKinds } from '../plan/step-kinds.ts';
import type { Json, RunHeader, StepRecord } from '../plan/types.ts';
import { type Change, changesBetween } from './step-changes.ts';

export interface EarlierRecord {
  readonly header: RunHeader;
  readonly record: StepRecord;
}

/** Newest run first. */
export type EarlierWork = readonly EarlierRecord[];

export interface Nearest extends EarlierRecord {
  readonly changes: readonly Change[];
}

/** Older ones have little to say about what changed last, and reading them all would take longer than planning. */
const runsMax = 30;

/** Steps of the newest runs, those of the same pipeline before others. */
export async function readEarlierWork(
  store: Store,
  pipeline: string,
  isEarlier: (header: RunHeader) => boolean = () => true,
): Promise<EarlierWork> {
  const runs = (await listRuns(store)).map(({ header }) => header).filter(isEarlier);
  const own = runs.filter((header) => header.pipeline === pipeline);
  const others = runs.filter((header) => header.pipeline !== pipeline);
  const chosen = [...own, ...others].slice(0, runsMax);
  const records = await mapInParallel(chosen, (header) => readStepRecords(store, header.run), 4);
  return chosen.flatMap((header, i) => records[i]!.map((record) => ({ header, record })));
}

/** `rounds[2].train` and `rounds[1].train` are the same step of the file. */
export const templateOf = (path: string): string => path.replace(/\[[^\]]*\]/g, '[]');

/** The done step that differs in the fewest things; of equals the one at the same place, then the newest. */
export function nearestWork(
  earlier: EarlierWork,
  identity: StepIdentity,
  path: string,
  pipeline: string,
): Nearest | null {
  let best: Nearest | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const { header, record } of earlier) {
    if (record.kind !== identity.kind || record.state !== 'done' || record.with === undefined) continue;
    const seed = identity.seed === undefined ? undefined : record.seed;
    const was = { kind: record.kind, version: versionOf(record, identity), with: record.with, seed };
    const changes = changesBetween(was, identity);
    const elsewhere = (record.path === path ? 0 : 0.25) + (templateOf(record.path) === templateOf(path) ? 0 : 0.5);
    const distance = changes.length + elsewhere + (header.pipeline === pipeline ? 0 : 0.1);
    if (distance < bestDistance) {
      best = { header, record, changes };
      bestDistance = distance;
    }
  }
  return best;
}

/** The code version that the record was made with: the one that gives its fingerprint. */
function versionOf({ kind, fingerprint, seed, with: parameters = {} }: StepRecord, identity: StepIdentity): number {
  for (let version = identity.version; version > 0; version--) {
    for (const own of [seed, undefined]) {
      if (fingerprintOf({ kind, version, with: parameters, seed: own }) === fingerprint) return version;
    }
  }
  return identity.version;
}

/** Parameters that a step's time grows with, the most telling first. */
const lengths = ['steps', 'epochs', 'images'] as const;

/**
 * How long the step will take, in ms: as long as the nearest one that ran, scaled by its epochs, steps or images. Null
 * where nothing of its kind ever ran. Waiting for people is no part of it.
 */
export function estimateMs(
  earlier: EarlierWork,
  identity: StepIdentity,
  path: string,
  pipeline: string,
): number | null {
  const ran = earlier.filter(({ record }) => !record.reused && workedMs(record) !== null);
  // Its own place first: what it trains on is more alike than any parameter.
  const here = ran.filter(({ record }) => templateOf(record.path) === templateOf(path));
  const nearest = nearestWork(here, identity, path, pipeline) ?? nearestWork(ran, identity, path, pipeline);
  if (nearest === null) return null;
  const { record } = nearest;
  const length = lengths.find((name) => isLength(record.with?.[name]) && isLength(identity.with[name]));
  const factor = length === undefined ? 1 : (identity.with[length] as number) / (record.with?.[length] as number);
  return workedMs(record)! * factor;
}

const isLength = (value: Json | undefined): boolean => typeof value === 'number' && value > 0;

/** Time in which the step's code ran, all attempts together. */
function workedMs({ attempts, startedAt, endedAt, kind }: StepRecord): number | null {
  const ended = (attempts ?? []).flatMap((one) =>
    one.endedAt === undefined ? [] : [Date.parse(one.endedAt) - Date.parse(one.startedAt)],
  );
  if (ended.length > 0) return ended.reduce((sum, ms) => sum + ms, 0);
  // A search is no activity of its own; a gate without attempts would only show how long people took.
  if (stepKinds.get(kind)?.type === 'search' && startedAt !== undefined && endedAt !== undefined) {
    return Date.parse(endedAt) - Date.parse(startedAt);
  }
  return null;
}
