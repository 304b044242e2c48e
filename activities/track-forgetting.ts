/** `track-forgetting`: which ground truths each of a chain of models found, and so what it learnt and forgot. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, saveJson } from '../artifacts/codecs.ts';
import { fateOf, historiesOf } from '../detection/forgetting.ts';
import { matchDetections } from '../detection/match.ts';
import type { Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type TrackForgettingParameters = {
  readonly models: readonly ArtifactRef[];
  readonly dataset: ArtifactRef;
  readonly splits?: readonly Split[];
  readonly confidence?: number;
  readonly iou?: number;
};

export type TrackForgettingOutputs = {
  readonly ledger: ArtifactRef;
  readonly learnt: number;
  readonly forgotten: number;
  readonly relearnt: number;
  readonly never: number;
};

export const trackForgetting = inTfProcess<TrackForgettingParameters, TrackForgettingOutputs>(
  'track-forgetting',
  async (context, parameters) => {
    const { store } = context;
    const { confidence = 0.3, iou = 0.5, splits = ['train', 'val'] } = parameters;
    if (parameters.models.length === 0) {
      throw ApplicationFailure.nonRetryable('There is no model whose forgetting could be tracked.', 'NoModels');
    }
    const dataset = await loadDataset(store, parameters.dataset);
    const imageIds = imagesOfSplits(dataset, splits);
    const groundTruth = groundTruthOf(dataset, imageIds);
    const seen = [];
    for (const model of parameters.models) {
      const detections = await detectionsOf(context, model, dataset, imageIds);
      seen.push({ detections, matches: matchDetections(groundTruth, detections, { confidence, iou }) });
    }
    const histories = historiesOf(seen);
    const files = new Map(dataset.images.map(({ id, fileName, split }) => [id, { fileName, split }]));
    const boxes = new Map(groundTruth.annotations.map(({ id, box }) => [id, box]));
    const targets = histories.map((history) => ({
      ...history,
      ...files.get(history.imageId)!,
      box: boxes.get(history.annotationId)!,
      fate: fateOf(history),
    }));
    const count = (fate: string): number => targets.filter((target) => target.fate === fate).length;
    return {
      ledger: await saveJson(store, 'forgetting', { models: parameters.models, confidence, iou, targets }),
      learnt: count('learnt'),
      forgotten: count('forgotten'),
      relearnt: count('relearnt'),
      never: count('never'),
    };
  },
);
