/** `train`: images and labels to a model, going on from the newest checkpoint wherever an attempt before it ended. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadJson, loadModel, saveJson, saveModel } from '../artifacts/codecs.ts';
import type { Curves, Model } from '../artifacts/types.ts';
import { evaluateCoco } from '../detection/average-precision.ts';
import { createBatchSource, stepsPerEpoch } from '../detection/model/sampler.ts';
import type { EpochReport, PreparedImage, TrainJob, TrainOptions, TrainResult } from '../detection/model/types.ts';
import type { Architecture, Dataset } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { type Checkpoints, openCheckpoints } from './checkpoints.ts';
import type { StepContext } from './context.ts';
import { imagePoolOf } from './detections.ts';
import { describeCpu, describeTensorflow, trainingThreads, useThreads } from './environment.ts';
import { entriesOf, groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

/** As `train` in docs/steps.md; what is absent has the default of `defaultTrainOptions`. */
export type TrainParameters = {
  readonly dataset: ArtifactRef;
  readonly init?: ArtifactRef;
  readonly select?: ArtifactRef;
  readonly replay?: { readonly from: ArtifactRef; readonly share?: number };
  /** Optimizer steps in place of `epochs`. */
  readonly steps?: number;
  readonly imageSize?: number;
  readonly depth?: number;
  readonly width?: number;
  readonly strides?: readonly number[];
  readonly activation?: Architecture['activation'];
  /** Epochs between two validations. */
  readonly evaluateEvery?: number;
  /** A duration such as `30s`, or milliseconds. */
  readonly checkpointEvery?: string | number;
} & DeepPartial<TrainOptions>;

type DeepPartial<T> = { readonly [K in keyof T]?: T[K] extends object ? DeepPartial<T[K]> | T[K] : T[K] };

export type TrainOutputs = {
  readonly model: ArtifactRef;
  readonly curves: ArtifactRef;
  readonly steps: number;
  /** On validation; -1 where there are no validation labels. */
  readonly AP: number;
};

/** A training that has ended, with what the capacity search asks of it. */
export interface FinishedTraining {
  readonly outputs: TrainOutputs;
  readonly model: Model;
  readonly dataset: Dataset;
  readonly lastEpoch: EpochReport | undefined;
  readonly seconds: number;
}

const replayShareDefault = 0.3;

export const train = inTfProcess<TrainParameters, TrainOutputs>(
  'train',
  async (context, parameters) => (await trainModel(context, parameters)).outputs,
);

/** In the TensorFlow process. */
export async function trainModel(context: StepContext, parameters: TrainParameters): Promise<FinishedTraining> {
  const { store } = context;
  const dataset = await loadDataset(store, parameters.dataset);
  const init = parameters.init ? await loadModel(store, parameters.init) : null;
  const shape = {
    imageSize: init?.architecture.imageSize ?? parameters.imageSize ?? 320,
    width: init?.architecture.width ?? parameters.width ?? 0.25,
  };
  const selected = await selectedImages(context, dataset, parameters);
  const threads = trainingThreads(shape, context.environment);
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

  const schedule = scheduleOf(parameters.steps, options.epochs, stepsPerEpoch({ ...selected, ...options }));
  const totalSteps = schedule.epochs * schedule.stepsPerEpoch;
  const source = {
    ...createBatchSource({
      images: images.train,
      select: selected.select,
      replay: selected.replay,
      batchSize: options.batchSize,
      inputSize: shape.imageSize,
      seed: context.seed,
      augment: options.augment,
      totalSteps,
    }),
    stepsPerEpoch: schedule.stepsPerEpoch,
  };
  const checkpoints = await openCheckpoints(store, context.fingerprint, environment);
  if (checkpoints.newest) context.resumed(checkpoints.newest.step, checkpoints.newest.exact);

  const watch = stopwatch(checkpoints.newest?.seconds ?? 0);
  const result = await runJob(context, checkpoints, watch, parameters, {
    architecture,
    init: init?.weights ?? null,
    seed: context.seed,
    options: { ...options, epochs: schedule.epochs },
    source,
    resumeFrom: checkpoints.newest?.bytes ?? null,
    evaluate: validationOf(dataset, images.val),
    evaluateEvery: parameters.evaluateEvery ?? 5,
  });
  const seconds = watch();

  const { countParameters } = await import('../detection/model/network.ts');
  const model: Model = {
    architecture,
    weights: result.weights,
    training: {
      steps: result.steps,
      stepsInAll: (init?.training.stepsInAll ?? 0) + result.steps,
      images: selected.select.length,
      seed: context.seed,
      parameters: countParameters(architecture),
    },
  };
  const curves: Curves = {
    epochs: result.epochs,
    clipSwitch: result.clipSwitch,
    options: { ...options, epochs: schedule.epochs },
    seconds,
    environment: { ...context.environment, ...environment },
  };
  const outputs = {
    model: await saveModel(store, model),
    curves: await saveJson(store, 'curves', curves),
    steps: result.steps,
    AP: result.epochs.at(-1)?.validation?.AP ?? -1,
  };
  await checkpoints.tidy();
  return { outputs, model, dataset, lastEpoch: result.epochs.at(-1), seconds };
}

