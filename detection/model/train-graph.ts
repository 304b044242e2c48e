/** One training step as a graph: forward, loss, gradients, clipping, update, moving average. */

import type { Architecture } from '../types.ts';
import { boxDecoding } from './box-decoding.ts';
import { CELL_FIELDS, cellGrid } from './cells.ts';
import type { GraphDefinition } from './graph-definition.ts';
import { lossTerms, type TargetTensors, weightedTotal } from './loss.ts';
import { type FlatWeights, joinFlat, networkLayout, splitFlat, trainingForward, type WeightSpec } from './network.ts';
import { adamUpdate, clipByNorm, gradientNorm, momentumUpdate, movingAverage } from './optimizer.ts';
import { positiveCapacity, type TargetBatch, targetShares } from './targets.ts';
import { type Scalar, type Tensor, tf, type Values } from './tf.ts';
import { ANY_NUMBER, type Tracer, traceGraph } from './traced-graph.ts';
import type { TrainOptions } from './types.ts';

/** The options that are built into the graph; all others can change from step to step. */
export type GraphOptions = Pick<
  TrainOptions,
  | 'batchSize'
  | 'accumulate'
  | 'optimizer'
  | 'momentum'
  | 'weightDecay'
  | 'focal'
  | 'ignore'
  | 'boxLoss'
  | 'lossWeights'
  | 'clip'
  | 'freezeStatistics'
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
  /** `clip.by: per-target`: bound on the norm of each ground truth's gradient; infinite while clipping is off. */
  readonly targetBound?: number;
  /** `accumulate` above 1: one over the batches of this update. */
  readonly gatherShare?: number;
}

/** What a step answers, in the order of the graph's one output. Terms are unweighted, `total` is weighted. */
export interface StepReport {
  readonly total: number;
  readonly box: number;
  readonly objectness: number;
  readonly class: number;
  /**
   * Norm of all gradients together before `global-norm` clipping (`per-target` acts before it): of the mean over the batches of
   * an update, or of this batch alone where it is only gathered.
   */
  readonly gradientNorm: number;
}

/**
 * Variables of the graph, all flat vectors, and so what a checkpoint holds: `weights` and `statistics`; `slot1` (velocity, or
 * Adam's mean) and with Adam `slot2` (its mean square); `emaWeights` and `emaStatistics`; with `accumulate` above 1 `gathered`
 * (sum of the gradients since the last update).
 */
export type TrainState = Readonly<Record<string, Float32Array>>;

export function buildTrainGraph(architecture: Architecture, options: GraphOptions): GraphDefinition {
  return traceGraph((tracer) => traceTrainStep(tracer, architecture, options));
}

/** What a training starts from, apart from its weights. */
export function freshState(
  { parameters, statistics }: FlatWeights,
  { optimizer, accumulate }: Pick<GraphOptions, 'optimizer' | 'accumulate'>,
): TrainState {
  const zeros = () => new Float32Array(parameters.length);
  return {
    weights: parameters,
    statistics,
    slot1: zeros(),
    ...(optimizer === 'adam' ? { slot2: zeros() } : {}),
    emaWeights: parameters,
    emaStatistics: statistics,
    ...(accumulate > 1 ? { gathered: zeros() } : {}),
  };
}

/**
 * The signature `train`: forward, backward, update of weights and averages. With `accumulate` above 1 the update is made with
 * `gatherShare` times the sum of `gathered` and this batch's gradient, and empties `gathered`; and there is the signature `gather`,
 * which merely adds the batch's gradient to it and takes the batch's statistics. Both answer `report` and, with `clip.by:
 * per-target`, `targetNorms`. Any tracer will do, so tests run the same step eagerly.
 */
