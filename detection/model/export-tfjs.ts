/** A model in the TensorFlow.js graph format, for any program with `tf.loadGraphModel`. */

import { Buffer } from 'node:buffer';
import type { Architecture, NamedTensor } from '../types.ts';
import { GRAPH_VERSION, type GraphAttribute, type GraphNode } from './graph-definition.ts';
import { buildFrozenGraph } from './infer-graph.ts';
import { DATA_TYPE } from './tf.ts';

/** Two files of one folder: `model.json`, which names the other, and `weights.bin`. */
export interface TfjsModel {
  readonly modelJson: string;
  readonly weightsBin: Uint8Array;
}

/**
 * The inference graph with batch norm folded. Input `pixels`: float32 [1, S, S, 3], RGB 0..255, letterboxed; output `rows`:
 * [1, N, 5 + C], raw. `userDefinedMetadata` holds the architecture, which tells how to decode the rows (see cells.ts).
 */
export function exportTfjs(architecture: Architecture, weights: readonly NamedTensor[]): TfjsModel {
  const { nodes, signatures } = buildFrozenGraph(architecture, weights);
  const specs: { name: string; shape: readonly number[]; dtype: string }[] = [];
  const data: Uint8Array[] = [];
  const topology = nodes.map((node) => {
    const value = node.attributes.value;
    if (node.op !== 'Const' || value?.kind !== 'tensor') return nodeJson(node);
    // Values go to the weights file; the node keeps their type and shape.
    const { type, shape, bytes } = value.value;
    specs.push({ name: node.name, shape, dtype: type === DATA_TYPE.int32 ? 'int32' : 'float32' });
    data.push(bytes);
    return {
      name: node.name,
      op: 'Const',
      attr: {
        dtype: { type: typeName(type) },
        value: { tensor: { dtype: typeName(type), tensorShape: shapeJson(shape) } },
      },
    };
  });
  const { inputs, outputs } = signatures.infer!;
  const ends = (list: typeof inputs) =>
    Object.fromEntries(
      list.map(({ key, node, type, shape }) => [
        key,
        { name: `${node}:0`, dtype: typeName(type), tensorShape: shapeJson(shape) },
      ]),
    );
  const modelJson = JSON.stringify({
    format: 'graph-model',
    generatedBy: 'hardcase',
    convertedBy: null,
    signature: { inputs: ends(inputs), outputs: ends(outputs) },
    userDefinedMetadata: { architecture },
    modelTopology: { node: topology, library: {}, versions: { producer: GRAPH_VERSION } },
    weightsManifest: [{ paths: ['weights.bin'], weights: specs }],
  });
  return { modelJson, weightsBin: Buffer.concat(data) };
}

function nodeJson({ name, op, inputs, attributes }: GraphNode) {
  return {
    name,
    op,
    // The converter writes a first output without its number.
    input: inputs.map((input) => input.replace(/:0$/, '')),
    attr: Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, attributeJson(value)])),
  };
}

/** As protocol buffers become JSON: 64-bit integers as text, bytes in base64. */
function attributeJson(attribute: GraphAttribute): object {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  switch (attribute.kind) {
    case 'type':
      return { type: typeName(attribute.value) };
    case 'int':
      return { i: String(attribute.value) };
    case 'float':
      return { f: attribute.value };
    case 'bool':
      return { b: attribute.value };
    case 'string':
      return { s: base64(attribute.value) };
    case 'shape':
      return { shape: shapeJson(attribute.value) };
    case 'ints':
      return { list: { i: attribute.value.map(String) } };
    case 'floats':
      return { list: { f: attribute.value } };
    case 'bools':
      return { list: { b: attribute.value } };
    case 'strings':
      return { list: { s: attribute.value.map(base64) } };
    case 'types':
      return { list: { type: attribute.value.map(typeName) } };
    case 'tensor':
      throw new Error('Internal error: only constants hold tensors.');
  }
}

function shapeJson(shape: readonly number[]) {
  return { dim: shape.map((size) => ({ size: String(size) })) };
}

function typeName(type: number): string {
  const names: Record<number, string> = {
    [DATA_TYPE.float32]: 'DT_FLOAT',
    [DATA_TYPE.int32]: 'DT_INT32',
    [DATA_TYPE.uint8]: 'DT_UINT8',
    [DATA_TYPE.bool]: 'DT_BOOL',
  };
  const name = names[type];
  if (name === undefined) throw new Error(`Internal error: type ${type} has no name in the TensorFlow.js format.`);
  return name;
}
