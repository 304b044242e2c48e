/**
 * The network: CSPDarknet stages, SPP, PAN neck, anchor heads (YOLOv4, Bochkovskiy et al., 2020), at any depth and
 * width. The structure stands once, in `runNetwork`, and is walked by whoever needs it: to list the weights, to
 * train, to infer with folded batch norm.
 */

import { createRandom, hashSeed } from '../random.ts';
import type { Architecture, NamedTensor } from '../types.ts';
import { type DarknetStructure, PUBLISHED, runYolov4, runYolov4Tiny } from './darknet-networks.ts';
import { activationOf, addBias, convolution, frozenNorm, normEpsilon, trainingNorm } from './layers.ts';
import { type Tensor, type Tensor4D, tf } from './tf.ts';

/** Channels of the stem at width 1; the stages have 2, 4, 8 and 8 times as many. */
const BASE_CHANNELS = 64;
/** Residual blocks of each CSP stage at depth 1: depth 0.33 gives two. */
const BASE_BLOCKS = 6;
/** Probability of an object that the heads start with, so that the many empty places do not drown the few targets (Lin et al., 2017, section 4.1). */
const OBJECT_PRIOR = 0.01;

/** How one kind of value (a tensor, a shape) passes through each part of the network. */
export interface NetworkOps<T> {
  /** Convolution, batch norm, activation. */
  conv(name: string, x: T, channels: number, size: number, stride: number, activation: Architecture['activation']): T;
  /** Convolution and bias: raw outputs. */
  head(name: string, x: T, channels: number): T;
  add(a: T, b: T): T;
  /** Along the channels. */
  concat(parts: readonly T[]): T;
  /** The last half of the channels. */
  secondHalf(x: T): T;
  /** With stride 1 the same size. */
  maxPool(x: T, size: number, stride: 1 | 2): T;
  /** Twice the size, by nearest neighbour. */
  upsample(x: T): T;
}

/** Raw outputs of the heads in rising order of stride: [B, H, W, anchors * (5 + categories)]. */
export function runNetwork<T>(architecture: Architecture, ops: NetworkOps<T>, image: T): T[] {
  checkArchitecture(architecture);
  const { structure = 'csp', anchors, categories } = architecture;
  const headChannels = anchors.map((sizes) => sizes.length * (5 + categories.length));
  if (structure === 'yolov4') return runYolov4(ops, image, headChannels);
  if (structure === 'yolov4-tiny') return runYolov4Tiny(ops, image, headChannels);
  return runCsp(architecture, ops, image, headChannels);
}

function runCsp<T>(architecture: Architecture, ops: NetworkOps<T>, image: T, headChannels: readonly number[]): T[] {
  const { strides, activation } = architecture;
  const conv = (name: string, from: T, channels: number, size: number, stride: number): T =>
    ops.conv(name, from, channels, size, stride, activation);
  const top = strides.at(-1)!;
  const stem = channelsAt(architecture, 1);
  const blocks = Math.max(1, Math.round(architecture.depth * BASE_BLOCKS));
  const stageChannels = (stride: number) => channelsAt(architecture, { 4: 2, 8: 4, 16: 8, 32: 8 }[stride]!);
  // The neck narrows towards the fine maps, whose many cells cost most; the finest keeps what it needs for targets.
  const neckChannels = (stride: number) => channelsAt(architecture, { 4: 2, 8: 2, 16: 4, 32: 8 }[stride]!);
  const linkChannels = channelsAt(architecture, 4);

  /** Cross stage partial (Wang et al., 2019): half of the channels go round the residual blocks. */
  const csp = (name: string, x: T, channels: number): T => {
    const around = conv(`${name}/around`, x, channels / 2, 1, 1);
    let through = conv(`${name}/through`, x, channels / 2, 1, 1);
    for (let i = 0; i < blocks; i++) {
      const narrow = conv(`${name}/block${i}/a`, through, channels / 2, 1, 1);
      through = ops.add(through, conv(`${name}/block${i}/b`, narrow, channels / 2, 3, 1));
    }
    return conv(`${name}/join`, ops.concat([around, through]), channels, 1, 1);
  };

  // Backbone.
  let x = conv('stem', image, stem, 3, 2);
  const stages = new Map<number, T>();
  for (let stride = 4; stride <= top; stride *= 2) {
    x = conv(`stage${stride}/down`, x, stageChannels(stride), 3, 2);
    x = csp(`stage${stride}`, x, stageChannels(stride));
    stages.set(stride, x);
  }

  // Spatial pyramid pooling 5/9/13: two and three pools of 5 in a row see the same windows as pools of 9 and 13.
  x = conv('spp/in', x, channelsAt(architecture, 4), 1, 1);
  const pool5 = ops.maxPool(x, 5, 1);
  const pool9 = ops.maxPool(pool5, 5, 1);
  const pool13 = ops.maxPool(pool9, 5, 1);
  x = conv('spp/out', ops.concat([x, pool5, pool9, pool13]), neckChannels(top), 1, 1);

  // Path aggregation (Liu et al., 2018): meaning goes down to the fine maps, place goes up again.
  const neck = new Map<number, T>([[top, x]]);
  for (const stride of strides.slice(0, -1).toReversed()) {
    const coarse = conv(`neck${stride}/coarse`, x, neckChannels(stride), 1, 1);
    const lateral = conv(`neck${stride}/lateral`, stages.get(stride)!, neckChannels(stride), 1, 1);
    x = csp(`neck${stride}`, ops.concat([ops.upsample(coarse), lateral]), neckChannels(stride));
    neck.set(stride, x);
  }
  return strides.map((stride, i) => {
    if (i > 0) {
      const fine = conv(`path${stride}/down`, x, Math.min(linkChannels, neckChannels(stride)), 3, 2);
      x = csp(`path${stride}`, ops.concat([fine, neck.get(stride)!]), neckChannels(stride));
    }
    const features = conv(
      `head${stride}/features`,
      x,
      Math.min(2 * neckChannels(stride), channelsAt(architecture, 8)),
      3,
      1,
    );
    return ops.head(`head${stride}/out`, features, headChannels[i]!);
  });
}

