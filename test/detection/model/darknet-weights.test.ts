import { expect, test } from 'vitest';
import {
  darknetCategories,
  readDarknetWeights,
  writeDarknetWeights,
} from '../../../detection/model/darknet-weights.ts';
import { initialWeights } from '../../../detection/model/network.ts';
import { defaultTrainOptions, trainDetector } from '../../../detection/model/train.ts';
import { published, usedWeights } from './published.ts';
import { tiny as csp, discImage, quietJob, sourceOf } from './scenes.ts';

const categoriesOf = (count: number) => Array.from({ length: count }, (_, i) => ({ id: i + 1, name: `kind ${i + 1}` }));
const tiny = published('yolov4-tiny', 64, categoriesOf(2));

test('weights come back from a file as they were', () => {
  const weights = usedWeights(tiny);
  const bytes = writeDarknetWeights(tiny, weights, 32_012_800);
  expect(Array.from(new Int32Array(bytes.buffer.slice(0, 20)))).toEqual([0, 2, 5, 32_012_800, 0]);
  // Somewhere within a larger buffer, at an odd place.
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  const read = readDarknetWeights(tiny, shifted.subarray(3), 1);
  expect(read.categories).toBe(2);
  expect(read.fresh).toEqual([]);
  expect(read.weights.map(({ name, shape }) => [name, shape])).toEqual(weights.map(({ name, shape }) => [name, shape]));
  for (const [i, { data }] of read.weights.entries())
    expect(Buffer.compare(viewOf(data), viewOf(weights[i]!.data))).toBe(0);
});

test('the values of a layer stand as darknet reads them: biases, scales, means, variances, then kernels by output', () => {
  // Numbered values, in a file of the first two layers alone: 32 kernels of 3 x 3 x 3, then 64 of 32 x 3 x 3.
  const [first, second] = [4 * 32 + 32 * 3 * 9, 4 * 64 + 64 * 32 * 9];
  const bytes = darknetFile(
    [0, 1, 0],
    4,
    Float32Array.from({ length: first + second }, (_, i) => i),
  );
  const { weights, categories, fresh } = readDarknetWeights(tiny, bytes, 1);
  const get = (name: string) => weights.find((tensor) => tensor.name === name)!.data;
  expect(categories).toBe(null);
  expect([get('stem/offset')[5], get('stem/scale')[5]]).toEqual([5, 32 + 5]);
  expect([get('stem/mean')[5], get('stem/variance')[5]]).toEqual([64 + 5, 96 + 5]);
  // Ours is [height, width, inputs, outputs]; row 2, column 1, input 1, output 7.
  expect(get('stem/kernel')[((2 * 3 + 1) * 3 + 1) * 32 + 7]).toBe(128 + ((7 * 3 + 1) * 3 + 2) * 3 + 1);
  expect(get('stage4/down/offset')[0]).toBe(first);
  expect(get('stage4/down/kernel')[((0 * 3 + 2) * 32 + 30) * 64 + 9]).toBe(
    first + 256 + ((9 * 32 + 30) * 3 + 0) * 3 + 2,
  );
  // What the file does not give is as in a network of its own.
  const own = initialWeights(tiny, 1).find(({ name }) => name === 'stage4/in/kernel')!;
  expect(Buffer.compare(viewOf(get('stage4/in/kernel')), viewOf(own.data))).toBe(0);
  expect(fresh[0]).toBe('stage4/in');
  expect(fresh.at(-1)).toBe('head16/out');
});

test('heads made for other categories start anew, the rest is taken', () => {
  const weights = usedWeights(tiny);
  const bytes = writeDarknetWeights(tiny, weights);
  const five = { ...tiny, categories: categoriesOf(5) };
  expect(darknetCategories(five, bytes)).toBe(2);
  const read = readDarknetWeights(five, bytes, 4);
  expect(read.categories).toBe(2);
  expect(read.fresh).toEqual(['head32/out', 'head16/out']);
  const fresh = initialWeights(five, 4);
  for (const [i, { name, data }] of read.weights.entries()) {
    const expected = name.includes('/out/') ? fresh[i]!.data : weights[i]!.data;
    expect(Buffer.compare(viewOf(data), viewOf(expected)), name).toBe(0);
  }
});

test('a file of another size is refused with both sizes, and so is a network that darknet does not know', () => {
  const bytes = writeDarknetWeights(tiny, usedWeights(tiny));
  const size = bytes.length;
  expect(() => readDarknetWeights(tiny, bytes.subarray(0, size - 1000), 1)).toThrow(
    `The file has ${size - 1000} bytes, but "yolov4-tiny" with 2 categories takes ${size}`,
  );
  expect(() => readDarknetWeights(tiny, bytes.subarray(0, 7), 1)).toThrow('The file has 7 bytes');
  expect(() => writeDarknetWeights(csp, initialWeights(csp, 1))).toThrow('"csp" is a network of its own');
});

test('training goes on from such weights, with other categories', async () => {
  const trained = { ...tiny, categories: categoriesOf(1) };
  const init = readDarknetWeights(tiny, writeDarknetWeights(tiny, usedWeights(tiny)), 1).weights;
  const images = [1, 2].map((id) => discImage(id, 64));
  const options = { ...defaultTrainOptions, epochs: 2, batchSize: 2, warmupEpochs: 0 };
  const { weights, epochs, steps } = await trainDetector({ ...quietJob(trained, sourceOf(images, 2), options), init });
  expect(steps).toBe(2);
  for (const { loss } of epochs) expect(Number.isFinite(loss.total)).toBe(true);
  const moved = weights.filter(({ name, data }) => {
    const before = init.find((tensor) => tensor.name === name)!.data;
    return before.length === data.length && Buffer.compare(viewOf(before), viewOf(data)) !== 0;
  });
  expect(moved.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['stem/kernel', 'neck32/scale', 'stage8/a/mean']),
  );
});

function darknetFile(version: readonly number[], seenBytes: number, values: Float32Array): Uint8Array {
  const bytes = Buffer.alloc(12 + seenBytes + values.byteLength);
  for (const [i, part] of version.entries()) bytes.writeInt32LE(part, i * 4);
  viewOf(values).copy(bytes, 12 + seenBytes);
  return bytes;
}

function viewOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
