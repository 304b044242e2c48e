/** Darknet's `.weights` files, read and written: a header, then the values of each convolution in the order of the layers. */

import type { Architecture, NamedTensor } from '../types.ts';
import { initialWeights, networkLayout, type WeightSpec } from './network.ts';

export interface DarknetWeights {
  readonly weights: readonly NamedTensor[];
  /** Categories that the file's heads are made for; null where it ends before the heads. */
  readonly categories: number | null;
  /** Convolutions that the file did not give, which start anew. */
  readonly fresh: readonly string[];
}

/** Version 0.2: `seen` has 8 bytes. */
const HEADER_BYTES = 20;

/** Names of the layers of a convolution, with their shapes; a head has a bias in place of batch norm. */
interface Layer {
  readonly name: string;
  /** [height, width, inputs, outputs] */
  readonly kernel: readonly [number, number, number, number];
  readonly isHead: boolean;
}

/**
 * `seed` is for what the file does not give: heads made for another number of categories, or, in a file of the first layers
 * alone (`yolov4.conv.137`), the layers after them. Throws where the file is no such network.
 */
export function readDarknetWeights(architecture: Architecture, bytes: Uint8Array, seed: number): DarknetWeights {
  const headerBytes = headerSize(bytes);
  const values = floatsFrom(bytes, headerBytes);
  const layers = layersOf(architecture);
  const { categories, complete } = fitFile(architecture, layers, values.length, bytes.length, headerBytes);

  const byName = new Map(initialWeights(architecture, seed).map((tensor) => [tensor.name, tensor]));
  const fresh: string[] = [];
  let at = 0;
  const take = (name: string, size: number, arrange?: (data: Float32Array) => Float32Array) => {
    const data = values.slice(at, at + size);
    at += size;
    byName.set(name, { ...byName.get(name)!, data: arrange ? arrange(data) : data });
  };
  for (const [i, { name, kernel, isHead }] of layers.entries()) {
    const [height, width, inputs, outputs] = kernel;
    const size = height * width * inputs * outputs;
    if (i >= complete) {
      fresh.push(name);
    } else if (!isHead) {
      for (const kind of ['offset', 'scale', 'mean', 'variance']) take(`${name}/${kind}`, outputs);
      take(`${name}/kernel`, size, (data) => fromDarknetOrder(data, kernel));
    } else if (categories === architecture.categories.length) {
      take(`${name}/bias`, outputs);
      take(`${name}/kernel`, size, (data) => fromDarknetOrder(data, kernel));
    } else {
      const found = headOutputs(outputs, architecture, categories!);
      at += found * (inputs + 1);
      fresh.push(name);
    }
  }
  const { parameters, statistics } = networkLayout(architecture);
  return { weights: [...parameters, ...statistics].map(({ name }) => byName.get(name)!), categories, fresh };
}

/** The inverse, with as many images seen in training as `seen` says. */
export function writeDarknetWeights(architecture: Architecture, weights: readonly NamedTensor[], seen = 0): Uint8Array {
  const byName = new Map(weights.map((tensor) => [tensor.name, tensor.data]));
  const parts: Float32Array[] = [];
  const put = (name: string, size: number, kernel?: Layer['kernel']) => {
    const data = byName.get(name);
    if (data?.length !== size) throw new Error(`"${name}" has ${data?.length} values, but ${size} are needed.`);
    parts.push(kernel ? toDarknetOrder(data, kernel) : data);
  };
  for (const { name, kernel, isHead } of layersOf(architecture)) {
    const outputs = kernel[3];
    for (const kind of isHead ? ['bias'] : ['offset', 'scale', 'mean', 'variance']) put(`${name}/${kind}`, outputs);
    put(`${name}/kernel`, sizeOf(kernel), kernel);
  }
  const bytes = new Uint8Array(HEADER_BYTES + 4 * parts.reduce((sum, { length }) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  for (const [i, version] of [0, 2, 5].entries()) view.setInt32(i * 4, version, true);
  view.setBigUint64(12, BigInt(seen), true);
  let offset = HEADER_BYTES;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), offset);
    offset += part.byteLength;
  }
  return bytes;
}

/** Categories that a whole file of this network is made for; null where it holds the first layers alone. Throws where it is neither. */
export function darknetCategories(architecture: Architecture, bytes: Uint8Array): number | null {
  const headerBytes = headerSize(bytes);
  const count = (bytes.length - headerBytes) / 4;
  return fitFile(architecture, layersOf(architecture), count, bytes.length, headerBytes).categories;
}