export function channelsAt({ width }: Architecture, factor: number): number {
  // Multiples of 8 fill the vector registers; half of a stage still is a whole number.
  return Math.max(8, Math.round((width * BASE_CHANNELS * factor) / 8) * 8);
}

/** Throws where an architecture cannot be built, with both sides of what does not fit. */
export function checkArchitecture(architecture: Architecture): void {
  const { structure = 'csp', strides, anchors, imageSize, categories } = architecture;
  if (structure !== 'csp') checkPublished(structure, architecture);
  const known = [4, 8, 16, 32];
  const first = known.indexOf(strides[0] ?? 0);
  const expected = known.slice(first, first + strides.length);
  if (first < 0 || strides.length < 2 || strides.join() !== expected.join()) {
    throw new RangeError(`Strides are [${strides}], expected two or more neighbours of [${known}].`);
  }
  if (anchors.length !== strides.length || anchors.some((sizes) => sizes.length === 0)) {
    throw new RangeError(`Anchors are given for ${anchors.length} heads, expected some for each of ${strides.length}.`);
  }
  if (imageSize <= 0 || imageSize % strides.at(-1)! !== 0) {
    throw new RangeError(
      `The image size is ${imageSize}, expected a multiple of the largest stride ${strides.at(-1)}.`,
    );
  }
  if (categories.length === 0) throw new RangeError('There are 0 categories, expected one or more.');
}

/** The published networks are what they are: only heads and input size can be chosen. */
function checkPublished(structure: DarknetStructure, { depth, width, strides, activation }: Architecture): void {
  const published = PUBLISHED[structure];
  const check = (what: string, found: unknown, expected: unknown) => {
    if (String(found) === String(expected)) return;
    throw new RangeError(
      `${what} [${found}] given, but "${structure}" is published with [${expected}]. Leave it out, or take "csp".`,
    );
  };
  check('A depth of', depth, 1);
  check('A width of', width, 1);
  check('An activation of', activation, published.activation);
  check('Strides of', strides, published.strides);
}

export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly size: number;
  readonly kind: 'kernel' | 'scale' | 'offset' | 'bias' | 'mean' | 'variance';
}

/** All weights in the network's fixed order. */
export interface NetworkLayout {
  /** What is trained. */
  readonly parameters: readonly WeightSpec[];
  /** Running mean and variance of each batch norm. */
  readonly statistics: readonly WeightSpec[];
  readonly parameterCount: number;
  readonly statisticCount: number;
  /** Multiplications (each with an addition) of one image's convolutions. */
  readonly multiplyAdds: number;
}

