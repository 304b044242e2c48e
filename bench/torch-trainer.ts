/**
 * A training by PyTorch that gets exactly our batches: Node makes them with their targets, as for our own training, and hands them
 * over with each step's settings. So the two differ in who computes, and in nothing else.
 */

import { availableParallelism } from 'node:os';
import { networkLayout, startingWeights } from '../detection/model/network.ts';
import {
  CLIP_OFF,
  clipAfterEpoch,
  clipBeforeStep,
  type Length,
  type StepPlan,
  stepPlanAt,
} from '../detection/model/schedule.ts';
import { createTargetBuilder } from '../detection/model/targets.ts';
import type { Batch, BatchSource, TrainOptions } from '../detection/model/types.ts';
import type { Architecture, NamedTensor } from '../detection/types.ts';
import { TorchProcess, type TorchReport } from './torch/client.ts';
import { torchPython } from './torch/python.ts';

export interface TorchTraining {
  readonly architecture: Architecture;
  /** Weights to start from; null: those that our training starts from with this seed. */
  readonly init: readonly NamedTensor[] | null;
  readonly options: TrainOptions;
  readonly source: BatchSource;
  readonly seed: number;
  /** The interpreter; unless given, as `torchPython` finds it. */
  readonly python?: string;
  /** Threads of one op; PyTorch takes all cores unless told otherwise. */
  readonly threads?: number;
  readonly layout?: 'channels_first' | 'channels_last';
  readonly onEpoch?: (epoch: number, meanLoss: number) => void;
}

export interface TorchTrained {
  /** The moving averages, as our training returns them. */
  readonly weights: readonly NamedTensor[];
  /** Of all steps together: the start of Python is not in it. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
  /** Mean of each epoch. */
  readonly losses: readonly number[];
}

export async function trainWithTorch(training: TorchTraining): Promise<TorchTrained> {
  const { architecture, init, options, source, seed, python = torchPython(), onEpoch = () => {} } = training;
  refuseUnknown(architecture, options);
  const { stepsPerEpoch, batchSize } = source;
  const length: Length = { stepsPerEpoch, totalSteps: options.epochs * stepsPerEpoch };
  const threads = training.threads ?? availableParallelism();
  const torch = new TorchProcess(python, threads);
  try {
    await torch.open({
      architecture,
      options,
      weights: startingWeights(architecture, init, seed),
      layout: training.layout ?? 'channels_last',
      threads,
      average: true,
    });
    const send = batchSender(torch, training);
    let clip = CLIP_OFF;
    let sum = 0;
    const losses: number[] = [];
    const startedAt = performance.now();
    await send(0);
    for (let step = 0; step < length.totalSteps; step++) {
      clip = clipBeforeStep(clip, options, length, step);
      const plan = stepPlanAt(options, length, step, { clip, isFresh: init === null });
      const answer = torch.step(settingsOf(plan));
      // Made while PyTorch computes, as for our own training.
      const next = step + 1 < length.totalSteps ? send(step + 1) : Promise.resolve();
      const [report] = await Promise.all([answer, next]);
      checkFinite(step, report);
      sum += report.total;
      if ((step + 1) % stepsPerEpoch !== 0) continue;
      const epoch = (step + 1) / stepsPerEpoch;
      const meanLoss = sum / stepsPerEpoch;
      if (step + 1 < length.totalSteps) clip = clipAfterEpoch(clip, options, epoch, meanLoss, step + 1);
      losses.push(meanLoss);
      sum = 0;
      onEpoch(epoch, meanLoss);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const state = await torch.state();
    const layout = networkLayout(architecture);
    const weights = [...layout.parameters, ...layout.statistics].map(({ name, shape }) => ({
      name,
      shape,
      data: state.get(`average/${name}`)!.data as Float32Array,
    }));
    return { weights, seconds, imagesPerSecond: (length.totalSteps * batchSize) / seconds, losses };
  } finally {
    await torch.close();
  }
}

/** Options that change what a step computes, and that detector.py does not have. */
function refuseUnknown({ structure = 'csp' }: Architecture, options: TrainOptions): void {
  const found = [
    structure === 'csp' ? null : `structure: ${structure}`,
    options.ignore.by === 'anchor' ? null : `ignore.by: ${options.ignore.by}`,
    options.clip.by === 'per-target' ? 'clip.by: per-target' : null,
  ].filter((option) => option !== null);
  if (found.length > 0) throw new Error(`The PyTorch side has no ${found.join(', no ')}.`);
}

function settingsOf({ signature, settings }: StepPlan) {
  const { learningRate, clipNorm, emaDecay, statisticsRate } = settings;
  return {
    learningRate,
    clipNorm,
    emaDecay,
    statisticsRate,
    norm: Number.isFinite(clipNorm),
    gather: signature === 'gather',
  };
}

/** Makes the batch of a step and hands it over. */
function batchSender(torch: TorchProcess, { architecture, options, source }: TorchTraining) {
  const builders = new Map<number, ReturnType<typeof createTargetBuilder>>();
  const targetsOf = (batch: Batch, imageSize: number) => {
    if (batch.targets !== undefined) return batch.targets;
    let build = builders.get(imageSize);
    if (build === undefined) {
      build = createTargetBuilder({ ...architecture, imageSize }, source.batchSize, options);
      builders.set(imageSize, build);
    }
    return build(batch);
  };
  return async (step: number): Promise<void> => {
    const batch = await source.batch(step);
    const imageSize = batch.inputSize ?? architecture.imageSize;
    await torch.sendBatch(batch.pixels, imageSize, targetsOf(batch, imageSize));
  };
}

function checkFinite(step: number, report: TorchReport): void {
  const terms = Object.entries(report).filter(([name, value]) => name !== 'gradientNorm' && !Number.isFinite(value));
  if (terms.length > 0) throw new Error(`Step ${step}: ${terms.map(([name]) => name).join(', ')} is not finite.`);
}
