/** Training: from weights and batches to weights, with reports by epoch and checkpoints at any step. */

import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { createDetectorModel } from './detect.ts';
import { addStep, epochReport, NO_SUMS } from './epoch-sums.ts';
import { lossPerGroundTruth } from './loss-profile.ts';
import { flatten, networkLayout, startingWeights, unflatten } from './network.ts';
import { type NonFinite, NonFiniteLossError, nonFiniteReport, nonFiniteState } from './non-finite.ts';
import {
  CLIP_OFF,
  clipAfterEpoch,
  clipAfterStep,
  clipBeforeStep,
  clippedShare,
  type Length,
  stepPlanAt,
} from './schedule.ts';
import { createTargetBuilder } from './targets.ts';
import {
  freshState,
  type GraphOptions,
  readReport,
  readTargetNorms,
  stepFeeds,
  type TrainState,
} from './train-graph.ts';
import { openTrainGraphs } from './train-sizes.ts';
import { digestState, resumeChain, startChain } from './training-chain.ts';
import type { Batch, EpochReport, TrainJob, TrainOptions, TrainResult } from './types.ts';

export { defaultTrainOptions } from './default-options.ts';
export { NonFiniteLossError } from './non-finite.ts';

/** The checkpoint to resume from is one of another training. */
export class ForeignCheckpointError extends Error {
  override name = 'ForeignCheckpointError';
}

export async function trainDetector(job: TrainJob): Promise<TrainResult> {
  const { architecture, options, source } = job;
  if (source.batchSize !== options.batchSize) {
    throw new Error(`The source gives batches of ${source.batchSize}, but the options say ${options.batchSize}.`);
  }
  if (options.freezeStatistics && job.init === null) {
    throw new Error(
      'freezeStatistics keeps the statistics of the model that the training starts from, but there is none. ' +
        'Give `init`, or leave freezeStatistics out.',
    );
  }
  const layout = networkLayout(architecture);
  const { stepsPerEpoch } = source;
  const length: Length = { stepsPerEpoch, totalSteps: options.epochs * stepsPerEpoch };
  const lastStep = Math.min(job.until ?? options.epochs, options.epochs) * stepsPerEpoch;
  const start = startingPoint(job, length);
  let { step, clip, sums, returns, returnPoint } = start;
  const epochs = [...start.epochs];
  if (job.resumeFrom !== null) job.profile?.load(start.dynamics);
  let savedStep = job.resumeFrom === null ? null : step;

  const graphs = openTrainGraphs(architecture, graphOptionsOf(options), job.folder);
  graphs.load(start.state);
  const identity = identityOf(job, length);
  const chain =
    job.resumeFrom === null
      ? await startChain(JSON.stringify([identity, job.data ?? '']), start.state)
      : resumeChain(start.chain, step);
  if (job.resumeFrom === null && returnPoint !== null) returnPoint = { ...returnPoint, head: chain.head };
  const targetsOf = targetsBySize(job);

  /** The model as it stands: the moving averages. */
  const model = (state: TrainState) =>
    unflatten(layout, { parameters: state.emaWeights!, statistics: state.emaStatistics! });
  const checkpoint = async (state: TrainState): Promise<Checkpoint> => ({
    step,
    identity,
    clip,
    epochs,
    sums,
    returns,
    returnPoint,
    chain: await chain.save(),
    state,
    dynamics: job.profile?.save() ?? {},
  });
  const validationOf = (state: TrainState): EpochReport['validation'] => {
    if (job.evaluate === undefined) return undefined;
    const detector = createDetectorModel(architecture, model(state), { folder: job.folder });
    try {
      return job.evaluate((images) => detector.detect(images));
    } finally {
      detector.dispose();
    }
  };
  /** Goes back, or gives up. What the failed step left in the graph is thrown away either way. */
  const goBack = async (failure: NonFinite): Promise<void> => {
    if (returnPoint === null || returns.length >= options.onNonFinite.returns) {
      const names = failure.imageIds.map((id) => job.imageName?.(id) ?? String(id));
      throw new NonFiniteLossError(failure, names, savedStep, returns.length);
    }
    const rate = rateFactorOf(returns) * options.onNonFinite.rateFactor;
    const made = { step: failure.step, to: returnPoint.step, terms: failure.terms, imageIds: failure.imageIds, rate };
    returns = [...returns, made];
    ({ step, clip } = returnPoint);
    sums = NO_SUMS;
    graphs.load(returnPoint.state);
    chain.goBack(step, returnPoint.head, rate);
    await job.onReturn?.(made);
  };

  try {
    let stopped = false;
    while (step < lastStep && !stopped) {
      const startedAt = performance.now();
      clip = clipBeforeStep(clip, options, length, step);
      const batch = await source.batch(step);
      const waited = (performance.now() - startedAt) / 1000;
      const plan = stepPlanAt(options, length, step, { clip, isFresh: job.init === null });
      const learningRate = plan.settings.learningRate * rateFactorOf(returns);
      const settings = { ...plan.settings, learningRate };
      const inputSize = batch.inputSize ?? architecture.imageSize;
      const graph = graphs.at(inputSize);
      const targets = targetsOf(batch);
      const answer = graph.run(plan.signature, stepFeeds(batch.pixels, targets, settings));
      const report = readReport(answer.report!);
      const failure = nonFiniteReport(step, batch.shown ?? batch.imageIds, report);
      if (failure !== null) {
        await goBack(failure);
        continue;
      }
      step++;
      chain.step(step, { shown: batch.shown ?? batch.imageIds, inputSize, settings, report: answer.report! });
      const norms = answer.targetNorms === undefined ? null : readTargetNorms(answer.targetNorms, targets);
      clip = clipAfterStep(clip, options, plan, { gradientNorm: report.gradientNorm, targetNorms: norms });
      sums = addStep(sums, report, clippedShare(plan, report.gradientNorm, norms), {
        seconds: (performance.now() - startedAt) / 1000,
        waited,
      });

      if (step % stepsPerEpoch === 0) {
        const epoch = step / stepsPerEpoch;
        const state = graphs.save();
        const broken = nonFiniteState(step - 1, batch.shown ?? batch.imageIds, state);
        if (broken !== null) {
          await goBack(broken);
          continue;
        }
        await chain.epoch(epoch, step, state);
        if (step !== length.totalSteps) clip = clipAfterEpoch(clip, options, epoch, sums.total / sums.steps, step);
        const isSeen = step === lastStep || epoch % job.evaluateEvery === 0;
        const validation = isSeen ? validationOf(state) : undefined;
        if (job.profile !== undefined && (step === lastStep || epoch % job.profile.every === 0)) {
          job.profile.after(epoch, (images) =>
            lossPerGroundTruth(architecture, model(state), images, {
              ...options,
              folder: job.folder,
              batchSize: undefined,
            }),
          );
        }
        const finished = epochReport(epoch, sums, learningRate, options.batchSize);
        epochs.push(validation === undefined ? finished : { ...finished, validation });
        sums = NO_SUMS;
        // Ends of epochs, not the checkpoints that are written by the clock: where a training goes back to must not depend on it.
        if (options.onNonFinite.returns > 0) returnPoint = { step, clip, head: chain.head, state };
        job.onEpoch(epochs.at(-1)!);
      }

      const wish = await job.afterStep(step, lastStep);
      stopped = wish === 'checkpoint-and-stop';
      if (wish === 'go-on') continue;
      const state = graphs.save();
      const broken = nonFiniteState(step - 1, batch.shown ?? batch.imageIds, state);
      if (broken === null) {
        const link = { head: chain.head, state: await digestState(state), headAt: (at: number) => chain.headAt(at) };
        await job.onCheckpoint(step, encodeCheckpoint(await checkpoint(state)), link);
        savedStep = step;
      } else {
        await goBack(broken);
      }
    }
    const weights = model(graphs.save());
    return { weights, epochs, clipSwitch: clip.switched, steps: step, returns, chain: await chain.save() };
  } finally {
    graphs.close();
  }
}

