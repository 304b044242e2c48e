/** One training step as a graph: forward, loss, gradients, clipping, update, moving average. */

import type { Architecture } from '../types.ts';
import { boxDecoding } from './box-decoding.ts';
import { cellGrid } from './cells.ts';
import type { GraphDefinition } from './graph-definition.ts';
import { lossTerms, weightedTotal } from './loss.ts';
import { joinFlat, networkLayout, splitFlat, trainingForward } from './network.ts';
import { adamUpdate, clipByNorm, gradientNorm, momentumUpdate, movingAverage } from './optimizer.ts';
import { positiveCapacity, type TargetBatch } from './targets.ts';
import { type Scalar, type Tensor, tf, type Values } from './tf.ts';
import { type Tracer, traceGraph } from './traced-graph.ts';
import type { TrainOptions } from './types.ts';

/** The options that are built into the graph; all others can change from step to step. */
export type GraphOptions = Pick<
  TrainOptions,
  'batchSize' | 'optimizer' | 'momentum' | 'weightDecay' | 'focal' | 'boxLoss' | 'lossWeights'
>;

/** What changes with every step, as the graph takes it. */
export interface StepSettings {
  readonly learningRate: number;
  /** Bound on the norm of the gradient; infinite while clipping is off. */
  readonly clipNorm: number;
  readonly emaDecay: number;
  /** Share of this batch in the running mean and variance of batch normalisation. */
  readonly statisticsRate: number;
  /** Adam's corrections; not used by momentum. */
  readonly correction1: number;
  readonly correction2: number;
}

/** What a step answers, in the order of the graph's one output. Terms are unweighted, `total` is weighted. */
export interface StepReport {
  readonly total: number;
  readonly box: number;
  readonly objectness: number;
  readonly class: number;
  /** Before clipping. */
  readonly gradientNorm: number;
}

/**
 * Variables of the graph, all flat vectors, and so what a checkpoint holds: `weights` and `statistics`; `slot1` (velocity, or
 * Adam's mean) and with Adam `slot2` (its mean square); `emaWeights` and `emaStatistics`.
 */
export type TrainState = Readonly<Record<string, Float32Array>>;

export function buildTrainGraph(architecture: Architecture, options: GraphOptions): GraphDefinition {
  return traceGraph((tracer) => traceTrainStep(tracer, architecture, options));
}

