/** `mine`: what a model got wrong, as candidates for a reviewer and as the images or crops of the next training set. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadJson, loadModel, saveJson } from '../artifacts/codecs.ts';
import type { Selection } from '../artifacts/types.ts';
import { detectionsOfImages, joinDetections } from '../detection/detections.ts';
import { type ErrorWeights, errorsOfTargets, type TargetError, weightsByError } from '../detection/error-weights.ts';
import { foldOf } from '../detection/folds.ts';
import { findHardCases, type HardCaseOptions, type HardCases } from '../detection/hard-cases.ts';
import { isWithin } from '../detection/hard-windows.ts';
import { findCandidates } from '../detection/label-issues.ts';
import { type Matches, matchDetections } from '../detection/match.ts';
import type { Annotation, Box, Dataset, Detections, Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { imagesOf } from './detect.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type MineParameters = {
  readonly model: ArtifactRef;
  /** Model i was trained without fold i: for candidates, it is asked about the images of that fold. */
  readonly crossFit?: readonly ArtifactRef[];
  readonly dataset: ArtifactRef;
  readonly select?: ArtifactRef;
  readonly splits?: readonly Split[];
  readonly confidence?: number;
  readonly iou?: number;
  readonly scope?: HardCaseOptions['scope'];
  readonly cropShare?: number;
  readonly errorWeights?: Partial<ErrorWeights>;
};

export type MineOutputs = {
  readonly candidates: ArtifactRef;
  /** Absent where no image is hard: steps that read it are skipped, and a loop over hard cases ends. */
  readonly hardImages?: ArtifactRef;
  readonly hardShare: number;
  readonly crops: number;
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
};

/** Above this share of its parent a selection of hard cases selects hardly anything. */
const hardShareMax = 0.8;

export const mine = inTfProcess<MineParameters, MineOutputs>('mine', async (context, parameters) => {
  const { store } = context;
  const { confidence = 0.3, iou = 0.5, scope = 'image', cropShare = 0.5 } = parameters;
  const dataset = await loadDataset(store, parameters.dataset);
  const imageIds = await imagesOf(context, dataset, parameters.select, parameters.splits ?? ['train']);
  const parent = parameters.select ? await loadJson(store, 'selection', parameters.select) : null;
  const detections = await detectionsOf(context, parameters.model, dataset, imageIds);

  const matches = matchDetections(groundTruthOf(dataset, imageIds), detections, { confidence, iou });
  const { annotations } = dataset.labels;
  // A model that has memorised a wrong label does not contradict it; one that has never seen it does.
  const unbiased = parameters.crossFit
    ? await outOfFold(context, parameters.crossFit, dataset, imageIds, detections)
    : detections;
  const candidates = findCandidates({ ...dataset, annotations }, unbiased, { confidence, iou });

  // Hard cases are trained on, so they come from the train split alone.
  const looked = new Set(imageIds);
  const images = dataset.images.filter(({ id, split }) => split === 'train' && looked.has(id));
  const within = parent?.crops ? windowsByImage(parent.crops) : undefined;
  const hard = findHardCases(matches, detections, images, { scope, cropShare, within });
  if (hard.share > hardShareMax) {
    const remedy =
      scope === 'image'
        ? '`scope: crop` in this step selects the parts of the images around the errors instead; a higher `confidence` or a lower `iou` narrows it too.'
        : `A \`cropShare\` below ${cropShare}, a higher \`confidence\` or a lower \`iou\` in this step narrows it.`;
    await context.notice(
      `${context.path}: ${hardWords(hard, images.length)} at confidence ${confidence} and IoU ${iou}, so the ` +
        `selection of hard cases selects hardly anything. ${remedy}`,
    );
  }
  const { truePositives, falsePositives, falseNegatives } = matches;
  const weights = weightsOf(matches, detections, annotations, hard, parameters.errorWeights);
  const { images: hardIds, crops } = hard;
  const selection: Selection = { images: hardIds, ...(crops ? { crops } : {}), ...(weights ? { weights } : {}) };
  return {
    candidates: await saveJson(store, 'candidates', candidates),
    ...(hardIds.length > 0 ? { hardImages: await saveJson(store, 'selection', selection) } : {}),
    hardShare: hard.share,
    crops: crops?.length ?? 0,
    truePositives,
    falsePositives,
    falseNegatives,
  };
});

/** Images of the train split as the model saw them that was trained without their fold; others as given. */
async function outOfFold(
  context: StepContext,
  models: readonly ArtifactRef[],
  dataset: Dataset,
  imageIds: readonly number[],
  given: Detections,
): Promise<Detections> {
  const of = models.length;
  for (const [i, ref] of models.entries()) {
    const { fold } = (await loadModel(context.store, ref)).training;
    if (fold?.of === of && fold.without === i + 1) continue;
    const was = fold === undefined ? 'on all of its folds' : `without fold ${fold.without} of ${fold.of}`;
    throw ApplicationFailure.nonRetryable(
      `Model ${i + 1} of the ${of} in \`crossFit\` was trained ${was}, expected without fold ${i + 1} of ${of}. ` +
        `Train ${of} models with \`fold: { without: 1, of: ${of} }\` to \`{ without: ${of}, of: ${of} }\`, and list them in that order.`,
      'BadData',
    );
  }
  const entries = new Map(dataset.images.map((image) => [image.id, image]));
  const byFold = new Map<number, number[]>();
  const others: number[] = [];
  for (const id of imageIds) {
    const image = entries.get(id)!;
    if (image.split !== 'train') others.push(id);
    else byFold.set(foldOf(image, of), [...(byFold.get(foldOf(image, of)) ?? []), id]);
  }
  const parts: Detections[] = [detectionsOfImages(given, others)];
  for (const [fold, ids] of byFold) parts.push(await detectionsOf(context, models[fold - 1]!, dataset, ids));
  return joinDetections(parts);
}

function hardWords({ images, crops, share }: HardCases, looked: number): string {
  const percent = `${Math.round(100 * share)} %`;
  return crops
    ? `the crops around errors cover ${percent} of ${looked} train images`
    : `${images.length} of ${looked} train images (${percent}) hold an error`;
}

export function windowsByImage(crops: NonNullable<Selection['crops']>): Map<number, Box[]> {
  const windows = new Map<number, Box[]>();
  for (const { image, window } of crops) windows.set(image, [...(windows.get(image) ?? []), window]);
  return windows;
}

/** Weights of the targets in the hard images, or in their crops; null where all weigh the same. */
function weightsOf(
  matches: Matches,
  detections: Detections,
  annotations: readonly Annotation[],
  { images, crops }: HardCases,
  given: Partial<ErrorWeights> = {},
): Record<string, number> | null {
  const selected = new Set(images);
  const windows = crops ? windowsByImage(crops) : undefined;
  const errors = new Map<string, TargetError>();
  for (const image of matches.images) {
    if (!selected.has(image.imageId)) continue;
    for (const [id, error] of errorsOfTargets(image, detections)) errors.set(id, error);
  }
  const targets = annotations.filter(
    ({ id, imageId, box }) => errors.has(id) && (windows === undefined || isWithin(box, windows.get(imageId) ?? [])),
  );
  const ids = targets.map(({ id }) => id);
  return weightsByError(ids, errors, { truePositive: 1, falseNegative: 1, badlyLocated: 1, ...given });
}
