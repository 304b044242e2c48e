import { expect, test } from 'vitest';
import { buildInferGraph, foldNorms, joinFolded } from '../../../detection/model/infer-graph.ts';
import { normEpsilon } from '../../../detection/model/layers.ts';
import {
  countParameters,
  flatten,
  initialWeights,
  networkLayout,
  runNetwork,
  unflatten,
} from '../../../detection/model/network.ts';
import { type Tensor, type Tensor1D, type Tensor4D, tf } from '../../../detection/model/tf.ts';
import { GraphSession } from '../../../detection/model/traced-graph.ts';
import { createRandom } from '../../../detection/random.ts';
import type { Architecture } from '../../../detection/types.ts';
import { published, usedWeights } from './published.ts';
import { tiny } from './scenes.ts';

const small: Architecture = {
  ...tiny,
  depth: 0.33,
  width: 0.125,
  strides: [8, 16, 32],
  anchors: [8, 16, 32].map((s) => [
    [s, s],
    [s, 2 * s],
    [2 * s, s],
  ]),
  imageSize: 160,
};

test('the small network has the parameters of the one that was measured', () => {
  expect(countParameters(small)).toBe(272_510);
});

test('depth adds blocks, width channels, and strides heads', () => {
  expect(countParameters({ ...small, depth: 0.67 })).toBeGreaterThan(countParameters(small));
  expect(networkLayout({ ...small, width: 0.25 }).parameters[0]!.shape).toEqual([3, 3, 3, 16]);
  const heads = (architecture: Architecture) =>
    networkLayout(architecture)
      .parameters.filter(({ name }) => name.endsWith('out/bias'))
      .map(({ name }) => name);
  const anchors = small.anchors[0]!;
  const four = { ...small, strides: [4, 8, 16, 32], anchors: [anchors, anchors, anchors, anchors] };
  expect(heads(four)).toEqual(['head4/out/bias', 'head8/out/bias', 'head16/out/bias', 'head32/out/bias']);
  expect(heads(tiny)).toEqual(['head4/out/bias', 'head8/out/bias', 'head16/out/bias']);
});

test('an architecture that cannot be built is refused with what does not fit', () => {
  const layout = (changes: Partial<Architecture>) => () => networkLayout({ ...small, ...changes });
  expect(layout({ strides: [8, 32] })).toThrow('Strides are [8,32]');
  expect(layout({ imageSize: 100 })).toThrow('The image size is 100, expected a multiple of the largest stride 32.');
  expect(layout({ anchors: [[[1, 1]]] })).toThrow('Anchors are given for 1 heads');
  expect(layout({ categories: [] })).toThrow('There are 0 categories');
});

test('fresh weights depend on the seed and nothing else, and objects start improbable', () => {
  const weights = initialWeights(small, 4);
  expect(initialWeights(small, 4)).toEqual(weights);
  expect(initialWeights(small, 5)).not.toEqual(weights);
  const bias = weights.find(({ name }) => name === 'head8/out/bias')!.data;
  expect(1 / (1 + Math.exp(-bias[4]!))).toBeCloseTo(0.01, 6);
});

test.each([
  ['yolov4', 257_717_640],
  ['yolov4-tiny', 24_251_276],
] as const)('%s with 80 categories has as many weights as the published file has room for', (structure, bytes) => {
  const categories = Array.from({ length: 80 }, (_, i) => ({ id: i + 1, name: `category ${i + 1}` }));
  const { parameterCount, statisticCount } = networkLayout(published(structure, 416, categories));
  const headerBytes = 20;
  expect((parameterCount + statisticCount) * 4 + headerBytes).toBe(bytes);
});

test('a published network takes no other depth, width, strides or activation', () => {
  const yolov4 = published('yolov4', 64, tiny.categories);
  for (const [change, message] of [
    [{ depth: 0.5 }, 'A depth of [0.5] given, but "yolov4" is published with [1].'],
    [{ width: 0.25 }, 'A width of [0.25] given, but "yolov4" is published with [1].'],
    [{ strides: [4, 8, 16, 32] }, 'Strides of [4,8,16,32] given, but "yolov4" is published with [8,16,32].'],
    [{ activation: 'silu' }, 'An activation of [silu] given, but "yolov4" is published with [mish].'],
  ] as const) {
    expect(() => networkLayout({ ...yolov4, ...change })).toThrow(message);
  }
});

