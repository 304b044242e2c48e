/** One training step from known weights, state and batch: the cases in which ours is compared with PyTorch's. */
import { flatten, initialWeights, networkLayout } from '../../detection/model/network.js';
import { ADAM_BETA2, adamCorrection } from '../../detection/model/optimizer.js';
import { createTargetBuilder } from '../../detection/model/targets.js';
import { GraphSession } from '../../detection/model/traced-graph.js';
import { defaultTrainOptions } from '../../detection/model/train.js';
import { buildTrainGraph, decayVector, readReport, stepFeeds } from '../../detection/model/train-graph.js';
import { createRandom, hashSeed } from '../../detection/random.js';

/** Only smooth activations: at a kink, a difference of 1e-7 can become one of percents. */
const SMOOTH = ['mish', 'silu'];
const STRIDES = [
  [8, 16, 32],
  [4, 8, 16, 32],
  [4, 8, 16],
  [8, 16],
  [16, 32],
];
/** The cases of the fixtures: between them, every switch of the loss and of the update. */
export const fixedCases = [
  parityCase('mish, momentum, ciou', 1, {
    activation: 'mish',
    strides: [8, 16, 32],
    options: { optimizer: 'momentum', boxLoss: 'ciou' },
  }),
  parityCase('silu, adam, diou, four heads, three categories, smoothed', 2, {
    activation: 'silu',
    strides: [4, 8, 16, 32],
    categories: 3,
    options: { optimizer: 'adam', boxLoss: 'diou', labelSmoothing: 0.1 },
  }),
  parityCase('mish, adam, giou, gamma 8, clipped', 3, {
    activation: 'mish',
    strides: [4, 8, 16],
    categories: 2,
    options: { optimizer: 'adam', boxLoss: 'giou', focal: { ...defaultTrainOptions.focal, gamma: 8, alpha: 0.5 } },
    clipNorm: 0.5,
  }),
  parityCase('silu, momentum, ciou, cross-entropy, best anchor, clipped', 4, {
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
];
/** A case with every switch drawn. */
export function randomCase(seed) {
  const random = createRandom(hashSeed('parity-case', seed));
  const oneOf = (list) => list[random.int(list.length)];
  return parityCase(`random ${seed}`, seed, {
    activation: oneOf(SMOOTH),
    strides: oneOf(STRIDES),
    depth: oneOf([0.1, 0.33]),
    width: oneOf([0.0625, 0.125]),
    categories: oneOf([1, 2, 7]),
    options: {
      optimizer: oneOf(['momentum', 'adam']),
      boxLoss: oneOf(['ciou', 'diou', 'giou']),
      assignment: oneOf(['nearby', 'best']),
      labelSmoothing: oneOf([0, 0.1]),
      weightDecay: oneOf([0, 0.0005, 0.05]),
      momentum: oneOf([0.9, 0.95]),
      batchSize: oneOf([5, 8]),
      focal: { ...defaultTrainOptions.focal, gamma: oneOf([0, 1.5, 2, 8]), alpha: oneOf([-1, 0.25, 0.75]) },
      lossWeights: { box: 0.5 + 5 * random.next(), objectness: 1, class: 0.5 },
    },
    clipNorm: oneOf([Number.POSITIVE_INFINITY, 1]),
  });
}
function parityCase(name, seed, choice) {
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
/** Everything from the seed. The optimizer's slots are not zero, so that the update shows every term it has. */
export function parityInputs({ seed, architecture, options, clipNorm }) {
  const layout = networkLayout(architecture);
  const random = createRandom(hashSeed('parity', seed));
  const normals = (count, deviation) => Float32Array.from({ length: count }, () => random.normal() * deviation);
  const { parameters, statistics } = flatten(layout, initialWeights(architecture, seed));
  // Away from the round numbers that a fresh network starts with.
  const moved = (values, deviation) => {
    const noise = normals(values.length, deviation);
    return values.map((value, i) => value + noise[i]);
  };
  const weights = moved(parameters, 0.02);
  const slot1 = normals(weights.length, 0.01);
  const adam = { slot2: normals(weights.length, 0.01).map((value) => value ** 2 + 1e-4) };
  const state = {
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
function randomBatch(random, { imageSize, categories }, batchSize) {
  const boxes = [];
  const classes = [];
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
/** The step by our graph. */
export function graphStep({ architecture, options }, inputs) {
  const session = new GraphSession(buildTrainGraph(architecture, options));
  try {
    session.load(inputs.state);
    const { report } = session.run('train', stepFeeds(inputs.batch.pixels, inputs.targets, inputs.settings));
    const state = session.save();
    // The graph has no output for the gradient, but its update is linear in it.
    const before = inputs.state.slot1;
    const { weights } = inputs.state;
    const decay = decayVector(architecture, options.weightDecay);
    const { momentum } = options;
    const gradient = Float64Array.from(state.slot1, (value, i) =>
      options.optimizer === 'adam'
        ? (value - momentum * before[i]) / (1 - momentum)
        : value - momentum * before[i] - decay[i] * weights[i],
    );
    return { gradient, report: readReport(report), state };
  } finally {
    session.dispose();
  }
}
//# sourceMappingURL=parity-cases.js.map
