/** `train`: images and labels to a model, going on from the newest checkpoint wherever an attempt before it ended. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadModel, saveDynamics, saveJson, saveModel } from '../artifacts/codecs.ts';
import type { Curves, Model } from '../artifacts/types.ts';
import { evaluateCoco } from '../detection/average-precision.ts';
import { foldUnseen } from '../detection/folds.ts';
import { defaultTrainOptions } from '../detection/model/default-options.ts';
import { stepsPerEpoch } from '../detection/model/sampler.ts';
import type { EpochReport, PreparedImage, TrainJob, TrainResult } from '../detection/model/types.ts';
import type { Dataset } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { openCheckpointWriter } from './checkpoint-writer.ts';
import { type Checkpoints, openCheckpoints } from './checkpoints.ts';
import { chooseThreads, type NetShape } from './choose-threads.ts';
import type { StepContext } from './context.ts';
import { describeCpu, describeTensorflow, useThreads } from './environment.ts';
import { groundTruthOf } from './ground-truth.ts';
import { checkInterpolate, interpolateModels } from './interpolate.ts';
import { prefetchBatches, prefetchThreads } from './prefetch.ts';
import { replayStrata } from './replay-strata.ts';
import { inTfProcess } from './tf-process.ts';
import { countQuarantined, openRecorder, withThresholdBoxes } from './training-dynamics.ts';
import { freshArchitecture, imagesOf, prepareAll, selectedImages, shapeDefaults } from './training-images.ts';
import { durationMs, optionsOf, scheduleOf, type TrainParameters } from './training-parameters.ts';

export type TrainOutputs = {
  readonly model: ArtifactRef;
  readonly curves: ArtifactRef;
  readonly chain: ArtifactRef;
  /** With the parameter `dynamics`. */
  readonly dynamics?: ArtifactRef;
  readonly steps: number;
  /** Share of the new weights in the model: 1 unless it was interpolated. */
  readonly newShare: number;
  /** On validation; -1 where there are no validation labels. */
  readonly AP: number;
};

/** A training that has ended, with what the capacity search asks of it. */
export interface FinishedTraining {
  readonly outputs: TrainOutputs;
  readonly model: Model;
  readonly dataset: Dataset;
  readonly epochs: readonly EpochReport[];
  readonly seconds: number;
}

export const train = inTfProcess<TrainParameters, TrainOutputs>(
  'train',
  async (context, parameters) => (await trainModel(context, parameters)).outputs,
);

