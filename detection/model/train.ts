/** Training: from weights and batches to weights, with reports by epoch and checkpoints at any step. */

import { type Checkpoint, decodeCheckpoint, type EpochSums, encodeCheckpoint } from './checkpoint.ts';
import { createDetectorModel } from './detect.ts';
import { flatten, networkLayout, startingWeights, unflatten } from './network.ts';
import { ADAM_BETA2, adamCorrection } from './optimizer.ts';
import {
  CLIP_OFF,
  clipAfterEpoch,
  clipBeforeStep,
  emaDecayAt,
  emaForLength,
  type Length,
  learningRateAt,
  statisticsRateAt,
} from './schedule.ts';
import { borrowSession, returnSession } from './sessions.ts';
import { createTargetBuilder } from './targets.ts';
import {
  buildTrainGraph,
  type GraphOptions,
  readReport,
  type StepReport,
  stepFeeds,
  type TrainState,
} from './train-graph.ts';
import type { EpochReport, TrainJob, TrainOptions, TrainResult } from './types.ts';

/** The recipe unless the pipeline says otherwise. The rate suits Adam; momentum wants some ten times as much. */
export const defaultTrainOptions: TrainOptions = {
  epochs: 30,
  batchSize: 16,
  accumulate: 1,
  optimizer: 'adam',
  learningRate: 0.006,
  finalRate: 0.02,
  momentum: 0.9,
  weightDecay: 0.0005,
  warmupEpochs: 1,
  schedule: 'cosine',
  emaDecay: 0.9999,
  focal: { gamma: 2, alpha: 0.25, class: false },
  labelSmoothing: 0.1,
  assignment: 'nearby',
  ignore: { by: 'anchor', threshold: 0.7 },
  boxLoss: 'ciou',
  lossWeights: { box: 5, objectness: 1, class: 0.5 },
  clip: {
    by: 'global-norm',
    norm: 10,
    percentile: 0.85,
    when: 'plateau',
    plateau: { improvement: 0.01, epochs: 3 },
  },
  freezeStatistics: false,
  augment: { flip: true, colour: 0.5, mosaic: 0.5, mosaicOffShare: 0.2, scale: 0.3, shift: 0.1 },
  multiScale: { range: 0, every: 10 },
  onNonFinite: { returns: 0, rateFactor: 0.5 },
};

/** A loss or gradient that is not a finite number: the weights after this step are worthless. */
export class NonFiniteLossError extends Error {
  override name = 'NonFiniteLossError';
  readonly step: number;
  readonly imageIds: readonly number[];
  /** Names of the loss terms, or `gradientNorm`. */
  readonly terms: readonly string[];

  constructor(step: number, imageIds: readonly number[], report: StepReport) {
    const terms = Object.entries(report).filter(([, value]) => !Number.isFinite(value));
    const values = terms.map(([name, value]) => `${name} is ${value}`).join(', ');
    super(
      `Step ${step}: ${values}. Images of the batch: ${imageIds.join(', ')}. ` +
        'A lower learningRate or clip: { when: always } usually helps; so does looking at those images and their boxes.',
    );
    this.step = step;
    this.imageIds = imageIds;
    this.terms = terms.map(([name]) => name);
  }
}

/** The checkpoint to resume from is one of another training. */
export class ForeignCheckpointError extends Error {
  override name = 'ForeignCheckpointError';
}

const NO_SUMS: EpochSums = {
  steps: 0,
  total: 0,
  box: 0,
  objectness: 0,
  class: 0,
  gradientNorm: 0,
  clipped: 0,
  seconds: 0,
  waited: 0,
};

