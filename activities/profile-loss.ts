/** `profile-loss`: what every ground truth costs every model, -1 where the model missed it. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadModel, saveJson } from '../artifacts/codecs.ts';
import type { Model, Profile } from '../artifacts/types.ts';
import { matchDetections } from '../detection/match.ts';
import type { GroundTruthLoss } from '../detection/model/loss-profile.ts';
import type { Dataset } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { imagesOf } from './detect.ts';
import { detectionsOf, imagePoolOf } from './detections.ts';
import { trainingThreads, useThreads } from './environment.ts';
import { entriesOf, groundTruthOf } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type ProfileLossParameters = {
  readonly models: readonly ArtifactRef[];
  readonly dataset: ArtifactRef;
  readonly select?: ArtifactRef;
  readonly confidence?: number;
  readonly iou?: number;
};

export type ProfileLossOutputs = { readonly profile: ArtifactRef };

const chunkSize = 64;
const missedLoss = -1;

export const profileLoss = inTfProcess<ProfileLossParameters, ProfileLossOutputs>(
  'profile-loss',
  async (context, parameters) => {
    const { store } = context;
    const { confidence = 0.3, iou = 0.5 } = parameters;
    if (parameters.models.length === 0) {
      throw ApplicationFailure.nonRetryable('There is no model to profile.', 'NoModels');
    }
    const dataset = await loadDataset(store, parameters.dataset);
    const imageIds = await imagesOf(context, dataset, parameters.select, ['train']);
    const groundTruth = groundTruthOf(dataset, imageIds);

    const columns: { readonly losses: ReadonlyMap<string, GroundTruthLoss>; readonly missed: ReadonlySet<string> }[] =
      [];
    for (const [i, ref] of parameters.models.entries()) {
      const detections = await detectionsOf(context, ref, dataset, imageIds);
      const matches = matchDetections(groundTruth, detections, { confidence, iou });
      const missed = matches.images.flatMap((image) => image.missed.map((annotation) => annotation.id));
      const label = `model ${i + 1} of ${parameters.models.length}`;
      const losses = await lossesOf(context, await loadModel(store, ref), dataset, imageIds, label);
      columns.push({ losses: new Map(losses.map((one) => [one.annotationId, one])), missed: new Set(missed) });
    }

    const profile: Profile = {
      models: parameters.models.map((model, i) => ({ name: `model ${i + 1}`, model })),
      // Those that the networks were asked for: neither crowds nor ignore regions.
      targets: [...columns[0]!.losses.values()].map(({ imageId, annotationId }) => ({
        imageId,
        annotationId,
        loss: columns.map(({ losses, missed }) =>
          missed.has(annotationId) ? missedLoss : losses.get(annotationId)!.total,
        ),
        pTrue: columns.map(({ losses }) => losses.get(annotationId)!.pTrue),
      })),
    };
    return { profile: await saveJson(store, 'profile', profile) };
  },
);

async function lossesOf(
  context: StepContext,
  model: Model,
  dataset: Dataset,
  imageIds: readonly number[],
  label: string,
): Promise<GroundTruthLoss[]> {
  useThreads(trainingThreads(model.architecture, context.environment));
  const { lossPerGroundTruth } = await import('../detection/model/loss-profile.ts');
  const pool = imagePoolOf(context, model.architecture.imageSize);
  const entries = entriesOf(dataset, imageIds);
  const losses: GroundTruthLoss[] = [];
  for (let from = 0; from < entries.length; from += chunkSize) {
    context.signal.throwIfAborted();
    const chunk = entries.slice(from, from + chunkSize);
    const images = await pool.prepare(chunk, dataset.labels.annotations, model.architecture.categories);
    losses.push(...lossPerGroundTruth(model.architecture, model.weights, images));
    context.progress(`losses of ${label}`, Math.min(1, (from + chunkSize) / entries.length));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return losses;
}