/** In the TensorFlow process. With `until` it ends after so many epochs of the full schedule, with a checkpoint there. */
export async function trainModel(
  context: StepContext,
  parameters: TrainParameters,
  until?: number,
): Promise<FinishedTraining> {
  const { store } = context;
  const given = await loadDataset(store, parameters.dataset);
  const dataset = withThresholdBoxes(given, parameters.dynamics, context.seed);
  const init = parameters.init ? await loadModel(store, parameters.init) : null;
  const shape = {
    imageSize: init?.architecture.imageSize ?? parameters.imageSize ?? 320,
    width: init?.architecture.width ?? (parameters.structure ? 1 : (parameters.width ?? 0.25)),
  };
  const selected = await selectedImages(context, dataset, parameters);
  const threads = await chooseThreads(
    context,
    netShapeOf(shape, init, dataset, parameters),
    parameters,
    imagesOf(selected).length,
  );
  useThreads(threads);
  // What is really here: the run's environment may have been settled on another machine.
  const environment = {
    threads,
    ...(await describeTensorflow()),
    oneDnn: context.environment.oneDnn,
    cpu: describeCpu(),
  };

  const images = await prepareAll(context, dataset, selected, shape.imageSize);
  const options = await optionsOf(parameters);
  const architecture = init
    ? { ...init.architecture, categories: dataset.categories }
    : await freshArchitecture(dataset, parameters, shape, [...images.train.values()], context.seed);

  const evaluate = validationOf(dataset, images.val);
  const interpolate = parameters.interpolate ?? 'off';
  checkInterpolate(interpolate, init !== null, evaluate);
  const replay = selected.replay && {
    ...selected.replay,
    stratify: await replayStrata(
      parameters.replay?.stratify,
      selected.replay.from.map(({ image }) => image),
      dataset,
      images.train,
      init,
    ),
  };

  const schedule = scheduleOf(
    parameters.steps,
    options.epochs,
    stepsPerEpoch({ ...selected, ...options, images: images.train, inputSize: shape.imageSize }),
  );
  const totalSteps = schedule.epochs * schedule.stepsPerEpoch;
  const checkpoints = await openCheckpoints(store, context.fingerprint, environment);
  if (checkpoints.newest) context.resumed(checkpoints.newest.step, checkpoints.newest.exact);

  const recorder = await openRecorder(context, dataset, [...images.train.keys()], shape.imageSize, parameters.dynamics);
  const source = prefetchBatches(
    {
      source: {
        images: images.train,
        select: selected.select,
        replay,
        batchSize: options.batchSize,
        inputSize: shape.imageSize,
        seed: context.seed,
        augment: options.augment,
        multiScale: options.multiScale,
        multipleOf: Math.max(...architecture.strides),
        totalSteps,
      },
      architecture,
      targets: options,
    },
    { startAt: checkpoints.newest?.step ?? 0, threads: prefetchThreads(threads) },
  );
  const data = {
    dataset: parameters.dataset.digest,
    labels: given.manifest.labels,
    init: parameters.init?.digest ?? null,
  };
  const nameOf = new Map(dataset.images.map(({ id, fileName }) => [id, fileName]));
  const watch = stopwatch(checkpoints.newest?.seconds ?? 0);
  const result = await runJob(context, checkpoints, watch, parameters, {
    architecture,
    init: init?.weights ?? null,
    seed: context.seed,
    data: canonicalJson(data),
    options: { ...options, epochs: schedule.epochs },
    source: { ...source, stepsPerEpoch: schedule.stepsPerEpoch },
    resumeFrom: checkpoints.newest?.bytes ?? null,
    evaluate,
    evaluateEvery: parameters.evaluateEvery ?? 5,
    until,
    profile: recorder,
    imageName: (id) => nameOf.get(id) ?? String(id),
  }).finally(() => source.close());
  const mixed =
    interpolate === 'off' || init === null
      ? null
      : await interpolateModels(architecture, init.weights, result.weights, interpolate, evaluate);
  const seconds = watch();

  const { countParameters } = await import('../detection/model/network.ts');
  // Imported weights come from other images.
  const unseen = foldUnseen(parameters.fold, init === null || init.training.stepsInAll === 0 ? null : init.training);
  const model: Model = {
    architecture,
    weights: mixed?.weights ?? result.weights,
    training: {
      steps: result.steps,
      stepsInAll: (init?.training.stepsInAll ?? 0) + result.steps,
      images: new Set(selected.select.map(({ image }) => image)).size,
      seed: context.seed,
      parameters: countParameters(architecture),
      ...(unseen === undefined ? {} : { fold: unseen }),
    },
  };
  const quarantined = countQuarantined(dataset, [...images.train.keys()]);
  const curves: Curves = {
    epochs: result.epochs,
    clipSwitch: result.clipSwitch,
    ...(result.returns.length > 0 ? { returns: result.returns } : {}),
    options: { ...options, epochs: schedule.epochs },
    seconds,
    environment: { ...context.environment, ...environment },
    ...(quarantined > 0 ? { quarantined } : {}),
    ...(mixed ? { interpolation: { newShare: mixed.newShare, tried: mixed.tried } } : {}),
  };
  const reached = mixed?.tried.find(({ newShare }) => newShare === mixed.newShare);
  const saved = await saveModel(store, model);
  const outputs = {
    model: saved,
    chain: await saveJson(store, 'chain', { ...data, steps: result.steps, ...result.chain, model: saved.digest }),
    curves: await saveJson(store, 'curves', curves),
    ...(recorder ? { dynamics: await saveDynamics(store, recorder.dynamics()) } : {}),
    steps: result.steps,
    newShare: mixed?.newShare ?? 1,
    AP: (reached ?? result.epochs.at(-1)?.validation)?.AP ?? -1,
  };
  await checkpoints.tidy();
  return { outputs, model, dataset, epochs: result.epochs, seconds };
}