export async function trainDetector(job: TrainJob): Promise<TrainResult> {
  const { architecture, options, source } = job;
  if (source.batchSize !== options.batchSize) {
    throw new Error(`The source gives batches of ${source.batchSize}, but the options say ${options.batchSize}.`);
  }
  const layout = networkLayout(architecture);
  const { stepsPerEpoch } = source;
  const length: Length = { stepsPerEpoch, totalSteps: options.epochs * stepsPerEpoch };
  const ema = emaForLength(options.emaDecay, length.totalSteps);
  const start = startingPoint(job, length);
  let { step, clip, sums } = start;
  const epochs = [...start.epochs];

  const graphOptions = graphOptionsOf(options);
  const key = `train ${JSON.stringify([architecture, graphOptions])}`;
  const session = borrowSession(key, () => buildTrainGraph(architecture, graphOptions), job.folder);
  const buildTargets = createTargetBuilder(architecture, options.batchSize, {
    assignment: options.assignment,
    labelSmoothing: options.labelSmoothing,
  });
  session.load(start.state);

  /** The model as it stands: the moving averages. */
  const model = (state: TrainState) =>
    unflatten(layout, { parameters: state.emaWeights!, statistics: state.emaStatistics! });
  const checkpoint = (): Checkpoint => ({
    step,
    identity: identityOf(job, length),
    clip,
    epochs,
    sums,
    state: session.save(),
  });

  try {
    let stopped = false;
    const lastStep = Math.min(job.until ?? options.epochs, options.epochs) * stepsPerEpoch;
    while (step < lastStep && !stopped) {
      const startedAt = performance.now();
      clip = clipBeforeStep(clip, options, length, step);
      const batch = await source.batch(step);
      const waited = (performance.now() - startedAt) / 1000;
      const clipNorm = clip.switched === null ? Number.POSITIVE_INFINITY : options.clip.norm;
      const learningRate = learningRateAt(options, length, step);
      const settings = {
        learningRate,
        clipNorm,
        emaDecay: emaDecayAt(ema.decay, step + 1, ema.ramp),
        statisticsRate: statisticsRateAt(step, job.init === null),
        correction1: adamCorrection(options.momentum, step),
        correction2: adamCorrection(ADAM_BETA2, step),
      };
      const answer = session.run('train', stepFeeds(batch.pixels, buildTargets(batch), settings));
      const report = readReport(answer.report!);
      if (!Object.values(report).every(Number.isFinite)) throw new NonFiniteLossError(step, batch.imageIds, report);
      step++;
      sums = addStep(sums, report, report.gradientNorm > clipNorm, {
        seconds: (performance.now() - startedAt) / 1000,
        waited,
      });

      if (step % stepsPerEpoch === 0) {
        const epoch = step / stepsPerEpoch;
        const isLast = step === length.totalSteps;
        if (!isLast) clip = clipAfterEpoch(clip, options, epoch, sums.total / sums.steps, step);
        let validation: EpochReport['validation'];
        if (job.evaluate !== undefined && (step === lastStep || epoch % job.evaluateEvery === 0)) {
          const detector = createDetectorModel(architecture, model(session.save()), { folder: job.folder });
          try {
            validation = job.evaluate((images) => detector.detect(images));
          } finally {
            detector.dispose();
          }
        }
        const finished = epochReport(epoch, sums, learningRate, options.batchSize);
        epochs.push(validation === undefined ? finished : { ...finished, validation });
        sums = NO_SUMS;
        job.onEpoch(epochs.at(-1)!);
      }

      const wish = await job.afterStep(step, lastStep);
      if (wish !== 'go-on') await job.onCheckpoint(step, encodeCheckpoint(checkpoint()));
      stopped = wish === 'checkpoint-and-stop';
    }
    return { weights: model(session.save()), epochs, clipSwitch: clip.switched, steps: step, returns: [] };
  } finally {
    returnSession(key, session);
  }
}

/** A fresh start, or the state in the checkpoint. */
function startingPoint(job: TrainJob, length: Length): Checkpoint {
  const identity = identityOf(job, length);
  if (job.resumeFrom !== null) {
    const found = decodeCheckpoint(job.resumeFrom);
    if (found.identity !== identity) {
      throw new ForeignCheckpointError(
        `The checkpoint belongs to another training.\n  it was: ${found.identity}\n  this is: ${identity}`,
      );
    }
    return found;
  }
  const layout = networkLayout(job.architecture);
  const { parameters, statistics } = flatten(layout, startingWeights(job.architecture, job.init, job.seed));
  const zeros = () => new Float32Array(layout.parameterCount);
  const state: TrainState = {
    weights: parameters,
    statistics,
    slot1: zeros(),
    emaWeights: parameters,
    emaStatistics: statistics,
    ...(job.options.optimizer === 'adam' ? { slot2: zeros() } : {}),
  };
  return { step: 0, identity, clip: CLIP_OFF, epochs: [], sums: NO_SUMS, state };
}

/** What may not differ between the run that wrote a checkpoint and the one that goes on with it. */
function identityOf({ architecture, options, seed }: TrainJob, { stepsPerEpoch }: Length): string {
  return JSON.stringify({ architecture, options, seed, stepsPerEpoch });
}

function graphOptionsOf(options: TrainOptions): GraphOptions {
  const { batchSize, optimizer, momentum, weightDecay, focal, boxLoss, lossWeights } = options;
  return { batchSize, optimizer, momentum, weightDecay, focal, boxLoss, lossWeights };
}

function addStep(
  sums: EpochSums,
  report: StepReport,
  clipped: boolean,
  time: Pick<EpochSums, 'seconds' | 'waited'>,
): EpochSums {
  return {
    steps: sums.steps + 1,
    total: sums.total + report.total,
    box: sums.box + report.box,
    objectness: sums.objectness + report.objectness,
    class: sums.class + report.class,
    gradientNorm: sums.gradientNorm + report.gradientNorm,
    clipped: sums.clipped + (clipped ? 1 : 0),
    seconds: sums.seconds + time.seconds,
    waited: sums.waited + time.waited,
  };
}

function epochReport(epoch: number, sums: EpochSums, learningRate: number, batchSize: number): EpochReport {
  const { steps } = sums;
  return {
    epoch,
    loss: {
      total: sums.total / steps,
      box: sums.box / steps,
      objectness: sums.objectness / steps,
      class: sums.class / steps,
    },
    gradientNorm: sums.gradientNorm / steps,
    clipped: sums.clipped / steps,
    learningRate,
    imagesPerSecond: (steps * batchSize) / sums.seconds,
    waited: sums.waited / sums.seconds,
  };
}
