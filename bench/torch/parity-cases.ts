/** One training step from known weights, state and batch: the cases in which ours is compared with PyTorch's. */

import { flatten, initialWeights, type NetworkLayout, networkLayout } from '../../detection/model/network.ts';
import { ADAM_BETA2, adamCorrection } from '../../detection/model/schedule.ts';
import { createTargetBuilder, type TargetBatch } from '../../detection/model/targets.ts';
import { GraphSession } from '../../detection/model/traced-graph.ts';
import { defaultTrainOptions } from '../../detection/model/train.ts';
import {
  buildTrainGraph,
  decayVector,
  readReport,
  type StepReport,
  type StepSettings,
  stepFeeds,
  type TrainState,
} from '../../detection/model/train-graph.ts';
import type { Batch, TrainOptions } from '../../detection/model/types.ts';
import { createRandom, hashSeed, type Random } from '../../detection/random.ts';
import type { Architecture } from '../../detection/types.ts';

export interface ParityCase {
  readonly name: string;
  readonly seed: number;
  readonly architecture: Architecture;
  readonly options: TrainOptions;
  readonly clipNorm: number;
}

/** Only smooth activations: at a kink, a difference of 1e-7 can become one of percents. */
const SMOOTH = ['mish', 'silu'] as const;
const STRIDES = [
  [8, 16, 32],
  [4, 8, 16, 32],
  [4, 8, 16],
  [8, 16],
  [16, 32],
] as const;

/** The cases of the fixtures: between them, every switch of the loss and of the update. */
export const fixedCases: readonly ParityCase[] = [
  parityCase('mish, momentum, ciou', 4, {
    activation: 'mish',
    strides: [8, 16, 32],
    options: { optimizer: 'momentum', boxLoss: 'ciou' },
  }),
  parityCase('silu, adam, diou, four heads, three categories, smoothed', 2, {
    activation: 'silu',
    strides: [4, 8, 16, 32],
    categories: 3,
    options: { optimizer: 'adam', boxLoss: 'diou', labelSmoothing: 0.1, batchSize: 12 },
  }),
  parityCase('mish, adam, giou, gamma 8, clipped', 1, {
    activation: 'mish',
    strides: [4, 8, 16],
    categories: 2,
    options: { optimizer: 'adam', boxLoss: 'giou', focal: { ...defaultTrainOptions.focal, gamma: 8, alpha: 0.5 } },
    clipNorm: 0.5,
  }),
  parityCase('silu, momentum, ciou, cross-entropy, best anchor, clipped', 2, {
    activation: 'silu',
    strides: [16, 32],
    categories: 5,
    options: {
      optimizer: 'momentum',
      boxLoss: 'ciou',
      assignment: 'best',
      focal: { ...defaultTrainOptions.focal, gamma: 0, alpha: -1 },
    },
    clipNorm: 2,
  }),
  parityCase('mish, momentum, quality focal loss of the class, frozen statistics', 3, {
    activation: 'mish',
    strides: [8, 16],
    categories: 3,
    options: {
      optimizer: 'momentum',
      boxLoss: 'diou',
      labelSmoothing: 0.2,
      focal: { gamma: 1.5, alpha: 0.25, class: true },
      freezeStatistics: true,
    },
  }),
];

/** A case with every switch drawn. */
export function randomCase(seed: number): ParityCase {
  const random = createRandom(hashSeed('parity-case', seed));
  const oneOf = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const optimizer = oneOf(['momentum', 'adam'] as const);
  return parityCase(`random ${seed}`, seed, {
    activation: oneOf(SMOOTH),
    strides: oneOf(STRIDES),
    depth: oneOf([0.1, 0.33]),
    width: oneOf([0.0625, 0.125]),
    categories: oneOf([1, 2, 7]),
    options: {
      optimizer,
      boxLoss: oneOf(['ciou', 'diou', 'giou'] as const),
      assignment: oneOf(['nearby', 'best'] as const),
      labelSmoothing: oneOf([0, 0.1]),
      // Momentum's slot has the decay in it, and a large one would round away the gradient.
      weightDecay: oneOf([0, optimizer === 'adam' ? 0.05 : 0.0005]),
      momentum: oneOf([0.9, 0.95]),
      batchSize: oneOf([5, 8]),
      focal: { gamma: oneOf([0, 1.5, 2, 8]), alpha: oneOf([-1, 0.25, 0.75]), class: oneOf([false, true]) },
      freezeStatistics: oneOf([false, false, true]),
      lossWeights: { box: 0.5 + 5 * random.next(), objectness: 1, class: 0.5 },
    },
    clipNorm: oneOf([Number.POSITIVE_INFINITY, 1]),
  });
}

interface CaseChoice {
  readonly activation: Architecture['activation'];
  readonly strides: readonly number[];
  readonly depth?: number;
  readonly width?: number;
  readonly categories?: number;
  readonly options: Partial<TrainOptions>;
  readonly clipNorm?: number;
}

function parityCase(name: string, seed: number, choice: CaseChoice): ParityCase {
  const {
    activation,
    strides,
    depth = 0.1,
    width = 0.0625,
    categories = 1,
    clipNorm = Number.POSITIVE_INFINITY,
  } = choice;
  return {
    name,
    seed,
    architecture: {
      depth,
      width,
      strides,
      anchors: strides.map((stride) => [
        [1.2 * stride, 1.6 * stride],
        [2.5 * stride, 2 * stride],
      ]),
      activation,
      imageSize: 128,
      categories: Array.from({ length: categories }, (_, i) => ({ id: i + 1, name: `category ${i + 1}` })),
    },
    options: { ...defaultTrainOptions, batchSize: 6, weightDecay: 0.0005, ...choice.options },
    clipNorm,
  };
}

