/** A TensorFlow graph as plain data, and its form as a SavedModel. */

import type { Buffer } from 'node:buffer';
import { bytesField, floatField, integerField, mapEntry, message } from './protobuf.ts';

export interface GraphTensor {
  /** One of TensorFlow's numbers for types. */
  readonly type: number;
  readonly shape: readonly number[];
  /** Little-endian values, row by row. */
  readonly bytes: Uint8Array;
}

export type GraphAttribute =
  | { readonly kind: 'type' | 'int' | 'float'; readonly value: number }
  | { readonly kind: 'types' | 'ints' | 'floats' | 'shape'; readonly value: readonly number[] }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'bools'; readonly value: readonly boolean[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: GraphTensor };

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  /** "node:output", or "^node" for one that merely has to run before. */
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, GraphAttribute>>;
}

/** One end of a signature: the key that callers use, and the node whose first output it is. */
export interface GraphEnd {
  readonly key: string;
  readonly node: string;
  readonly type: number;
  readonly shape: readonly number[];
}

export interface GraphDefinition {
  readonly nodes: readonly GraphNode[];
  readonly signatures: Readonly<
    Record<string, { readonly inputs: readonly GraphEnd[]; readonly outputs: readonly GraphEnd[] }>
  >;
}

/** Version of the graph format (`versions.producer`) that TensorFlow 2.18 writes: TF_GRAPH_DEF_VERSION. */
export const GRAPH_VERSION = 1882;

/**
 * `saved_model.pb`: field numbers from saved_model.proto, meta_graph.proto, graph.proto, node_def.proto,
 * attr_value.proto and tensor.proto of tensorflow/core. It has no variables of its own to restore: `load` sets them.
 */
export function savedModelBytes({ nodes, signatures }: GraphDefinition): Buffer {
  const graph = message(
    ...nodes.map((node) => bytesField(1, nodeBytes(node))),
    bytesField(4, integerField(1, GRAPH_VERSION)),
  );
  const info = message(bytesField(1, '1'), bytesField(4, 'serve'), bytesField(5, '2.18.1'));
  const end = ({ node, type, shape }: GraphEnd) =>
    message(bytesField(1, `${node}:0`), integerField(2, type), bytesField(3, shapeBytes(shape)));
  const signature = (inputs: readonly GraphEnd[], outputs: readonly GraphEnd[]) =>
    message(
      ...inputs.map((input) => mapEntry(1, input.key, end(input))),
      ...outputs.map((output) => mapEntry(2, output.key, end(output))),
      bytesField(3, 'tensorflow/serving/predict'),
    );
  const meta = message(
    bytesField(1, info),
    bytesField(2, graph),
    ...Object.entries(signatures).map(([name, { inputs, outputs }]) => mapEntry(5, name, signature(inputs, outputs))),
  );
  return message(integerField(1, 1), bytesField(2, meta));
}

function nodeBytes({ name, op, inputs, attributes }: GraphNode): Buffer {
  return message(
    bytesField(1, name),
    bytesField(2, op),
    ...inputs.map((input) => bytesField(3, input)),
    ...Object.entries(attributes).map(([key, value]) => mapEntry(5, key, attributeBytes(value))),
  );
}

function attributeBytes(attribute: GraphAttribute): Buffer {
  const list = (...items: Uint8Array[]) => bytesField(1, message(...items));
  switch (attribute.kind) {
    case 'string':
      return bytesField(2, attribute.value);
    case 'int':
      return integerField(3, attribute.value);
    case 'float':
      return floatField(4, attribute.value);
    case 'bool':
      return integerField(5, attribute.value ? 1 : 0);
    case 'type':
      return integerField(6, attribute.value);
    case 'shape':
      return bytesField(7, shapeBytes(attribute.value));
    case 'tensor':
      return bytesField(8, tensorBytes(attribute.value));
    case 'strings':
      return list(...attribute.value.map((value) => bytesField(2, value)));
    case 'ints':
      return list(...attribute.value.map((value) => integerField(3, value)));
    case 'floats':
      return list(...attribute.value.map((value) => floatField(4, value)));
    case 'bools':
      return list(...attribute.value.map((value) => integerField(5, value ? 1 : 0)));
    case 'types':
      return list(...attribute.value.map((value) => integerField(6, value)));
  }
}

function shapeBytes(shape: readonly number[]): Buffer {
  return message(...shape.map((size) => bytesField(2, integerField(1, size))));
}

function tensorBytes({ type, shape, bytes }: GraphTensor): Buffer {
  return message(integerField(1, type), bytesField(2, shapeBytes(shape)), bytesField(4, bytes));
}
