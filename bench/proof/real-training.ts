/** Imports a folder, trains one model on it from scratch as the pipeline's own steps do, and measures it. */

import { basename, join, resolve } from 'node:path';
import type { StepContext } from '../../activities/context.ts';
import { detectionsOf } from '../../activities/detections.ts';
import { describeEnvironment } from '../../activities/environment.ts';
import { groundTruthOf, imagesOfSplits } from '../../activities/ground-truth.ts';
import { importDataset } from '../../activities/import-dataset.ts';
import { prefetchBatches } from '../../activities/prefetch.ts';
import { type FinishedTraining, trainModel } from '../../activities/train.ts';
import { prepareAll, selectedImages } from '../../activities/training-images.ts';
import type { TrainParameters } from '../../activities/training-parameters.ts';
import { loadDataset, loadJson, saveModel } from '../../artifacts/codecs.ts';
import { openStore } from '../../artifacts/open-store.ts';
import type { Store } from '../../artifacts/store.ts';
import { ingestTree } from '../../artifacts/tree.ts';
import type { Curves } from '../../artifacts/types.ts';
import { matchForAp } from '../../detection/average-precision.ts';
import { bootstrapAp, type Interval } from '../../detection/bootstrap.ts';
import type { EpochReport } from '../../detection/model/types.ts';
import type { Dataset, Detections, Split } from '../../detection/types.ts';
import type { ArtifactRef, RunEnvironment } from '../../plan/types.ts';
import { torchPython } from '../torch/python.ts';
import { appendToFile, conditions } from './append-section.ts';
import { benchContext } from './bench-context.ts';
import { evaluateEvery, meanSpeed, planEpochs } from './epoch-plan.ts';
import { decimal, markdownTable, percent, percentWithInterval } from './tables.ts';

export interface RealDataRequest {
  readonly folder: string;
  readonly minutes: number;
  readonly epochs: number | null;
  readonly seed: number;
  readonly groupBy: string | undefined;
  readonly validations: number;
  readonly out: string;
  readonly torch: boolean;
  readonly installTorch: boolean;
  readonly append: boolean;
  /** Parameters of `train` apart from the dataset and the length. */
  readonly settings: Partial<TrainParameters> & { readonly imageSize: number };
}

/** What every measured model is told by. */
interface Measured {
  readonly name: string;
  readonly AP: Interval;
  readonly AP50: Interval;
  readonly imagesPerSecond: number;
  /** Share of the time in which the trainer waited for its batches; null where it is not known. */
  readonly waited: number | null;
  readonly seconds: number;
}

const SECTION = 'Real data from scratch';
const BOOTSTRAP_REPLICATES = 1000;

export async function runRealData(request: RealDataRequest): Promise<void> {
  // As in every training process; TensorFlow leaves oneDNN off on some CPUs.
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
  // Before half an hour of training, not after it.
  const python = request.torch ? torchPython({ install: request.installTorch }) : null;
  const store = await openStore(join(request.out, 'store'));
  const environment = await describeEnvironment();
  const datasetRef = await importFolder(store, environment, request);
  const dataset = await loadDataset(store, datasetRef);
  console.log(describeSet(request.folder, dataset));

  const plan = await lengthOf(store, environment, datasetRef, request);
  const parameters = { dataset: datasetRef, ...request.settings, ...plan };
  const context = benchContext({
    store,
    environment,
    path: 'train',
    seed: request.seed,
    identity: { ...parameters, dataset: datasetRef.digest },
  });
  const finished = await trainModel(context, parameters);
  const curves = await loadJson(store, 'curves', finished.outputs.curves);
  console.log(curveTable(curves.epochs));

  const split: Split = imagesOfSplits(dataset, ['test']).length > 0 ? 'test' : 'val';
  const imageIds = imagesOfSplits(dataset, [split]);
  const models: Found[] = [
    {
      name: 'hardcase',
      found: await detectionsOf(context, finished.outputs.model, dataset, imageIds),
      imagesPerSecond: meanSpeed(curves.epochs.map((epoch) => epoch.imagesPerSecond)),
      waited: curves.epochs.reduce((sum, { waited }) => sum + waited, 0) / curves.epochs.length,
      seconds: finished.seconds,
    },
  ];
  if (python !== null) {
    models.push(await trainByTorch({ context, dataset, parameters, finished, curves, imageIds, python }));
  }
  report(request, dataset, finished, curves.epochs, split, measure(dataset, imageIds, models));
}

