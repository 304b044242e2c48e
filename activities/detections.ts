/**
 * Detections of a model, each image detected once for all steps that ask: mining, evaluation, merging, comparing and
 * profiling read the same ones from the store.
 *
 *     detections/MODEL/SETTINGS/IMAGES.json   the images that were looked at, and what was found
 */

import { loadDetections, loadModel, readBytes, saveDetections } from '../artifacts/codecs.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { DamagedObjectError, type Store } from '../artifacts/store.ts';
import type { Model } from '../artifacts/types.ts';
import { detectionsOfImages, emptyDetections, joinDetections } from '../detection/detections.ts';
import type { Dataset, Detections, ImageEntry } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { trainingThreads, useThreads } from './environment.ts';
import { entriesOf } from './ground-truth.ts';
import { createImagePool, type ImagePool } from './prepare-images.ts';

/** Raised when detection or the decoding of images changes its results. */
const detectionVersion = 1;

/** Images decoded and detected at a time: enough to keep the network busy, few enough to stop soon. */
const chunkSize = 64;

export interface DetectionSettings {
  readonly scoreFloor: number;
  readonly maxPerImage: number;
}

/** What evaluation and merging start from; stricter questions are answered from the same detections. */
export const standardDetection: DetectionSettings = { scoreFloor: 0.001, maxPerImage: 300 };
/** IoU from which the lower of two detections of a category is suppressed. */
const nmsIou = 0.6;

interface DetectionRecord {
  readonly detections: ArtifactRef;
  /** Digest of the JSON array of [image id, image digest]. */
  readonly images: string;
}

/** Detections of these images by this model, from the store as far as they are there. */
export async function detectionsOf(
  context: StepContext,
  model: ArtifactRef,
  dataset: Dataset,
  imageIds: readonly number[],
  settings: DetectionSettings = standardDetection,
): Promise<Detections> {
  const entries = entriesOf(
    dataset,
    [...new Set(imageIds)].sort((a, b) => a - b),
  );
  const missing = new Map(entries.map((entry) => [imageKey(entry.id, entry.digest), entry]));
  const parts: Detections[] = [];
  for (const key of await context.store.listRecords(recordPrefix(model, settings))) {
    if (missing.size === 0) break;
    const part = await readPart(context, key, missing);
    if (part !== null) parts.push(part);
  }
  if (missing.size > 0) {
    const rest = [...missing.values()];
    const found = await detectEntries(context, await loadModel(context.store, model), rest, settings);
    await recordDetections(context.store, model, rest, found, settings);
    parts.push(found);
  }
  if (parts.length === 0) return emptyDetections([]);
  return parts.length === 1 ? parts[0]! : joinDetections(parts);
}

/** What a record holds of the missing images, which then are no longer missing; null where that is nothing. */
async function readPart(
  context: StepContext,
  key: string,
  missing: Map<string, ImageEntry>,
): Promise<Detections | null> {
  const { store } = context;
  const bytes = await store.readRecord(key);
  if (bytes === null) return null;
  try {
    const record = JSON.parse(bytes.toString()) as DetectionRecord;
    if (!(await store.hasObject(record.images)) || !(await store.hasObject(record.detections.digest))) return null;
    const images = JSON.parse((await readBytes(store, 'list of images', record.images)).toString()) as [
      number,
      string,
    ][];
    const wanted = images.filter(([id, digest]) => missing.has(imageKey(id, digest)));
    if (wanted.length === 0) return null;
    const found = detectionsOfImages(
      await loadDetections(store, record.detections),
      wanted.map(([id]) => id),
    );
    for (const [id, digest] of wanted) missing.delete(imageKey(id, digest));
    return found;
  } catch (error) {
    // They can be made again, and are once the damaged object is out of the way.
    if (!(error instanceof DamagedObjectError)) throw error;
    await store.removeObject(error.digest);
    return null;
  }
}

/** Keeps what a model saw on these images, for every later step that asks. */
export async function recordDetections(
  store: Store,
  model: ArtifactRef,
  entries: readonly Pick<ImageEntry, 'id' | 'digest'>[],
  found: Detections,
  settings: DetectionSettings = standardDetection,
): Promise<void> {
  const images = canonicalJson(entries.map((entry) => [entry.id, entry.digest]));
  const record: DetectionRecord = {
    detections: await saveDetections(store, found),
    images: await store.putObject(Buffer.from(images)),
  };
  const key = `${recordPrefix(model, settings)}${sha256Hex(images)}.json`;
  await store.writeRecord(key, Buffer.from(canonicalJson({ ...record })));
}

async function detectEntries(
  context: StepContext,
  model: Model,
  entries: readonly ImageEntry[],
  settings: DetectionSettings,
): Promise<Detections> {
  useThreads(trainingThreads(model.architecture, context.environment));
  const { createDetectorModel } = await import('../detection/model/detect.ts');
  const pool = imagePoolOf(context, model.architecture.imageSize);
  const detector = createDetectorModel(model.architecture, model.weights);
  try {
    const parts: Detections[] = [];
    for (let from = 0; from < entries.length; from += chunkSize) {
      context.signal.throwIfAborted();
      const chunk = await pool.prepare(entries.slice(from, from + chunkSize), [], model.architecture.categories);
      parts.push(detector.detect(chunk, { ...settings, nmsIou }));
      const done = Math.min(entries.length, from + chunkSize);
      context.progress(`detected ${done} of ${entries.length} images`, done / entries.length);
      // Lets messages through between two blocks of TensorFlow's work.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return joinDetections(parts);
  } finally {
    detector.dispose();
  }
}

const pools = new WeakMap<StepContext, Map<number, ImagePool>>();

/** The images of a step at one size: several models look at the same ones. */
export function imagePoolOf(context: StepContext, inputSize: number): ImagePool {
  const bySize = pools.get(context) ?? new Map<number, ImagePool>();
  pools.set(context, bySize);
  const pool =
    bySize.get(inputSize) ??
    createImagePool({
      store: context.store,
      inputSize,
      signal: context.signal,
    });
  bySize.set(inputSize, pool);
  return pool;
}

function recordPrefix(model: ArtifactRef, settings: DetectionSettings): string {
  const name = sha256Hex(canonicalJson({ detectionVersion, nmsIou, ...settings })).slice(0, 16);
  return `detections/${model.digest}/${name}/`;
}

function imageKey(id: number, digest: string): string {
  return `${id} ${digest}`;
}
