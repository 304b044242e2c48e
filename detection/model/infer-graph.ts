/** Inference as a graph, with batch norm folded into the convolutions. */

import type { Architecture, NamedTensor } from '../types.ts';
import type { GraphDefinition } from './graph-definition.ts';
import { normEpsilon } from './layers.ts';
import { inferenceForward, networkLayout, splitFlat, type WeightSpec } from './network.ts';
import { tf } from './tf.ts';
import { traceGraph } from './traced-graph.ts';

/** A kernel and a bias for every convolution, in the network's order. */
export function foldedLayout(architecture: Architecture): readonly WeightSpec[] {
  return networkLayout(architecture)
    .parameters.filter(({ kind }) => kind !== 'scale')
    .map((spec) =>
      spec.kind === 'offset' ? { ...spec, kind: 'bias', name: spec.name.replace(/offset$/, 'bias') } : spec,
    );
}

/**
 * The weights with each batch norm worked into the convolution before it: kernel * scale / sqrt(variance + eps) and
 * offset - mean * scale / sqrt(variance + eps). Exact, and TensorFlow then fuses convolution, bias and activation.
 */
export function foldNorms(architecture: Architecture, weights: readonly NamedTensor[]): NamedTensor[] {
  const byName = new Map(weights.map(({ name, data }) => [name, data]));
  const epsilon = normEpsilon(architecture);
  const get = (name: string): Float32Array => {
    const data = byName.get(name);
    if (data === undefined) throw new Error(`The weights have no "${name}", which the architecture needs.`);
    return data;
  };
  return foldedLayout(architecture).map(({ name, shape, kind, size }) => {
    const layer = name.slice(0, name.lastIndexOf('/'));
    let data = byName.get(name);
    if (byName.has(`${layer}/scale`)) {
      const [scale, offset] = [get(`${layer}/scale`), get(`${layer}/offset`)];
      const [mean, variance] = [get(`${layer}/mean`), get(`${layer}/variance`)];
      const factors = scale.map((value, c) => value / Math.sqrt(variance[c]! + epsilon));
      data =
        kind === 'kernel'
          ? get(name).map((value, i) => value * factors[i % factors.length]!)
          : offset.map((value, c) => value - mean[c]! * factors[c]!);
    }
    if (data?.length !== size) throw new Error(`"${name}" has ${data?.length} values, but [${shape}] are needed.`);
    return { name, shape, data };
  });
}

/**
 * A batch goes through the network in so many parts, which TensorFlow runs side by side on the cores that it has: within one pass,
 * each op would wait for the one before. A fixed number, so that the bits do not depend on the cores.
 */
const PARTS = 2;

/** The signature `infer` ("pixels" uint8 to "rows" [B, N, 5 + C], raw) and the variable `folded`. */
export function buildInferGraph(architecture: Architecture, batchSize: number): GraphDefinition {
  const layout = foldedLayout(architecture);
  const { imageSize } = architecture;
  return traceGraph((tracer) => {
    const pixels = tracer.input('pixels', [batchSize, imageSize, imageSize, 3], 'uint8');
    const flat = tracer.variable('folded', [layout.reduce((sum, { size }) => sum + size, 0)]);
    const named = new Map(splitFlat(flat, layout).map((tensor, i) => [layout[i]!.name, tensor]));
    const sizes = partSizes(batchSize);
    const parts = sizes.length === 1 ? [pixels] : tf.split(pixels, sizes);
    const rows = parts.map((part) => inferenceForward(architecture, part, named));
    tracer.signature('infer', { rows: rows.length === 1 ? rows[0]! : tf.concat(rows) });
  });
}

/** Images of each part, the larger one first: 8 and 8 of 16, 2 and 1 of 3, 1 of 1. */
export function partSizes(batchSize: number): number[] {
  const parts = Math.min(PARTS, batchSize);
  return Array.from({ length: parts }, (_, i) => Math.ceil((batchSize - i) / parts));
}

/** The same with the weights as constants and float pixels 0..255: what `export-tfjs.ts` writes for other programs. */
export function buildFrozenGraph(architecture: Architecture, weights: readonly NamedTensor[]): GraphDefinition {
  const { imageSize } = architecture;
  const folded = foldNorms(architecture, weights);
  return traceGraph((tracer) => {
    const pixels = tracer.input('pixels', [1, imageSize, imageSize, 3], 'float32');
    const named = new Map(folded.map(({ name, shape, data }) => [name, tf.tensor(data, [...shape])]));
    tracer.signature('infer', { rows: inferenceForward(architecture, pixels, named) });
  });
}

export function joinFolded(folded: readonly NamedTensor[]): Float32Array {
  const flat = new Float32Array(folded.reduce((sum, { data }) => sum + data.length, 0));
  let offset = 0;
  for (const { data } of folded) {
    flat.set(data, offset);
    offset += data.length;
  }
  return flat;
}