interface SelectedImages {
  readonly select: readonly number[];
  readonly replay?: { readonly from: readonly number[]; readonly share: number };
}

async function selectedImages(
  context: StepContext,
  dataset: Dataset,
  parameters: TrainParameters,
): Promise<SelectedImages> {
  const { store } = context;
  const trainSplit = imagesOfSplits(dataset, ['train']);
  const known = new Set(trainSplit);
  const read = async (ref: ArtifactRef, name: string): Promise<readonly number[]> => {
    const { images } = await loadJson(store, 'selection', ref);
    const foreign = images.filter((id) => !known.has(id));
    if (foreign.length > 0) {
      throw ApplicationFailure.nonRetryable(
        `${foreign.length} of the ${images.length} images in \`${name}\` are not in the train split of the dataset ` +
          `(the first is image ${foreign[0]}). Training on validation or test images would make their figures worthless.`,
        'ForeignImages',
      );
    }
    return images;
  };
  const select = parameters.select ? await read(parameters.select, 'select') : trainSplit;
  if (select.length === 0) {
    throw ApplicationFailure.nonRetryable(
      parameters.select
        ? 'The selection to train on is empty. A loop over hard cases ends before that; end it, or select other images.'
        : 'The dataset has no images in its train split, expected at least one.',
      'EmptySelection',
    );
  }
  if (!parameters.replay) return { select };
  const from = await read(parameters.replay.from, 'replay.from');
  return { select, replay: { from, share: parameters.replay.share ?? replayShareDefault } };
}

interface PreparedSets {
  readonly train: ReadonlyMap<number, PreparedImage>;
  readonly val: readonly PreparedImage[];
}

async function prepareAll(
  context: StepContext,
  dataset: Dataset,
  { select, replay }: SelectedImages,
  inputSize: number,
): Promise<PreparedSets> {
  const pool = imagePoolOf(context, inputSize);
  const prepare = (ids: readonly number[]): Promise<PreparedImage[]> =>
    pool.prepare(entriesOf(dataset, ids), dataset.labels.annotations, dataset.categories);
  context.progress('decoding images', 0);
  const trained = await prepare([...new Set([...select, ...(replay?.from ?? [])])]);
  const val = await prepare(imagesOfSplits(dataset, ['val']));
  return { train: new Map(trained.map((image) => [image.imageId, image])), val };
}