/** What the learning rate is multiplied by after these returns. */
function rateFactorOf(returns: TrainResult['returns']): number {
  return returns.at(-1)?.rate ?? 1;
}

/** The targets of a batch of any size, where its source has not made them. */
function targetsBySize({ architecture, options }: TrainJob): (batch: Batch) => NonNullable<Batch['targets']> {
  const builders = new Map<number, ReturnType<typeof createTargetBuilder>>();
  return (batch) => {
    if (batch.targets !== undefined) return batch.targets;
    const imageSize = batch.inputSize ?? architecture.imageSize;
    let build = builders.get(imageSize);
    if (build === undefined) {
      build = createTargetBuilder({ ...architecture, imageSize }, options.batchSize, options);
      builders.set(imageSize, build);
    }
    return build(batch);
  };
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
  const state = freshState({ parameters, statistics }, job.options);
  return {
    step: 0,
    identity,
    clip: CLIP_OFF,
    epochs: [],
    sums: NO_SUMS,
    returns: [],
    returnPoint: job.options.onNonFinite.returns > 0 ? { step: 0, clip: CLIP_OFF, head: '', state } : null,
    chain: null,
    state,
    dynamics: {},
  };
}

/** What may not differ between the run that wrote a checkpoint and the one that goes on with it. */
function identityOf({ architecture, options, seed }: TrainJob, { stepsPerEpoch }: Length): string {
  return JSON.stringify({ architecture, options, seed, stepsPerEpoch });
}

function graphOptionsOf(options: TrainOptions): GraphOptions {
  const { batchSize, accumulate, optimizer, momentum, weightDecay, focal } = options;
  const { ignore, boxLoss, lossWeights, clip, freezeStatistics } = options;
  const optimization = { batchSize, accumulate, optimizer, momentum, weightDecay, freezeStatistics };
  return { ...optimization, focal, ignore, boxLoss, lossWeights, clip };
}
