/** Detections of a model, each image detected once for all steps that ask: mining, evaluation, merging, comparing and profiling. */

import { loadModel } from '../artifacts/codecs.ts';
import { DamagedObjectError } from '../artifacts/store.ts';
import {
  type DetectionSettings,
  detectionNmsIou,
  entryKey,
  listStoredParts,
  readStoredPart,
  recordDetections,
  standardDetection,
} from '../artifacts/stored-detections.ts';
import type { Model } from '../artifacts/types.ts';
import { detectionsOfImages, emptyDetections, joinDetections } from '../detection/detections.ts';
import type { Dataset, Detections, ImageEntry } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { trainingThreads, useThreads } from './environment.ts';
import { entriesOf } from './ground-truth.ts';
import { createImagePool, type ImagePool } from './prepare-images.ts';

/** Images decoded and detected at a time: enough to keep the network busy, few enough to stop soon. */
const chunkSize = 64;

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
  const missing = new Map(entries.map((entry) => [entryKey(entry), entry]));
  const parts: Detections[] = [];
  for (const key of await listStoredParts(context.store, model, settings)) {
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
  try {
    const part = await readStoredPart(store, key, missing);
    if (part === null) return null;
    for (const entry of part.images) missing.delete(entryKey(entry));
    return detectionsOfImages(
      part.detections,
      part.images.map(({ id }) => id),
    );
  } catch (error) {
    // They can be made again, and are once the damaged object is out of the way.
    if (!(error instanceof DamagedObjectError)) throw error;
    await store.removeObject(error.digest);
    return null;
  }
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
      parts.push(detector.detect(chunk, { ...settings, nmsIou: detectionNmsIou }));
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