async function freshArchitecture(
  dataset: Dataset,
  parameters: TrainParameters,
  { imageSize, width }: { readonly imageSize: number; readonly width: number },
  images: readonly PreparedImage[],
  seed: number,
): Promise<Architecture> {
  const { anchorsForBoxes } = await import('../detection/model/anchors.ts');
  const strides = parameters.strides ?? [8, 16, 32];
  const sizes: number[] = [];
  for (const { boxes } of images) {
    for (let i = 0; i < boxes.length; i += 4) {
      sizes.push(boxes[i + 2]! - boxes[i]!, boxes[i + 3]! - boxes[i + 1]!);
    }
  }
  return {
    depth: parameters.depth ?? 0.33,
    width,
    strides,
    anchors: anchorsForBoxes(sizes, { strides, seed }),
    activation: parameters.activation ?? 'leaky',
    imageSize,
    categories: dataset.categories,
  };
}

/** The recipe with every default filled in; parameters that are no part of it are left out. */
async function optionsOf(parameters: TrainParameters): Promise<TrainOptions> {
  const { defaultTrainOptions } = await import('../detection/model/train.ts');
  return withDefaults(defaultTrainOptions, parameters) as TrainOptions;
}

function withDefaults(defaults: object, given: object): object {
  const isObject = (value: unknown): value is object =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  return Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const own = (given as Record<string, unknown>)[name] ?? value;
      return [name, isObject(value) && isObject(own) ? withDefaults(value, own) : own];
    }),
  );
}

/**
 * Epochs, and steps of each. With `steps` given they are cut so that the total is exact, the epochs as near as can be
 * to one pass over the images; an epoch then only says when to report.
 */
export function scheduleOf(
  steps: number | undefined,
  epochs: number,
  natural: number,
): { readonly epochs: number; readonly stepsPerEpoch: number } {
  if (steps === undefined) return { epochs, stepsPerEpoch: natural };
  let best = steps;
  for (let divisor = 1; divisor <= steps; divisor++) {
    if (steps % divisor !== 0) continue;
    if (Math.abs(Math.log(divisor / natural)) < Math.abs(Math.log(best / natural))) best = divisor;
  }
  return { epochs: steps / best, stepsPerEpoch: best };
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

/** Trains, saving checkpoints by the clock and when told to stop. */
async function runJob(
  context: StepContext,
  checkpoints: Checkpoints,
  watch: () => number,
  parameters: TrainParameters,
  job: Omit<TrainJob, 'onEpoch' | 'afterStep' | 'onCheckpoint'>,
): Promise<TrainResult> {
  const { NonFiniteLossError, trainDetector } = await import('../detection/model/train.ts');
  const everyMs = durationMs(parameters.checkpointEvery ?? '30s');
  let savedAt = Date.now();
  let told = 0;
  let lastEpoch = '';
  try {
    const result = await trainDetector({
      ...job,
      onEpoch(report) {
        const validation = report.validation ? `, AP50 ${(100 * report.validation.AP50).toFixed(1)}` : '';
        lastEpoch = `, loss ${report.loss.total.toFixed(3)}${validation}`;
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
        if (context.signal.aborted) return 'checkpoint-and-stop';
        if (step === totalSteps || now - savedAt >= everyMs) return 'checkpoint';
        return 'go-on';
      },
      async onCheckpoint(step, bytes) {
        await checkpoints.add(step, bytes, watch());
        savedAt = Date.now();
      },
    });
    context.signal.throwIfAborted();
    return result;
  } catch (error) {
    if (!(error instanceof NonFiniteLossError)) throw error;
    throw ApplicationFailure.nonRetryable(error.message, 'NonFiniteLoss');
  }
}

/** Seconds since now, added to those of earlier attempts. */
function stopwatch(before: number): () => number {
  const startedAt = Date.now();
  return () => before + (Date.now() - startedAt) / 1000;
}

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function durationMs(duration: string | number): number {
  if (typeof duration === 'number') return duration;
  let ms = 0;
  for (const [, count, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) ms += Number(count) * unitMs[unit!]!;
  return ms;
}