export function traceTrainStep(tracer: Tracer, architecture: Architecture, options: GraphOptions): void {
  const layout = networkLayout(architecture);
  const grid = cellGrid(architecture);
  const { count, fields } = grid;
  const { batchSize } = options;
  const size = architecture.imageSize;
  const rowCount = positiveCapacity(architecture, batchSize);
  const scalar = (name: string) => tracer.input(name, [], 'float32') as Scalar;

  const pixels = tracer.input('pixels', [batchSize, size, size, 3], 'uint8');
  const targets: TargetTensors = {
    objectness: tracer.input('objectness', [batchSize * count], 'uint8'),
    counted: tracer.input('counted', [batchSize * count], 'float32'),
    rows: tracer.input('rows', [rowCount], 'int32'),
    cells: tracer.input('cells', [rowCount, 5], 'float32'),
    boxes: tracer.input('boxes', [rowCount, 4], 'float32'),
    classes: tracer.input('classes', [rowCount, fields - 5], 'float32'),
    weights: tracer.input('weights', [rowCount], 'float32'),
    normaliser: scalar('normaliser'),
    ...(options.ignore.by === 'prediction'
      ? {
          reachable: {
            rows: tracer.input('reachableRows', [ANY_NUMBER], 'int32'),
            boxes: tracer.input('reachableBoxes', [ANY_NUMBER, 4], 'float32'),
            cells: tf.tensor2d(grid.cells, [count, CELL_FIELDS]),
          },
        }
      : {}),
    ...(options.clip.by === 'per-target'
      ? {
          perTarget: {
            owners: tracer.input('owners', [rowCount], 'int32'),
            shares: tracer.input('shares', [rowCount], 'float32'),
            bound: scalar('targetBound'),
          },
        }
      : {}),
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

  const gathered = options.accumulate > 1 ? tracer.variable('gathered', [layout.parameterCount]) : null;

  const kept: Tensor[] = [];
  const outputs: Record<string, Tensor> = {};
  const batchStatistics: Tensor[] = [];
  const parameters = splitFlat(weights, layout.parameters);
  const frozen = options.freezeStatistics
    ? named(splitFlat(statistics, layout.statistics), layout.statistics)
    : undefined;
  let terms: Tensor[] = [];
  const { value, grads } = tf.valueAndGrads((...values: Tensor[]) => {
    const predictions = trainingForward(
      architecture,
      pixels,
      named(values, layout.parameters),
      batchStatistics,
      frozen,
    );
    const loss = lossTerms(predictions, targets, options, boxDecoding(architecture), (norms) => {
      outputs.targetNorms = tf.keep(norms);
    });
    terms = [loss.box, loss.objectness, loss.class].map((term) => tf.keep(term));
    return weightedTotal(loss, options.lossWeights);
  })(parameters);
  kept.push(...terms, ...batchStatistics, ...Object.values(outputs));

  const own = joinFlat(grads);
  const report = (norm: Scalar) => tf.stack([value, ...terms, norm]);
  const nextStatistics = options.freezeStatistics
    ? statistics
    : tf.add(statistics, tf.mul(tf.sub(joinFlat(batchStatistics), statistics), statisticsRate));
  let gradient = own;
  if (gathered !== null) {
    const sum = tf.add(gathered, own);
    tracer.signature(
      'gather',
      { report: report(gradientNorm(own)), ...outputs },
      { gathered: sum, statistics: nextStatistics },
    );
    gradient = tf.mul(sum, scalar('gatherShare'));
  }
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
  tracer.signature(
    'train',
    { report: report(norm), ...outputs },
    {
      weights: nextWeights,
      statistics: nextStatistics,
      ...slots,
      ...(gathered === null ? {} : { gathered: tf.zerosLike(gathered) }),
      emaWeights: movingAverage(emaWeights, nextWeights, emaDecay),
      emaStatistics: movingAverage(emaStatistics, nextStatistics, emaDecay),
    },
  );
  for (const tensor of kept) tensor.dispose();
}

function named(parts: readonly Tensor[], specs: readonly WeightSpec[]): ReadonlyMap<string, Tensor> {
  return new Map(specs.map(({ name }, i) => [name, parts[i]!]));
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
  const { targetBound, gatherShare } = settings;
  return {
    ...plainFeeds(pixels, targets, settings),
    ...(targets.reachable === undefined
      ? {}
      : { reachableRows: targets.reachable.rows, reachableBoxes: targets.reachable.boxes }),
    ...(targetBound === undefined ? {} : perTargetFeeds(targets, targetBound)),
    ...(gatherShare === undefined ? {} : { gatherShare: Float32Array.of(gatherShare) }),
  };
}

function perTargetFeeds(targets: TargetBatch, targetBound: number): Record<string, Values> {
  const { owners, shares, rest } = targetShares(targets);
  return { owners, shares, counted: rest, targetBound: Float32Array.of(targetBound) };
}

function plainFeeds(pixels: Uint8Array, targets: TargetBatch, settings: StepSettings): Record<string, Values> {
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

/** The norms of the ground truths that have positives, out of the answer `targetNorms`: one each, in their order. */
export function readTargetNorms(targetNorms: Float32Array, { truths, positives }: TargetBatch): Float32Array {
  const seen = new Set<number>();
  const norms: number[] = [];
  for (let k = 0; k < positives; k++) {
    if (seen.has(truths[k]!)) continue;
    seen.add(truths[k]!);
    norms.push(targetNorms[k]!);
  }
  return Float32Array.from(norms);
}