/** Updates made before the step: neither the first, whose Adam is all corrections, nor so many that these are 1. */
export const STEPS_BEFORE = 7;

export interface ParityInputs {
  readonly layout: NetworkLayout;
  readonly state: TrainState;
  readonly batch: Batch;
  readonly targets: TargetBatch;
  readonly settings: StepSettings;
}

/** Everything from the seed. The optimizer's slots are not zero, so that the update shows every term it has. */
export function parityInputs({ seed, architecture, options, clipNorm }: ParityCase): ParityInputs {
  const layout = networkLayout(architecture);
  const random = createRandom(hashSeed('parity', seed));
  const normals = (count: number, deviation: number) =>
    Float32Array.from({ length: count }, () => random.normal() * deviation);
  const { parameters, statistics } = flatten(layout, initialWeights(architecture, seed));
  // Away from the round numbers that a fresh network starts with.
  const moved = (values: Float32Array, deviation: number) => {
    const noise = normals(values.length, deviation);
    return values.map((value, i) => value + noise[i]!);
  };
  const weights = moved(parameters, 0.02);
  const slot1 = normals(weights.length, 0.01);
  const adam = { slot2: normals(weights.length, 0.01).map((value) => value ** 2 + 1e-4) };
  const state: TrainState = {
    weights,
    statistics: moved(statistics, 0.05),
    slot1,
    emaWeights: moved(weights, 0.01),
    emaStatistics: moved(statistics, 0.05),
    ...(options.optimizer === 'adam' ? adam : {}),
  };
  const batch = randomBatch(random, architecture, options.batchSize);
  const buildTargets = createTargetBuilder(architecture, options.batchSize, options);
  const settings = {
    learningRate: 0.003,
    clipNorm,
    emaDecay: 0.9,
    statisticsRate: 0.03,
    correction1: adamCorrection(options.momentum, STEPS_BEFORE),
    correction2: adamCorrection(ADAM_BETA2, STEPS_BEFORE),
  };
  return { layout, state, batch, targets: buildTargets(batch), settings };
}

/** Noise with boxes of many shapes; one image has none, and one has an ignore region. */
function randomBatch(random: Random, { imageSize, categories }: Architecture, batchSize: number): Batch {
  const boxes: Float32Array[] = [];
  const classes: Int32Array[] = [];
  for (let image = 0; image < batchSize; image++) {
    const count = image === batchSize - 1 ? 0 : 2 + random.int(4);
    const list = Array.from({ length: count }, () => {
      const [width, height] = [5 + 35 * random.next(), 5 + 35 * random.next()];
      const [x, y] = [(imageSize - width) * random.next(), (imageSize - height) * random.next()];
      return [x, y, x + width, y + height];
    });
    boxes.push(Float32Array.from(list.flat()));
    classes.push(Int32Array.from(list, () => random.int(categories.length)));
  }
  const region = Float32Array.of(0, 0, imageSize / 2, imageSize / 3);
  return {
    imageIds: boxes.map((_, i) => i + 1),
    pixels: Uint8Array.from({ length: batchSize * imageSize * imageSize * 3 }, () => random.int(256)),
    boxes,
    classes,
    ignore: boxes.map((_, i) => (i === 1 ? region : new Float32Array(0))),
  };
}

/** Elements of each gradient and of each variable's change that a fixture keeps. */
export const FIXTURE_SAMPLES = { gradients: 4, changes: 60 };

/** The largest value of each variable before the step: what float32 rounds away of a change is a share of it. */
export function magnitudesOf({ state }: ParityInputs): Record<string, number> {
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Object.fromEntries(Object.entries(state).map(([name, values]) => [name, largest(values)]));
}

export interface ParityResult {
  /** After clipping, without decay: [P]. */
  readonly gradient: ArrayLike<number>;
  readonly report: Pick<StepReport, 'total' | 'box' | 'objectness' | 'class' | 'gradientNorm'>;
  /** After the step. */
  readonly state: Readonly<Record<string, ArrayLike<number>>>;
}

/** The step by our graph. */
export function graphStep({ architecture, options }: ParityCase, inputs: ParityInputs): ParityResult {
  const session = new GraphSession(buildTrainGraph(architecture, options));
  const feeds = stepFeeds(inputs.batch.pixels, inputs.targets, inputs.settings);
  try {
    // The graph has no output for the gradient. From an empty slot, the slot is the gradient but for a factor and the decay.
    session.load({ ...inputs.state, slot1: new Float32Array(inputs.layout.parameterCount) });
    session.run('train', feeds);
    const slot = session.save().slot1!;
    const decay = decayVector(architecture, options.weightDecay);
    const weights = inputs.state.weights!;
    const gradient = Float64Array.from(slot, (value, i) =>
      options.optimizer === 'adam' ? value / (1 - options.momentum) : value - decay[i]! * weights[i]!,
    );

    session.load(inputs.state);
    const { report } = session.run('train', feeds);
    return { gradient, report: readReport(report!), state: session.save() };
  } finally {
    session.dispose();
  }
}
