/** `promote`: whether a new model takes the place of the old one, by what it does on the fixed validation set. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset } from '../artifacts/codecs.ts';
import type { Interval } from '../artifacts/types.ts';
import { matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import { detectionsOfImages } from '../detection/detections.ts';
import { hardImages, matchDetections } from '../detection/match.ts';
import type { Dataset, Detections } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type PromoteParameters = {
  readonly old: ArtifactRef;
  readonly new: ArtifactRef;
  readonly dataset: ArtifactRef;
  readonly maxDrop?: number;
  readonly minGain?: number;
  readonly confidence?: number;
  readonly iou?: number;
  readonly replicates?: number;
};

export type PromoteOutputs = {
  readonly model: ArtifactRef;
  readonly promoted: boolean;
  /** AP of the new model less that of the old one, on all validation images. */
  readonly change: number;
  /** The same on the hard ones, with its 95 % interval. */
  readonly gain: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  /** How many validation images are hard. */
  readonly hardImages: number;
  /** What was decided and why, in a sentence. */
  readonly reason: string;
};

export const promote = inTfProcess<PromoteParameters, PromoteOutputs>('promote', async (context, parameters) => {
  const { confidence = 0.3, iou = 0.5 } = parameters;
  const dataset = await loadDataset(context.store, parameters.dataset);
  const imageIds = imagesOfSplits(dataset, ['val']);
  const groundTruth = groundTruthOf(dataset, imageIds);
  if (!groundTruth.annotations.some(({ crowd, ignore }) => !crowd && !ignore)) {
    throw ApplicationFailure.nonRetryable(
      `A promotion is decided on validation, but the dataset has ${imageIds.length} images there and no label on them. ` +
        'Give it a split with labelled validation images, or use the new model without a gate.',
      'NoValidation',
    );
  }
  const fresh = await detectionsOf(context, parameters.new, dataset, imageIds);
  const old = await detectionsOf(context, parameters.old, dataset, imageIds);

  // Those in which the old model alone errs would flatter any new one: it can only do better there.
  const hard = new Set(
    [old, fresh].flatMap((detections) => hardImages(matchDetections(groundTruth, detections, { confidence, iou }))),
  );
  const hardIds = imageIds.filter((id) => hard.has(id));
  const change = differenceOn(context, dataset, imageIds, fresh, old, parameters.replicates);
  const gain = differenceOn(context, dataset, hardIds, fresh, old, parameters.replicates);
  const verdict = judgePromotion({ change, gain, images: imageIds.length, hardImages: hardIds.length }, parameters);
  return {
    model: verdict.promoted ? parameters.new : parameters.old,
    ...verdict,
    change: change.value,
    gain: gain.value,
    gainLow: gain.low,
    gainHigh: gain.high,
    hardImages: hardIds.length,
  };
});

/** What was measured of a new model against the old one, on validation. */
export interface Measured {
  readonly change: Interval;
  readonly gain: Interval;
  readonly images: number;
  readonly hardImages: number;
}

/**
 * Promoted where AP on all images falls by no more than `maxDrop`, and the low end of the interval of the gain on the
 * hard ones is above `minGain`.
 */
export function judgePromotion(
  { change, gain, images, hardImages }: Measured,
  { maxDrop = 0.01, minGain = 0 }: Pick<PromoteParameters, 'maxDrop' | 'minGain'>,
): { promoted: boolean; reason: string } {
  const full = `AP changed by ${inPoints(change.value)} points on the ${images} validation images`;
  if (hardImages === 0) {
    return { promoted: false, reason: `Kept the old model: ${full}, and neither model errs on any of them.` };
  }
  const onHard = `by ${inPoints(gain.value)} [${inPoints(gain.low)}, ${inPoints(gain.high)}] on the ${hardImages} hard ones`;
  const failed = [
    ...(change.value < -maxDrop ? [`the drop is more than the ${inPoints(maxDrop)} allowed`] : []),
    ...(gain.low <= minGain ? [`the interval of the gain is not above ${inPoints(minGain)}`] : []),
  ];
  if (failed.length > 0) {
    return { promoted: false, reason: `Kept the old model: ${full} and ${onHard}; ${failed.join(', and ')}.` };
  }
  return { promoted: true, reason: `Promoted the new model: ${full} and ${onHard}.` };
}

const inPoints = (value: number): string => {
  const text = (100 * Math.abs(value)).toFixed(1);
  return value < 0 && text !== '0.0' ? `−${text}` : text;
};

function differenceOn(
  context: StepContext,
  dataset: Dataset,
  imageIds: readonly number[],
  fresh: Detections,
  old: Detections,
  replicates?: number,
): Interval {
  const groundTruth = groundTruthOf(dataset, imageIds);
  const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
  const matches = [fresh, old].map((detections) => matchForAp(groundTruth, detectionsOfImages(detections, imageIds)));
  const options = { seed: context.seed, metrics: ['AP'] as const, replicates };
  return bootstrapAp(matches, [[0, 1]], groupOf, options).differences[0]!.AP!;
}
