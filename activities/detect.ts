/** `detect`: what a model sees on images of a dataset. */

import { loadDataset, loadJson, saveDetections } from '../artifacts/codecs.ts';
import { standardDetection } from '../artifacts/stored-detections.ts';
import { detectionsAbove, rangesByImage, takeDetections } from '../detection/detections.ts';
import type { Dataset, Detections, Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { detectionsOf } from './detections.ts';
import { imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type DetectParameters = {
  readonly model: ArtifactRef;
  readonly dataset: ArtifactRef;
  readonly select?: ArtifactRef;
  readonly splits?: readonly Split[];
  readonly confidence?: number;
  readonly maxPerImage?: number;
};

export type DetectOutputs = { readonly detections: ArtifactRef };

export const detect = inTfProcess<DetectParameters, DetectOutputs>('detect', async (context, parameters) => {
  const { store } = context;
  const { confidence = standardDetection.scoreFloor, maxPerImage = standardDetection.maxPerImage } = parameters;
  const dataset = await loadDataset(store, parameters.dataset);
  const imageIds = await imagesOf(context, dataset, parameters.select, parameters.splits ?? ['test']);
  // The shared detections answer every stricter question; only a looser one must look again.
  const settings = {
    scoreFloor: Math.min(confidence, standardDetection.scoreFloor),
    maxPerImage: Math.max(maxPerImage, standardDetection.maxPerImage),
  };
  const all = await detectionsOf(context, parameters.model, dataset, imageIds, settings);
  return { detections: await saveDetections(store, firstOfEachImage(detectionsAbove(all, confidence), maxPerImage)) };
});

/** Ids of a selection, or of all images of the splits where there is none. */
export async function imagesOf(
  context: StepContext,
  dataset: Dataset,
  select: ArtifactRef | undefined,
  splits: readonly Split[],
): Promise<readonly number[]> {
  if (select === undefined) return imagesOfSplits(dataset, splits);
  return (await loadJson(context.store, 'selection', select)).images;
}

function firstOfEachImage(detections: Detections, maxPerImage: number): Detections {
  const kept: number[] = [];
  for (const [from, to] of rangesByImage(detections).values()) {
    for (let i = from; i < Math.min(to, from + maxPerImage); i++) kept.push(i);
  }
  return takeDetections(detections, kept);
}
