/** `profile-loss`: what every ground truth costs every model, -1 where the model missed it. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadModel, saveJson } from '../artifacts/codecs.ts';
import type { Model, Profile } from '../artifacts/types.ts';
import { clusterCount, clusterFeatures, describeCrop, fitHalfCount } from '../detection/features.ts';
import { matchDetections } from '../detection/match.ts';
import type { GroundTruthLoss } from '../detection/model/loss-profile.ts';
import type { PreparedImage } from '../detection/model/types.ts';
import { withoutQuarantine } from '../detection/quarantine.ts';
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
    // Boxes in quarantine are profiled too, so that one that has converged since can be seen to have.
    const annotations = dataset.labels.annotations.map(withoutQuarantine);
    const held = new Set(
      dataset.labels.annotations.flatMap(({ id, quarantine }) => (quarantine === undefined ? [] : [id])),
    );
    const restored = { ...dataset, labels: { ...dataset.labels, annotations } };
    const groundTruth = groundTruthOf(restored, imageIds);

    const columns: { readonly losses: ReadonlyMap<string, GroundTruthLoss>; readonly missed: ReadonlySet<string> }[] =
      [];
    const crops = new Map<string, Float64Array>();
    for (const [i, ref] of parameters.models.entries()) {
      const detections = await detectionsOf(context, ref, dataset, imageIds);
      const matches = matchDetections(groundTruth, detections, { confidence, iou });
      const missed = matches.images.flatMap((image) => image.missed.map((annotation) => annotation.id));
      const label = `model ${i + 1} of ${parameters.models.length}`;
      const look = i === 0 ? (image: PreparedImage) => describeTargets(image, crops) : undefined;
      const losses = await lossesOf(context, await loadModel(store, ref), restored, imageIds, label, look);
      columns.push({ losses: new Map(losses.map((one) => [one.annotationId, one])), missed: new Set(missed) });
    }

    const { defaultTrainOptions } = await import('../detection/model/default-options.ts');
    // Those that the networks were asked for: neither crowds nor ignore regions.
    const asked = [...columns[0]!.losses.values()];
    const descriptors = asked.map(({ annotationId }) => crops.get(annotationId)!);
    const featureOf = clusterFeatures(descriptors, clusterCount(asked.length), asked.length);
    const values = (id: string, name: 'total' | 'pTrue' | 'objectness' | 'iou') =>
      columns.map(({ losses }) => losses.get(id)![name]);
    const targets = asked.map(({ imageId, annotationId }, t): Profile['targets'][number] => ({
      imageId,
      annotationId,
      loss: columns.map(({ losses, missed }) =>
        missed.has(annotationId) ? missedLoss : losses.get(annotationId)!.total,
      ),
      pTrue: values(annotationId, 'pTrue'),
      full: values(annotationId, 'total'),
      objectness: values(annotationId, 'objectness'),
      iou: values(annotationId, 'iou'),
      feature: featureOf[t]!,
      ...(held.has(annotationId) ? { quarantined: true } : {}),
    }));
    const profile: Profile = {
      models: parameters.models.map((model, i) => ({ name: `model ${i + 1}`, model })),
      targets,
      features: featuresOf(targets, columns.length, defaultTrainOptions.focal),
    };
    return { profile: await saveJson(store, 'profile', profile) };
  },
);

function describeTargets(image: PreparedImage, crops: Map<string, Float64Array>): void {
  const size = Math.sqrt(image.pixels.length / 3);
  const { pixels } = image;
  for (const [i, id] of image.annotationIds.entries()) {
    crops.set(id, describeCrop(pixels, size, image.boxes.subarray(i * 4, i * 4 + 4)));
  }
}

function featuresOf(
  targets: Profile['targets'],
  models: number,
  { gamma, alpha }: { readonly gamma: number; readonly alpha: number },
): Profile['features'] {
  const groups = new Map<number, Profile['targets'][number][]>();
  for (const target of targets) groups.set(target.feature!, [...(groups.get(target.feature!) ?? []), target]);
  const columns = Array.from({ length: models }, (_, m) => m);
  const clusters = [...groups]
    .sort(([a], [b]) => a - b)
    .map(([, own]) => {
      const mean = (of: (target: Profile['targets'][number], m: number) => number) =>
        columns.map((m) => own.reduce((sum, target) => sum + of(target, m), 0) / own.length);
      return {
        count: own.length,
        objectness: mean((target, m) => target.objectness![m]!),
        pTrue: mean((target, m) => target.pTrue[m]!),
        missed: mean((target, m) => (target.loss[m] === missedLoss ? 1 : 0)),
      };
    });
  return {
    focal: { gamma, alpha },
    clusters,
    halfCount: columns.map((m) => fitHalfCount(clusters.map(({ count, pTrue }) => ({ count, pTrue: pTrue[m]! })))),
  };
}

async function lossesOf(
  context: StepContext,
  model: Model,
  dataset: Dataset,
  imageIds: readonly number[],
  label: string,
  look?: (image: PreparedImage) => void,
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
    if (look) for (const image of images) look(image);
    losses.push(...lossPerGroundTruth(model.architecture, model.weights, images));
    context.progress(`losses of ${label}`, Math.min(1, (from + chunkSize) / entries.length));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return losses;
}