/** The signature `train`. Any tracer will do, so tests run the same step eagerly. */
export function traceTrainStep(tracer: Tracer, architecture: Architecture, options: GraphOptions): void {
  const layout = networkLayout(architecture);
  const { count, fields } = cellGrid(architecture);
  const { batchSize } = options;
  const size = architecture.imageSize;
  const rowCount = positiveCapacity(architecture, batchSize);
  const scalar = (name: string) => tracer.input(name, [], 'float32') as Scalar;

  const pixels = tracer.input('pixels', [batchSize, size, size, 3], 'uint8');
  const targets = {
    objectness: tracer.input('objectness', [batchSize * count], 'uint8'),
    counted: tracer.input('counted', [batchSize * count], 'uint8'),
    rows: tracer.input('rows', [rowCount], 'int32'),
    cells: tracer.input('cells', [rowCount, 5], 'float32'),
    boxes: tracer.input('boxes', [rowCount, 4], 'float32'),
    classes: tracer.input('classes', [rowCount, fields - 5], 'float32'),
    weights: tracer.input('weights', [rowCount], 'float32'),
    normaliser: scalar('normaliser'),
  };
  const rate = scalar('learningRate');
  const clipNorm = scalar('clipNorm');
  const emaDecay = scalar('emaDecay');
  const statisticsRate = scalar('statisticsRate');

  const weights = tracer.variable('weights', [layout.parameterCount]);
  const statistics = tracer.variable('statistics', [layout.statisticCount]);
  const slot1 = tracer.variable('slot1', [layout.parameterCount]);
  const emaWeights = tracer.variable('emaWeights', [layout.parameterCount]);
  const emaStatistics = tracer.variable('emaStatistics', [layout.statisticCount]);

  const kept: Tensor[] = [];
  const batchStatistics: Tensor[] = [];
  const parameters = splitFlat(weights, layout.parameters);
  let terms: Tensor[] = [];
  const { value, grads } = tf.valueAndGrads((...values: Tensor[]) => {
    const named = new Map(layout.parameters.map(({ name }, i) => [name, values[i]!]));
    const predictions = trainingForward(architecture, pixels, named, batchStatistics);
    const loss = lossTerms(predictions, targets, options, boxDecoding(architecture));
    terms = [loss.box, loss.objectness, loss.class].map((term) => tf.keep(term));
    return weightedTotal(loss, options.lossWeights);
  })(parameters);
  kept.push(...terms, ...batchStatistics);

  const gradient = joinFlat(grads);
  const norm = gradientNorm(gradient);
  const clipped = clipByNorm(gradient, norm, clipNorm);
  const decay = tf.tensor1d(decayVector(architecture, options.weightDecay));
  const slots: Record<string, Tensor> = {};
  let nextWeights: Tensor;
  if (options.optimizer === 'momentum') {
    const update = { rate, momentum: options.momentum, decay };
    const next = momentumUpdate({ weights, velocity: slot1 }, clipped, update);
    nextWeights = next.weights;
    slots.slot1 = next.velocity;
  } else {
    const slot2 = tracer.variable('slot2', [layout.parameterCount]);
    const corrections = { correction1: scalar('correction1'), correction2: scalar('correction2') };
    const update = { rate, beta1: options.momentum, ...corrections, decay };
    const next = adamUpdate({ weights, mean: slot1, square: slot2 }, clipped, update);
    nextWeights = next.weights;
    slots.slot1 = next.mean;
    slots.slot2 = next.square;
  }
  const seen = joinFlat(batchStatistics);
  const nextStatistics = tf.add(statistics, tf.mul(tf.sub(seen, statistics), statisticsRate));
  tracer.signature(
    'train',
    { report: tf.stack([value, ...terms, norm]) },
    {
      weights: nextWeights,
      statistics: nextStatistics,
      ...slots,
      emaWeights: movingAverage(emaWeights, nextWeights, emaDecay),
      emaStatistics: movingAverage(emaStatistics, nextStatistics, emaDecay),
    },
  );
  for (const tensor of kept) tensor.dispose();
}

/** [P] decay of each weight. Only kernels decay: a scale or bias pulled to zero would switch its channel off. */
export function decayVector(architecture: Architecture, weightDecay: number): Float32Array {
  const layout = networkLayout(architecture);
  const decay = new Float32Array(layout.parameterCount);
  let offset = 0;
  for (const { size, kind } of layout.parameters) {
    if (kind === 'kernel') decay.fill(weightDecay, offset, offset + size);
    offset += size;
  }
  return decay;
}

export function stepFeeds(pixels: Uint8Array, targets: TargetBatch, settings: StepSettings): Record<string, Values> {
  const scalar = (value: number) => Float32Array.of(value);
  return {
    pixels,
    objectness: targets.objectness,
    counted: targets.counted,
    rows: targets.rows,
    cells: targets.cells,
    boxes: targets.boxes,
    classes: targets.classes,
    weights: targets.weights,
    // An image or a whole batch may be empty.
    normaliser: scalar(1 / Math.max(1, targets.positives)),
    learningRate: scalar(settings.learningRate),
    clipNorm: scalar(settings.clipNorm),
    emaDecay: scalar(settings.emaDecay),
    statisticsRate: scalar(settings.statisticsRate),
    correction1: scalar(settings.correction1),
    correction2: scalar(settings.correction2),
  };
}

export function readReport(report: Float32Array): StepReport {
  const [total, box, objectness, classTerm, norm] = report as unknown as [number, number, number, number, number];
  return { total, box, objectness, class: classTerm, gradientNorm: norm };
}