export function networkLayout(architecture: Architecture): NetworkLayout {
  const parameters: WeightSpec[] = [];
  const statistics: WeightSpec[] = [];
  let multiplyAdds = 0;
  const add = (list: WeightSpec[], name: string, kind: WeightSpec['kind'], shape: readonly number[]) =>
    list.push({ name: `${name}/${kind}`, shape, size: shape.reduce((a, b) => a * b, 1), kind });
  interface Form {
    readonly channels: number;
    readonly side: number;
  }
  const kernel = (name: string, x: Form, channels: number, size: number, stride: number): Form => {
    const side = Math.ceil(x.side / stride);
    add(parameters, name, 'kernel', [size, size, x.channels, channels]);
    multiplyAdds += size * size * x.channels * channels * side * side;
    return { channels, side };
  };
  const ops: NetworkOps<Form> = {
    conv(name, x, channels, size, stride) {
      const out = kernel(name, x, channels, size, stride);
      add(parameters, name, 'scale', [channels]);
      add(parameters, name, 'offset', [channels]);
      add(statistics, name, 'mean', [channels]);
      add(statistics, name, 'variance', [channels]);
      return out;
    },
    head(name, x, channels) {
      const out = kernel(name, x, channels, 1, 1);
      add(parameters, name, 'bias', [channels]);
      return out;
    },
    add: (a) => a,
    concat: (parts) => ({ channels: parts.reduce((sum, p) => sum + p.channels, 0), side: parts[0]!.side }),
    secondHalf: (x) => ({ channels: x.channels / 2, side: x.side }),
    maxPool: (x, _size, stride) => ({ channels: x.channels, side: x.side / stride }),
    upsample: (x) => ({ channels: x.channels, side: x.side * 2 }),
  };
  runNetwork(architecture, ops, { channels: 3, side: architecture.imageSize });
  const count = (list: readonly WeightSpec[]) => list.reduce((sum, { size }) => sum + size, 0);
  const parameterCount = count(parameters);
  return { parameters, statistics, parameterCount, statisticCount: count(statistics), multiplyAdds };
}

/** Number of trained weights. */
export function countParameters(architecture: Architecture): number {
  return networkLayout(architecture).parameterCount;
}

/** Fresh weights: He et al. (2015) for kernels. Each tensor has its own seed, so one does not depend on the others. */
export function initialWeights(architecture: Architecture, seed: number): NamedTensor[] {
  const { parameters, statistics } = networkLayout(architecture);
  return [...parameters, ...statistics].map((spec) => ({
    name: spec.name,
    shape: spec.shape,
    data: initialValues(architecture, spec, seed),
  }));
}

function initialValues(architecture: Architecture, { name, shape, size, kind }: WeightSpec, seed: number) {
  switch (kind) {
    case 'scale':
    case 'variance':
      return new Float32Array(size).fill(1);
    case 'offset':
    case 'mean':
      return new Float32Array(size);
    case 'bias': {
      const fields = 5 + architecture.categories.length;
      const classPrior = 1 / Math.max(2, architecture.categories.length);
      return Float32Array.from({ length: size }, (_, i) =>
        i % fields < 4 ? 0 : logit(i % fields === 4 ? OBJECT_PRIOR : classPrior),
      );
    }
    case 'kernel': {
      const random = createRandom(hashSeed('weights', seed, name));
      const [rows, columns, inputs] = shape as [number, number, number, number];
      // Heads start near their biases (Lin et al., 2017).
      const deviation = name.startsWith('head') && rows === 1 ? 0.01 : Math.sqrt(2 / (rows * columns * inputs));
      return Float32Array.from({ length: size }, () => random.normal() * deviation);
    }
  }
}

function logit(probability: number): number {
  return Math.log(probability / (1 - probability));
}

/** Weights as one vector each for parameters and statistics, the form in which training and inference hold them. */
export interface FlatWeights {
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
}

export function flatten(layout: NetworkLayout, weights: readonly NamedTensor[]): FlatWeights {
  const byName = new Map(weights.map((tensor) => [tensor.name, tensor]));
  const join = (specs: readonly WeightSpec[], count: number) => {
    const flat = new Float32Array(count);
    let offset = 0;
    for (const { name, shape, size } of specs) {
      const tensor = byName.get(name);
      if (tensor === undefined) throw new Error(`The weights have no "${name}", which the architecture needs.`);
      if (tensor.shape.join() !== shape.join() || tensor.data.length !== size) {
        throw new Error(`"${name}" has shape [${tensor.shape}], but the architecture needs [${shape}].`);
      }
      flat.set(tensor.data, offset);
      offset += size;
    }
    return flat;
  };
  return {
    parameters: join(layout.parameters, layout.parameterCount),
    statistics: join(layout.statistics, layout.statisticCount),
  };
}

export function unflatten(layout: NetworkLayout, { parameters, statistics }: FlatWeights): NamedTensor[] {
  const cut = (specs: readonly WeightSpec[], flat: Float32Array) => {
    let offset = 0;
    return specs.map(({ name, shape, size }) => {
      offset += size;
      return { name, shape, data: flat.slice(offset - size, offset) };
    });
  };
  return [...cut(layout.parameters, parameters), ...cut(layout.statistics, statistics)];
}

/**
 * Weights to start training from: those of another model where name and shape agree. A head of other shape (other
 * categories or anchors) starts anew; anything else that does not fit is an error.
 */