test('flat vectors hold the weights in order, and name what is missing or of another shape', () => {
  const layout = networkLayout(tiny);
  const weights = initialWeights(tiny, 1);
  expect(unflatten(layout, flatten(layout, weights))).toEqual(weights);
  expect(() => flatten(layout, weights.slice(1))).toThrow('The weights have no "stem/kernel"');
  const other = weights.with(0, { ...weights[0]!, shape: [1, 1, 3, 8] });
  expect(() => flatten(layout, other)).toThrow(
    '"stem/kernel" has shape [1,1,3,8], but the architecture needs [3,3,3,8].',
  );
});

test.each([
  { ...tiny, structure: 'csp', activation: 'leaky' },
  { ...tiny, structure: 'csp', activation: 'mish' },
  { ...tiny, structure: 'csp', activation: 'silu' },
  published('yolov4', 64, tiny.categories),
  published('yolov4-tiny', 64, tiny.categories),
] as const satisfies readonly Architecture[])(
  'inference with folded batch norm equals the plain network: $structure $activation',
  // yolov4 has 64 million weights; a busy machine takes its time over them.
  { timeout: 300_000 },
  (architecture: Architecture) => {
    const weights = usedWeights(architecture);
    const side = architecture.imageSize;
    const isCsp = architecture.structure === 'csp';
    const random = createRandom(8);
    // Of three images, two go through the network together and one beside them.
    const pixels = Uint8Array.from({ length: 3 * side * side * 3 }, () => random.int(256));
    const session = new GraphSession(buildInferGraph(architecture, 3));
    session.load({ folded: joinFolded(foldNorms(architecture, weights)) });
    const { rows } = session.run('infer', { pixels });
    session.dispose();

    const plain = tf.tidy(() => {
      const named = new Map(weights.map(({ name, shape, data }) => [name, tf.tensor(data, [...shape])]));
      const get = (name: string) => named.get(name)!;
      const act = {
        leaky: (x: Tensor) => tf.leakyRelu(x, 0.1),
        silu: (x: Tensor) => tf.mul(x, tf.sigmoid(x)),
        mish: (x: Tensor) => tf.mul(x, tf.tanh(tf.softplus(x))),
      };
      const convolve = (name: string, x: Tensor, stride: number): Tensor => {
        const kernel = get(`${name}/kernel`) as Tensor4D;
        if (isCsp || stride === 1) return tf.conv2d(x as Tensor4D, kernel, stride, 'same');
        // As darknet: `pad=1` is a row and column of zeros on each side.
        const around: [number, number] = [1, 1];
        return tf.conv2d(tf.pad(x as Tensor4D, [[0, 0], around, around, [0, 0]]), kernel, stride, 'valid');
      };
      const outputs = runNetwork<Tensor>(
        architecture,
        {
          conv(name, x, _channels, _size, stride, activation) {
            const [mean, variance, offset, scale] = ['mean', 'variance', 'offset', 'scale'].map((k) =>
              get(`${name}/${k}`),
            ) as [Tensor1D, Tensor1D, Tensor1D, Tensor1D];
            return act[activation](
              tf.batchNorm(convolve(name, x, stride), mean, variance, offset, scale, normEpsilon(architecture)),
            );
          },
          head: (name, x) => tf.add(convolve(name, x, 1), get(`${name}/bias`)),
          add: (a, b) => tf.add(a, b),
          concat: (parts) => tf.concat([...parts], 3),
          secondHalf: (x) => tf.slice(x, [0, 0, 0, x.shape[3]! / 2]),
          maxPool: (x, size, stride) => tf.maxPool(x as Tensor4D, size, stride, 'same'),
          upsample: (x) => tf.image.resizeNearestNeighbor(x as Tensor4D, [x.shape[1]! * 2, x.shape[2]! * 2]),
        },
        tf.div(tf.tensor4d(Float32Array.from(pixels), [3, side, side, 3]), 255),
      );
      return tf
        .concat(
          outputs.map((o) => tf.reshape(o, [3, -1, 6])),
          1,
        )
        .dataSync();
    });
    expect(rows!.length).toBe(plain.length);
    const scale = Math.max(...plain.map(Math.abs));
    for (const [i, value] of rows!.entries()) expect(Math.abs(value - plain[i]!) / scale).toBeLessThan(1e-5);
  },
);