/** What is known of the net before its images are decoded and TensorFlow is loaded. */
function netShapeOf(
  { imageSize, width }: Pick<NetShape, 'imageSize' | 'width'>,
  init: Model | null,
  dataset: Dataset,
  parameters: TrainParameters,
): NetShape {
  const { depth, strides, activation, structure } = init?.architecture ?? { ...shapeDefaults, ...parameters };
  return {
    depth: depth ?? shapeDefaults.depth,
    width,
    imageSize,
    strides: strides ?? shapeDefaults.strides,
    activation: activation ?? shapeDefaults.activation,
    ...(structure ? { structure } : {}),
    categories: dataset.categories.length,
    batchSize: parameters.batchSize ?? defaultTrainOptions.batchSize,
  };
}

function validationOf(dataset: Dataset, images: readonly PreparedImage[]): TrainJob['evaluate'] {
  if (images.length === 0) return undefined;
  const groundTruth = groundTruthOf(
    dataset,
    images.map((image) => image.imageId),
  );
  return (detect) => {
    const { AP, AP50 } = evaluateCoco(groundTruth, detect(images));
    return { AP, AP50 };
  };
}

/** Trains, saving checkpoints by the clock and when told to stop, without waiting for the store unless it ends with one. */
async function runJob(
  context: StepContext,
  checkpoints: Checkpoints,
  watch: () => number,
  parameters: TrainParameters,
  job: Omit<TrainJob, 'onEpoch' | 'afterStep' | 'onCheckpoint'>,
): Promise<TrainResult> {
  const { NonFiniteLossError, trainDetector } = await import('../detection/model/train.ts');
  const everyMs = durationMs(parameters.checkpointEvery ?? '30s');
  const writer = openCheckpointWriter(checkpoints, (message) => context.notice(message));
  let savedAt = Date.now();
  let told = 0;
  let lastEpoch = '';
  try {
    const result = await trainDetector({
      ...job,
      onEpoch(report) {
        const validation = report.validation ? `, AP50 ${(100 * report.validation.AP50).toFixed(1)}` : '';
        // Little of it is no news; much of it says that another machine, or fewer changes to images, would be faster.
        const waited =
          report.waited < 0.05 ? '' : `, waited for data ${(100 * report.waited).toFixed(0)} % of the time`;
        lastEpoch = `, loss ${report.loss.total.toFixed(3)}${validation}${waited}`;
      },
      async afterStep(step, totalSteps) {
        const now = Date.now();
        if (now - told > 1_000) {
          told = now;
          const epoch = Math.ceil(step / job.source.stepsPerEpoch);
          context.progress(`epoch ${epoch} of ${job.options.epochs}${lastEpoch}`, step / totalSteps);
          // Lets the order to stop, or the end of the parent, come in between two steps.
          await new Promise((resolve) => setImmediate(resolve));
        }
        await writer.advance();
        if (context.signal.aborted) return 'checkpoint-and-stop';
        if (step === totalSteps || now - savedAt >= everyMs) return 'checkpoint';
        return 'go-on';
      },
      onReturn: ({ step, to, terms, rate }) =>
        context.notice(
          `After step ${step} ${terms.join(', ')} ${terms.length === 1 && terms[0] !== 'weights' ? 'was' : 'were'} not finite: ` +
            `the training went back to step ${to} and goes on with ${rate} times the learning rate.`,
        ),
      async onCheckpoint(step, bytes, link) {
        await writer.write(step, bytes, watch(), link);
        savedAt = Date.now();
      },
    });
    await writer.finish();
    context.signal.throwIfAborted();
    return result;
  } catch (error) {
    // The message names the last checkpoint: it should be there.
    await writer.finish().catch(() => undefined);
    if (!(error instanceof NonFiniteLossError)) throw error;
    throw ApplicationFailure.nonRetryable(error.message, 'NonFiniteLoss');
  }
}

/** Seconds since now, added to those of earlier attempts. */
function stopwatch(before: number): () => number {
  const startedAt = Date.now();
  return () => before + (Date.now() - startedAt) / 1000;
}