/** Major, minor and revision, then `seen`: 8 bytes from version 0.2 on, 4 before (load_weights_upto in darknet's parser.c). */
function headerSize(bytes: Uint8Array): number {
  if (bytes.length < 16) {
    throw new Error(`The file has ${bytes.length} bytes, expected a darknet header of 16 or 20 bytes and weights.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [major, minor] = [view.getInt32(0, true), view.getInt32(4, true)];
  return major * 10 + minor >= 2 && major < 1000 && minor < 1000 ? HEADER_BYTES : 16;
}

function floatsFrom(bytes: Uint8Array, start: number): Float32Array {
  const count = Math.floor((bytes.length - start) / 4);
  const offset = bytes.byteOffset + start;
  if (offset % 4 === 0) return new Float32Array(bytes.buffer, offset, count);
  return new Float32Array(bytes.slice(start, start + count * 4).buffer);
}

/** How many layers the file completes, and the categories of its heads. Its length tells, as the format names nothing. */
function fitFile(
  architecture: Architecture,
  layers: readonly Layer[],
  count: number,
  fileBytes: number,
  headerBytes: number,
): { readonly categories: number | null; readonly complete: number } {
  const sizes = layers.map(({ kernel, isHead }) => sizeOf(kernel) + kernel[3] * (isHead ? 1 : 4));
  const body = sizes.reduce((sum, size, i) => sum + (layers[i]!.isHead ? 0 : size), 0);
  const heads = layers.filter(({ isHead }) => isHead);
  // A head has (inputs + 1) values for each of its outputs, and 5 outputs and one a category for each of its anchors.
  const perField = heads.reduce(
    (sum, { kernel }) => sum + (kernel[2] + 1) * headOutputs(kernel[3], architecture, -4),
    0,
  );
  const categories = (count - body) / perField - 5;
  if (Number.isInteger(categories) && categories >= 1) return { categories, complete: layers.length };

  let total = 0;
  for (const [i, { isHead }] of layers.entries()) {
    if (isHead) break;
    total += sizes[i]!;
    if (total === count) return { categories: null, complete: i + 1 };
  }
  const expected = headerBytes + 4 * sizes.reduce((a, b) => a + b, 0);
  throw new Error(
    `The file has ${fileBytes} bytes, but "${architecture.structure}" with ${architecture.categories.length} categories takes ` +
      `${expected}, and no other number of categories fits. Is it of another network, or cut off?`,
  );
}

/** Outputs of a head with another number of categories. */
function headOutputs(outputs: number, architecture: Architecture, categories: number): number {
  return (outputs / (5 + architecture.categories.length)) * (5 + categories);
}

function layersOf(architecture: Architecture): Layer[] {
  const { structure = 'csp' } = architecture;
  if (structure === 'csp') {
    throw new Error('Darknet weights are those of "yolov4" and "yolov4-tiny"; "csp" is a network of its own.');
  }
  const { parameters } = networkLayout(architecture);
  const heads = new Set(parameters.filter(({ kind }) => kind === 'bias').map(layerName));
  return parameters
    .filter(({ kind }) => kind === 'kernel')
    .map((spec) => ({
      name: layerName(spec),
      kernel: spec.shape as unknown as Layer['kernel'],
      isHead: heads.has(layerName(spec)),
    }));
}

function layerName({ name }: WeightSpec): string {
  return name.slice(0, name.lastIndexOf('/'));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** [outputs, inputs, height, width] to our [height, width, inputs, outputs]. */
function fromDarknetOrder(data: Float32Array, kernel: Layer['kernel']): Float32Array {
  const ours = new Float32Array(data.length);
  forEachWeight(kernel, (here, there) => {
    ours[here] = data[there]!;
  });
  return ours;
}

function toDarknetOrder(data: Float32Array, kernel: Layer['kernel']): Float32Array {
  const theirs = new Float32Array(data.length);
  forEachWeight(kernel, (here, there) => {
    theirs[there] = data[here]!;
  });
  return theirs;
}

function forEachWeight(
  [height, width, inputs, outputs]: Layer['kernel'],
  use: (here: number, there: number) => void,
): void {
  let there = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let p = 0; p < height * width; p++) use((p * inputs + i) * outputs + o, there++);
    }
  }
}