export function startingWeights(
  architecture: Architecture,
  init: readonly NamedTensor[] | null,
  seed: number,
): NamedTensor[] {
  const fresh = initialWeights(architecture, seed);
  if (init === null) return fresh;
  const given = new Map(init.map((tensor) => [tensor.name, tensor]));
  return fresh.map((tensor) => {
    const other = given.get(tensor.name);
    if (other !== undefined && other.shape.join() === tensor.shape.join()) return other;
    if (/^head\d+\/out\//.test(tensor.name)) return tensor;
    const found = other === undefined ? 'is missing' : `has shape [${other.shape}]`;
    throw new Error(
      `Weights to start from: "${tensor.name}" ${found}, but this architecture needs [${tensor.shape}]. ` +
        'Depth, width and strides must be those of the model that the weights come from.',
    );
  });
}

/** Cuts a flat vector into tensors of the given shapes. */
export function splitFlat(flat: Tensor, specs: readonly WeightSpec[]): Tensor[] {
  const parts = tf.split(
    flat,
    specs.map(({ size }) => size),
  ) as Tensor[];
  return parts.map((part, i) => tf.reshape(part, [...specs[i]!.shape]));
}

/** The inverse of splitFlat. */
export function joinFlat(parts: readonly Tensor[]): Tensor {
  return tf.concat1d(parts.map((part) => tf.reshape(part, [-1])));
}

/** [B, S, S, 3] bytes as floats, to the [B, N, 5 + categories] rows of all heads: see `cellGrid` for their order. */
export function trainingForward(
  architecture: Architecture,
  image: Tensor,
  parameters: ReadonlyMap<string, Tensor>,
  batchStatistics: Tensor[],
  frozen?: ReadonlyMap<string, Tensor>,
): Tensor {
  const padding = paddingOf(architecture);
  const epsilon = normEpsilon(architecture);
  const outputs = runNetwork(
    architecture,
    {
      ...sharedOps,
      conv(name, x, _channels, _size, stride, activation) {
        const out = convolution(x, parameters.get(`${name}/kernel`)!, stride, padding);
        const [scale, offset] = [parameters.get(`${name}/scale`)!, parameters.get(`${name}/offset`)!];
        if (frozen === undefined) {
          return activationOf(activation)(trainingNorm(out, scale, offset, batchStatistics, epsilon));
        }
        const given = { mean: frozen.get(`${name}/mean`)!, variance: frozen.get(`${name}/variance`)! };
        return activationOf(activation)(frozenNorm(out, scale, offset, given, epsilon));
      },
      head: (name, x) =>
        addBias(convolution(x, parameters.get(`${name}/kernel`)!, 1, padding), parameters.get(`${name}/bias`)!),
    },
    tf.mul(image, 1 / 255),
  );
  return joinHeads(architecture, outputs);
}

/** The same with batch norm folded into kernels and biases: see `foldNorms`. */
export function inferenceForward(
  architecture: Architecture,
  image: Tensor,
  folded: ReadonlyMap<string, Tensor>,
): Tensor {
  const padding = paddingOf(architecture);
  const conv = (name: string, x: Tensor, stride: number) =>
    addBias(convolution(x, folded.get(`${name}/kernel`)!, stride, padding), folded.get(`${name}/bias`)!);
  const outputs = runNetwork(
    architecture,
    {
      ...sharedOps,
      conv: (name, x, _channels, _size, stride, activation) => activationOf(activation)(conv(name, x, stride)),
      head: (name, x) => conv(name, x, 1),
    },
    tf.mul(image, 1 / 255),
  );
  return joinHeads(architecture, outputs);
}

const sharedOps = {
  add: (a: Tensor, b: Tensor): Tensor => tf.add(a, b),
  concat: (parts: readonly Tensor[]): Tensor => tf.concat([...parts], 3),
  secondHalf: (x: Tensor): Tensor => (tf.split(x, 2, 3) as [Tensor, Tensor])[1],
  maxPool: (x: Tensor, size: number, stride: 1 | 2): Tensor => tf.maxPool(x as Tensor4D, size, stride, 'same'),
  upsample: (x: Tensor): Tensor => tf.image.resizeNearestNeighbor(x as Tensor4D, [x.shape[1]! * 2, x.shape[2]! * 2]),
};

function paddingOf({ structure = 'csp' }: Architecture): 'far' | 'near' {
  return structure === 'csp' ? 'far' : 'near';
}

function joinHeads({ categories }: Architecture, outputs: readonly Tensor[]): Tensor {
  const fields = 5 + categories.length;
  return tf.concat(
    outputs.map((output) => tf.reshape(output, [output.shape[0]!, -1, fields])),
    1,
  );
}
