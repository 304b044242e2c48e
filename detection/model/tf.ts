/**
 * The one import of TensorFlow. Thread counts (`TF_NUM_INTRAOP_THREADS`) and log level are read when it loads,
 * so a process that wants other ones sets them before it imports anything of this folder.
 */

import { createRequire } from 'node:module';
import type * as TensorFlow from '@tensorflow/tfjs-node';

const require = createRequire(import.meta.url);

// tfjs-node 4.22 calls two functions that Node 23 removed; the CommonJS copy of the module can still be given them.
const util = require('node:util') as Record<string, unknown>;
util.isNullOrUndefined ??= (value: unknown): boolean => value === null || value === undefined;
util.isArray ??= Array.isArray;

process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';

export const tf = require('@tensorflow/tfjs-node') as typeof TensorFlow;

export type Tensor = TensorFlow.Tensor;
export type Tensor1D = TensorFlow.Tensor1D;
export type Tensor4D = TensorFlow.Tensor4D;
export type Scalar = TensorFlow.Scalar;

/** TensorFlow's own numbers for element types (tensorflow/core/framework/types.proto). */
export const DATA_TYPE = { float32: 1, int32: 3, uint8: 4, bool: 10 } as const;

/** One attribute of an op as the native addon takes it; `type` is one of the binding's TF_ATTR_ numbers. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

export interface OutputMetadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

export type Values = Float32Array | Int32Array | Uint8Array;

/** The native addon, as far as it is used here. */
export interface Binding {
  createTensor(shape: readonly number[], dtype: number, values: Values): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Values;
  executeOp(name: string, attributes: OpAttribute[], inputs: number[], outputs: number): OutputMetadata[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: number[], inputNames: string, outputNames: string): OutputMetadata[];
  getNumOfTensors(): number;
  readonly [attributeType: `TF_ATTR_${string}`]: number;
}

/** The backend of tfjs-node. Replacing `binding` lets a tracer see every op that is run. */
export interface NodeBackend {
  binding: Binding;
  readonly tensorMap: { get(dataId: object): { readonly id: number } };
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  executeSingleOutput(name: string, attributes: OpAttribute[], inputs: readonly Tensor[]): Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: OpAttribute[],
    inputs: readonly Tensor[],
    outputs: number,
  ): readonly Tensor[];
}

export function nodeBackend(): NodeBackend {
  if (tf.getBackend() !== 'tensorflow') tf.setBackend('tensorflow');
  return tf.backend() as unknown as NodeBackend;
}

/** Attributes of a raw op, with the kinds that TensorFlow's op definitions give them. */
export const attribute = {
  type: (name: string, value: number): OpAttribute => ({ name, type: nodeBackend().binding.TF_ATTR_TYPE!, value }),
  float: (name: string, value: number): OpAttribute => ({ name, type: nodeBackend().binding.TF_ATTR_FLOAT!, value }),
  bool: (name: string, value: boolean): OpAttribute => ({ name, type: nodeBackend().binding.TF_ATTR_BOOL!, value }),
  string: (name: string, value: string): OpAttribute => ({ name, type: nodeBackend().binding.TF_ATTR_STRING!, value }),
};