interface TorchTwin {
  readonly context: StepContext;
  readonly dataset: Dataset;
  readonly parameters: TrainParameters;
  readonly finished: FinishedTraining;
  readonly curves: Curves;
  readonly imageIds: readonly number[];
  readonly python: string;
}

/** The same net from the same first weights on the same batches with the same settings of every step, by PyTorch. */
async function trainByTorch(twin: TorchTwin): Promise<Found> {
  const { context, dataset, parameters, finished, curves, imageIds, python } = twin;
  const { trainWithTorch } = await import('../torch-trainer.ts');
  const { architecture } = finished.model;
  const { options } = curves;
  const selected = await selectedImages(context, dataset, parameters);
  const images = await prepareAll(context, dataset, selected, architecture.imageSize);
  const recipe = {
    images: images.train,
    select: selected.select,
    batchSize: options.batchSize,
    inputSize: architecture.imageSize,
    seed: context.seed,
    augment: options.augment,
    multiScale: options.multiScale,
    multipleOf: Math.max(...architecture.strides),
    totalSteps: finished.model.training.steps,
  };
  const source = prefetchBatches({ source: recipe, architecture, targets: options }, { startAt: 0, threads: 1 });
  try {
    const trained = await trainWithTorch({
      architecture,
      init: null,
      options,
      source,
      seed: context.seed,
      python,
      // What our own training may take at most.
      threads: context.environment.threads,
      onEpoch: (epoch, loss) =>
        context.progress(`PyTorch, epoch ${epoch} of ${options.epochs}, loss ${loss.toFixed(3)}`),
    });
    const model = { ...finished.model, weights: trained.weights };
    return {
      name: 'PyTorch',
      found: await detectionsOf(context, await saveModel(context.store, model), dataset, imageIds),
      imagesPerSecond: trained.imagesPerSecond,
      waited: null,
      seconds: trained.seconds,
    };
  } finally {
    await source.close();
  }
}

async function importFolder(store: Store, environment: RunEnvironment, request: RealDataRequest): Promise<ArtifactRef> {
  const source = await ingestTree(store, request.folder);
  const context = benchContext({ store, environment, path: 'import', seed: request.seed, identity: source.digest });
  const { dataset } = await importDataset(context, {
    source,
    format: 'auto',
    split: { keep: true, else: { train: 0.8, val: 0.1, test: 0.1 } },
    groupBy: request.groupBy,
    onInvalid: 'drop',
  });
  return dataset;
}

/** Epochs as asked for, or as many as the time allows by the speed of a trial of two short epochs. */
async function lengthOf(
  store: Store,
  environment: RunEnvironment,
  dataset: ArtifactRef,
  request: RealDataRequest,
): Promise<{ epochs: number; evaluateEvery: number }> {
  const { epochs, validations, settings } = request;
  if (epochs !== null) return { epochs, evaluateEvery: evaluateEvery(epochs, validations) };
  const trial = { dataset, ...settings, steps: 40, evaluateEvery: 1000 };
  // A trial that was stopped must not be gone on with: what counts is its speed from beginning to end.
  const identity = { trial: Date.now() };
  const context = benchContext({ store, environment, path: 'speed trial', seed: request.seed, identity });
  const startedAt = Date.now();
  const finished = await trainModel(context, trial);
  const seconds = (Date.now() - startedAt) / 1000;
  const curves = await loadJson(store, 'curves', finished.outputs.curves);
  const { batchSize } = curves.options;
  const imagesPerSecond = Math.min(...curves.epochs.slice(-2).map((epoch) => epoch.imagesPerSecond));
  const training = curves.epochs.reduce(
    (sum, epoch) => sum + ((40 / curves.epochs.length) * batchSize) / epoch.imagesPerSecond,
    0,
  );
  const images = imagesOfSplits(await loadDataset(store, dataset), ['train']).length;
  // Decoding and one validation are what the trial took beside its steps; the shares do not matter much.
  const rest = Math.max(1, seconds - training);
  const plan = planEpochs({
    budgetSeconds: request.minutes * 60,
    fixedSeconds: rest,
    epochSeconds: (Math.ceil(images / batchSize) * batchSize) / imagesPerSecond,
    validationSeconds: rest / 2,
    validations,
  });
  console.log(
    `Speed trial: ${imagesPerSecond.toFixed(1)} images/s, so ${plan.epochs} epochs in ${request.minutes} minutes.`,
  );
  return plan;
}

