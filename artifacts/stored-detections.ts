/**
 * Where detections of a model lie in the store, for all that ask about the same images.
 *
 *     detections/MODEL/SETTINGS/IMAGES.json   the images that were looked at, and what was found
 */

import type { Detections, ImageEntry } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { loadDetections, readBytes, saveDetections } from './codecs.ts';
import { sha256Hex } from './digest.ts';
import type { Store } from './store.ts';

/** Raised when detection or the decoding of images changes its results. */
const detectionVersion = 1;

export interface DetectionSettings {
  readonly scoreFloor: number;
  readonly maxPerImage: number;
}

/** What evaluation and merging start from; stricter questions are answered from the same detections. */
export const standardDetection: DetectionSettings = { scoreFloor: 0.001, maxPerImage: 300 };
/** IoU from which the lower of two detections of a category is suppressed. */
export const detectionNmsIou = 0.6;

interface DetectionRecord {
  readonly detections: ArtifactRef;
  /** Digest of the JSON array of [image id, image digest]. */
  readonly images: string;
}

type Entry = Pick<ImageEntry, 'id' | 'digest'>;

/** What a record holds of the wanted images, and perhaps of others. */
export interface StoredPart {
  readonly images: readonly Entry[];
  readonly detections: Detections;
}

export async function listStoredParts(
  store: Store,
  model: ArtifactRef,
  settings: DetectionSettings = standardDetection,
): Promise<string[]> {
  return store.listRecords(prefixOf(model, settings));
}

/** Null where the record has none of the wanted images, by `entryKey`, or its objects are gone. */
export async function readStoredPart(
  store: Store,
  key: string,
  wanted: ReadonlyMap<string, unknown>,
): Promise<StoredPart | null> {
  const bytes = await store.readRecord(key);
  if (bytes === null) return null;
  const record = JSON.parse(bytes.toString()) as DetectionRecord;
  if (!(await store.hasObject(record.images)) || !(await store.hasObject(record.detections.digest))) return null;
  const images = JSON.parse((await readBytes(store, 'list of images', record.images)).toString()) as [number, string][];
  const found = images.map(([id, digest]) => ({ id, digest })).filter((entry) => wanted.has(entryKey(entry)));
  if (found.length === 0) return null;
  return { images: found, detections: await loadDetections(store, record.detections) };
}

/** Keeps what a model saw on these images, for every later step that asks. */
export async function recordDetections(
  store: Store,
  model: ArtifactRef,
  entries: readonly Entry[],
  found: Detections,
  settings: DetectionSettings = standardDetection,
): Promise<void> {
  const images = canonicalJson(entries.map((entry) => [entry.id, entry.digest]));
  const record: DetectionRecord = {
    detections: await saveDetections(store, found),
    images: await store.putObject(Buffer.from(images)),
  };
  const key = `${prefixOf(model, settings)}${sha256Hex(images)}.json`;
  await store.writeRecord(key, Buffer.from(canonicalJson({ ...record })));
}

export const entryKey = ({ id, digest }: Entry): string => `${id} ${digest}`;

function prefixOf(model: ArtifactRef, settings: DetectionSettings): string {
  const name = sha256Hex(canonicalJson({ detectionVersion, nmsIou: detectionNmsIou, ...settings })).slice(0, 16);
  return `detections/${model.digest}/${name}/`;
}
