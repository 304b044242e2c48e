/** `compare-models`: what a new model gained over an old one on the fixed validation set; `round.gain` in a pipeline. */

import { loadDataset } from '../artifacts/codecs.ts';
import { matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type CompareModelsParameters = {
  readonly old: ArtifactRef;
  readonly new: ArtifactRef;
  readonly dataset: ArtifactRef;
};

export type CompareModelsOutputs = { readonly value: number; readonly low: number; readonly high: number };

export const compareModels = inTfProcess<CompareModelsParameters, CompareModelsOutputs>(
  'compare-models',
  async (context, parameters) => {
    const dataset = await loadDataset(context.store, parameters.dataset);
    const imageIds = imagesOfSplits(dataset, ['val']);
    if (imageIds.length === 0) return { value: 0, low: 0, high: 0 };
    const groundTruth = groundTruthOf(dataset, imageIds);
    const matches = [];
    for (const model of [parameters.new, parameters.old]) {
      matches.push(matchForAp(groundTruth, await detectionsOf(context, model, dataset, imageIds)));
    }
    const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
    const { differences } = bootstrapAp(matches, [[0, 1]], groupOf, { seed: context.seed, metrics: ['AP'] });
    return { ...differences[0]!.AP! };
  },
);