interface Found {
  readonly name: string;
  readonly found: Detections;
  readonly imagesPerSecond: number;
  /** Share of the time in which the trainer waited for its batches; null where it is not known. */
  readonly waited: number | null;
  readonly seconds: number;
}

function measure(dataset: Dataset, imageIds: readonly number[], models: readonly Found[]): Measured[] {
  const groundTruth = groundTruthOf(dataset, imageIds);
  const matches = models.map(({ found }) => matchForAp(groundTruth, found, { applyIgnore: true }));
  const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
  const result = bootstrapAp(matches, [], groupOf, { seed: 'bench', replicates: BOOTSTRAP_REPLICATES });
  return models.map(({ found: _, ...model }, i) => {
    const { AP, AP50 } = result.models[i]!;
    return { ...model, AP: AP!, AP50: AP50! };
  });
}

function report(
  request: RealDataRequest,
  dataset: Dataset,
  { model }: FinishedTraining,
  epochs: readonly EpochReport[],
  split: Split,
  rows: readonly Measured[],
): void {
  const { architecture, training } = model;
  const groups = new Set(dataset.images.filter((image) => image.split === split).map((image) => image.group)).size;
  const table = markdownTable(
    ['trained by', `AP50 on ${split}`, `AP on ${split}`, 'images/s', 'waited for batches', 'minutes'],
    rows.map((row) => [
      row.name,
      percentWithInterval(row.AP50),
      percentWithInterval(row.AP),
      row.imagesPerSecond.toFixed(1),
      row.waited === null ? '' : `${percent(row.waited)} %`,
      decimal(row.seconds / 60, 1),
    ]),
  );
  const [ours, torch] = rows;
  const ratio =
    torch === undefined
      ? []
      : [`Training at ${decimal(ours!.imagesPerSecond / torch.imagesPerSecond, 2)} times the images/s of PyTorch.`];
  const settings = Object.entries(request.settings).filter(([name]) => name !== 'imageSize');
  const words = [
    `${architecture.imageSize} px, depth ${architecture.depth}, width ${architecture.width}, strides ${architecture.strides.join(', ')}`,
    `${training.parameters.toLocaleString('en')} parameters`,
    `${epochs.length} epochs of ${training.images} images`,
    ...(settings.length > 0 ? [settings.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', ')] : []),
  ];
  const text = `${table}\n\n${words.join('; ')}. 95 % intervals from ${BOOTSTRAP_REPLICATES} resamplings of ${groups} groups of ${split} images.${ratio.map((words) => ` ${words}`).join('')}`;
  console.log(`\n${text}`);
  if (!request.append) return;
  const command = `npm run bench -- real-data ${process.argv.slice(2).filter(isForReaders).map(folderName(request)).join(' ')}`;
  const title = `### ${basename(request.folder)}, ${conditions()}`;
  appendToFile(
    join('docs', 'benchmarks.md'),
    SECTION,
    `${title}\n\n    ${command}\n\n${text}\n\nLearning curve on validation:\n\n${curveTable(epochs)}`,
  );
}

const isForReaders = (word: string): boolean => word !== '--append';

/** A path of this machine says nothing to readers. */
function folderName({ folder }: RealDataRequest): (word: string) => string {
  return (word) => (resolve(word) === folder ? basename(folder) : word);
}

function curveTable(epochs: readonly EpochReport[]): string {
  const points = epochs.filter((epoch) => epoch.validation !== undefined);
  return markdownTable(
    ['epoch', ...points.map(({ epoch }) => String(epoch))],
    [
      ['loss', ...points.map(({ loss }) => decimal(loss.total, 2))],
      ['AP50', ...points.map(({ validation }) => percent(validation!.AP50))],
      ['AP', ...points.map(({ validation }) => percent(validation!.AP))],
    ],
  );
}

function describeSet(folder: string, dataset: Dataset): string {
  const counts = (['train', 'val', 'test'] as const).map((split) => {
    const ids = new Set(imagesOfSplits(dataset, [split]));
    const boxes = dataset.labels.annotations.filter(({ imageId }) => ids.has(imageId)).length;
    return `${split} ${ids.size} images with ${boxes} boxes`;
  });
  const names = dataset.categories.map(({ name }) => name).join(', ');
  return `${basename(folder)}: ${counts.join(', ')}; categories ${names}`;
}
