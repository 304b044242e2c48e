/** `capacity-trial`: one pair of depth and width of a capacity search, trained and measured on validation. */

import type { Trials } from '../artifacts/types.ts';
import { matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';
import { trainModel } from './train.ts';
import type { TrainParameters } from './training-parameters.ts';

export type CapacityTrialParameters = TrainParameters & { readonly depth: number; readonly width: number };

/** A row of the table, before one is chosen. */
export type Trial = Omit<Trials['trials'][number], 'chosen'>;

export type CapacityTrialOutputs = { readonly model: ArtifactRef; readonly AP: number; readonly trial: Trial };

export const capacityTrial = inTfProcess<CapacityTrialParameters, CapacityTrialOutputs>(
  'capacity-trial',
  async (context, parameters) => {
    const { outputs, model, dataset, lastEpoch, seconds } = await trainModel(context, parameters);
    const imageIds = imagesOfSplits(dataset, ['val']);
    const detections = await detectionsOf(context, outputs.model, dataset, imageIds);
    const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
    const matches = matchForAp(groundTruthOf(dataset, imageIds), detections);
    const intervals = bootstrapAp([matches], [], groupOf, { seed: context.seed }).models[0]!;
    return {
      model: outputs.model,
      AP: intervals.AP!.value,
      trial: {
        depth: model.architecture.depth,
        width: model.architecture.width,
        parameters: model.training.parameters,
        trainingLoss: lastEpoch?.loss.total ?? 0,
        AP: intervals.AP!,
        AP50: intervals.AP50!.value,
        seconds,
        model: outputs.model,
      },
    };
  },
);
