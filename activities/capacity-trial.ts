/** `capacity-trial`: one size of a capacity search, trained to the end and measured: how good, how general, what it costs. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset } from '../artifacts/codecs.ts';
import type { Interval, Trials } from '../artifacts/types.ts';
import { matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import { hashSeed } from '../detection/random.ts';
import type { Architecture, Dataset } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inferenceSpeed, trainingSpeed } from './model-speed.ts';
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
    requireValidation(await loadDataset(context.store, parameters.dataset));
    const { outputs, model, dataset, epochs, seconds } = await trainModel(context, parameters);
    const validation = imagesOfSplits(dataset, ['val']);
    const { AP, AP50 } = await apOn(context, outputs.model, dataset, validation);
    const sample = trainingSample(dataset, validation.length);
    const onTraining = await apOn(context, outputs.model, dataset, sample);
    const { depth, width, imageSize, anchors } = model.architecture;
    return {
      model: outputs.model,
      AP: AP.value,
      trial: {
        depth,
        width,
        imageSize,
        anchors: anchors[0]?.length,
        ...(await costOf(model.architecture)),
        trainingLoss: epochs.at(-1)?.loss.total ?? 0,
        AP,
        AP50: AP50.value,
        trainAP: onTraining.AP,
        gap: differenceOf(onTraining.AP, AP),
        epochs: epochs.length,
        trainingImagesPerSecond: trainingSpeed(epochs),
        inferenceImagesPerSecond: await inferenceSpeed(context, model, dataset, validation),
        seconds,
        model: outputs.model,
      },
    };
  },
);

/** Weights, and operations of one image's convolutions, a multiplication and its addition as two. */
export async function costOf(architecture: Architecture): Promise<{ parameters: number; flops: number }> {
  const { networkLayout } = await import('../detection/model/network.ts');
  const { parameterCount, multiplyAdds } = networkLayout(architecture);
  return { parameters: parameterCount, flops: 2 * multiplyAdds };
}

/** A search without validation labels would choose by nothing. */
export function requireValidation(dataset: Dataset): void {
  const images = new Set(imagesOfSplits(dataset, ['val']));
  if (dataset.labels.annotations.some(({ imageId, ignore }) => images.has(imageId) && ignore !== true)) return;
  throw ApplicationFailure.nonRetryable(
    `A capacity search chooses by AP on the validation split, which has ${images.size} images and no labelled box there. ` +
      'Give the dataset a split with labelled validation images.',
    'NoValidation',
  );
}

async function apOn(
  context: StepContext,
  model: ArtifactRef,
  dataset: Dataset,
  imageIds: readonly number[],
): Promise<{ readonly AP: Interval; readonly AP50: Interval }> {
  const matches = matchForAp(groundTruthOf(dataset, imageIds), await detectionsOf(context, model, dataset, imageIds));
  const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
  const intervals = bootstrapAp([matches], [], groupOf, { seed: context.seed }).models[0]!;
  return { AP: intervals.AP!, AP50: intervals.AP50! };
}

/** As many training images as there are to validate on; the same ones for every trial, whatever its seed. */
export function trainingSample(dataset: Dataset, count: number): number[] {
  return imagesOfSplits(dataset, ['train'])
    .map((id) => ({ id, place: hashSeed('training sample', id) }))
    .sort((a, b) => a.place - b.place || a.id - b.id)
    .slice(0, count)
    .map(({ id }) => id)
    .sort((a, b) => a - b);
}

/** Of two estimates from different images: their errors add up as squares. */
function differenceOf(a: Interval, b: Interval): Interval {
  const value = a.value - b.value;
  return {
    value,
    low: value - Math.hypot(a.value - a.low, b.high - b.value),
    high: value + Math.hypot(a.high - a.value, b.value - b.low),
  };
}
