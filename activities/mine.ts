/** `mine`: what a model got wrong, as candidates for a reviewer and as the images of the next training set. */

import { loadDataset, saveJson } from '../artifacts/codecs.ts';
import { findCandidates } from '../detection/label-issues.ts';
import { hardImages, matchDetections } from '../detection/match.ts';
import type { Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { imagesOf } from './detect.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type MineParameters = {
  readonly model: ArtifactRef;
  readonly dataset: ArtifactRef;
  readonly select?: ArtifactRef;
  readonly splits?: readonly Split[];
  readonly confidence?: number;
  readonly iou?: number;
};

export type MineOutputs = {
  readonly candidates: ArtifactRef;
  /** Absent where no image is hard: steps that read it are skipped, and a loop over hard cases ends. */
  readonly hardImages?: ArtifactRef;
  readonly hardShare: number;
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
};

/** Above this share of its parent a selection of hard images selects hardly anything. */
const hardShareMax = 0.8;

export const mine = inTfProcess<MineParameters, MineOutputs>('mine', async (context, parameters) => {
  const { store } = context;
  const { confidence = 0.3, iou = 0.5 } = parameters;
  const dataset = await loadDataset(store, parameters.dataset);
  const imageIds = await imagesOf(context, dataset, parameters.select, parameters.splits ?? ['train']);
  const detections = await detectionsOf(context, parameters.model, dataset, imageIds);

  const matches = matchDetections(groundTruthOf(dataset, imageIds), detections, { confidence, iou });
  const { annotations } = dataset.labels;
  const candidates = findCandidates({ ...dataset, annotations }, detections, { confidence, iou });

  // Hard cases are trained on, so they come from the train split alone.
  const trainSplit = new Set(dataset.images.filter((image) => image.split === 'train').map((image) => image.id));
  const looked = imageIds.filter((id) => trainSplit.has(id)).length;
  const hard = hardImages(matches).filter((id) => trainSplit.has(id));
  const hardShare = looked === 0 ? 0 : hard.length / looked;
  if (hardShare > hardShareMax) {
    await context.notice(
      `${context.path}: ${hard.length} of ${looked} train images (${Math.round(100 * hardShare)} %) hold an error at ` +
        `confidence ${confidence} and IoU ${iou}, so the selection of hard images selects hardly anything. With many ` +
        'small targets an image, hard crops would select more (`scope: crop`, planned); until then a higher ' +
        '`confidence` or a lower `iou` in this step narrows it.',
    );
  }
  const { truePositives, falsePositives, falseNegatives } = matches;
  return {
    candidates: await saveJson(store, 'candidates', candidates),
    ...(hard.length > 0 ? { hardImages: await saveJson(store, 'selection', { images: hard }) } : {}),
    hardShare,
    truePositives,
    falsePositives,
    falseNegatives,
  };
});
