/** How fast a model trains and detects on this machine, in images a second: for people, never for a choice. */

import type { Model } from '../artifacts/types.ts';
import type { EpochReport } from '../detection/model/types.ts';
import type { Dataset } from '../detection/types.ts';
import type { StepContext } from './context.ts';
import { imagePoolOf } from './detections.ts';
import { entriesOf } from './ground-truth.ts';

const imagesMax = 16;
const measuredMs = 300;

/** Median over the epochs, without the first where there are others: it loads the graph. */
export function trainingSpeed(epochs: readonly EpochReport[]): number | undefined {
  const speeds = epochs
    .slice(epochs.length > 1 ? 1 : 0)
    .map(({ imagesPerSecond }) => imagesPerSecond)
    .sort((a, b) => a - b);
  return speeds[speeds.length >> 1];
}

/** From decoded images to boxes, after a run to warm up. */
export async function inferenceSpeed(
  context: StepContext,
  { architecture, weights }: Pick<Model, 'architecture' | 'weights'>,
  dataset: Dataset,
  imageIds: readonly number[],
): Promise<number | undefined> {
  const { createDetectorModel } = await import('../detection/model/detect.ts');
  const entries = entriesOf(dataset, imageIds.slice(0, imagesMax));
  const images = await imagePoolOf(context, architecture.imageSize).prepare(entries, [], architecture.categories);
  if (images.length === 0) return undefined;
  const detector = createDetectorModel(architecture, weights);
  try {
    detector.detect(images);
    const startedAt = performance.now();
    let detected = 0;
    do {
      detector.detect(images);
      detected += images.length;
    } while (performance.now() - startedAt < measuredMs);
    return (1000 * detected) / (performance.now() - startedAt);
  } finally {
    detector.dispose();
  }
}
