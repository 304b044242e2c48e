/**
 * Turns ordinary eager tfjs code into a TensorFlow graph: runs it once while noting every op at the native addon,
 * and writes what was noted as a SavedModel that one native call a step can run.
 *
 * Eager tfjs spends more time between ops than in them (some 2,500 ops a step at about 12 us and more); the graph
 * has no such gaps, and TensorFlow fuses ops and plans memory in it.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GraphAttribute, type GraphDefinition, type GraphNode, savedModelBytes } from './graph-definition.ts';
import { type Binding, DATA_TYPE, nodeBackend, type OpAttribute, type Tensor, tf, type Values } from './tf.ts';

export type InputType = 'float32' | 'int32' | 'uint8';

/** First dimension of an input that differs from run to run. What is computed from it may not depend on its size while tracing. */
export const ANY_NUMBER = -1;

/** What the traced code sees: tensors that stand for the inputs and variables of the graph. */
export interface Tracer {
  /** An input, fed at every run, of fixed shape but for a first dimension of ANY_NUMBER. A uint8 input arrives as uint8 and is seen as float32 0..255. */
  input(name: string, shape: readonly number[], type: InputType): Tensor;
  /** A float32 variable, which lives in the graph's session between runs; this is its value at the start of a run. */
  variable(name: string, shape: readonly number[]): Tensor;
  /**
   * Something that can be run: its outputs, and the new values of variables. All values are computed from the
   * variables as they were at the start of the run; nothing sees a half-done update.
   */
  signature(name: string, outputs: Readonly<Record<string, Tensor>>, updates?: Readonly<Record<string, Tensor>>): void;
}

interface RecordedOp {
  readonly name: string;
  readonly attributes: readonly OpAttribute[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

interface Constant {
  readonly type: number;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Runs `build` eagerly, once, and returns the graph of its signatures, with `load` and `save` for the variables. */
export function traceGraph(build: (tracer: Tracer) => void): GraphDefinition {
  const backend = nodeBackend();
  const original = backend.binding;
  const recorder = new Recorder(original);
  backend.binding = recorder.binding;
  tf.engine().startScope('trace');
  try {
    build(recorder);
    return recorder.definition();
  } finally {
    tf.engine().endScope();
    backend.binding = original;
  }
}

class Recorder implements Tracer {
  readonly binding: Binding;
  readonly #ops: RecordedOp[] = [];
  readonly #constants = new Map<number, Constant>();
  /** Tensor id of the addon -> the graph output ("node:index") that gives it. */
  readonly #sources = new Map<number, string>();
  readonly #inputs = new Map<string, { shape: readonly number[]; type: InputType }>();
  readonly #variables = new Map<string, readonly number[]>();
  readonly #signatures: {
    name: string;
    outputs: readonly (readonly [string, number, readonly number[]])[];
    updates: readonly (readonly [string, number])[];
  }[] = [];

  constructor(original: Binding) {
    // The addon's functions need their own object as `this`, so they are bound one by one.
    const copy: Record<string, unknown> = {};
    for (const key of Object.getOwnPropertyNames(original) as (keyof Binding)[]) {
      const member: unknown = original[key];
      copy[key] = typeof member === 'function' ? member.bind(original) : member;
    }
    const executeOp: Binding['executeOp'] = (name, attributes, inputs, outputs) => {
      const result = original.executeOp(name, attributes, inputs, outputs);
      this.#ops.push({ name, attributes, inputs: [...inputs], outputs: result.map((output) => output.id) });
      return result;
    };
    const createTensor: Binding['createTensor'] = (shape, type, values) => {
      const id = original.createTensor(shape, type, values);
      // A copy: the caller may write over its array before the graph is written.
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
      this.#constants.set(id, { type, shape: [...shape], bytes });
      return id;
    };
    this.binding = { ...copy, executeOp, createTensor } as Binding;
  }

  input(name: string, shape: readonly number[], type: InputType): Tensor {
    this.#inputs.set(name, { shape, type });
    const traced = shape.map((side) => (side === ANY_NUMBER ? 1 : side));
    const tensor = tf.zeros(traced, type === 'int32' ? 'int32' : 'float32');
    this.#sources.set(idOf(tensor), type === 'uint8' ? `in/${name}/cast:0` : `in/${name}:0`);
    return tensor;
  }

  variable(name: string, shape: readonly number[]): Tensor {
    this.#variables.set(name, shape);
    const tensor = tf.zeros([...shape]);
    this.#sources.set(idOf(tensor), `var/${name}/read:0`);
    return tensor;
  }

  signature(name: string, outputs: Readonly<Record<string, Tensor>>, updates: Readonly<Record<string, Tensor>> = {}) {
    this.#signatures.push({
      name,
      outputs: Object.entries(outputs).map(([key, tensor]) => [key, idOf(tensor), tensor.shape] as const),
      updates: Object.entries(updates).map(([key, tensor]) => [key, idOf(tensor)] as const),
    });
  }

  definition(): GraphDefinition {
    const nodes: GraphNode[] = [];
    const signatures: Record<string, GraphDefinition['signatures'][string]> = {};
    const add = (name: string, op: string, inputs: readonly string[], attributes: Record<string, GraphAttribute>) => {
      nodes.push({ name, op, inputs, attributes });
      return name;
    };
    const floatType: GraphAttribute = { kind: 'type', value: DATA_TYPE.float32 };
    const placeholder = (name: string, type: number, shape: readonly number[]) =>
      add(name, 'Placeholder', [], { dtype: { kind: 'type', value: type }, shape: { kind: 'shape', value: shape } });

    // Nodes have prefixes of their own kind, so that an input, a variable and an op may have the same name.
    for (const [key, { shape, type }] of this.#inputs) {
      const name = `in/${key}`;
      placeholder(name, DATA_TYPE[type], shape);
      if (type === 'uint8') {
        add(`${name}/cast`, 'Cast', [`${name}:0`], { SrcT: { kind: 'type', value: DATA_TYPE.uint8 }, DstT: floatType });
      }
    }
    for (const [key, shape] of this.#variables) {
      const name = `var/${key}`;
      const text = (value: string): GraphAttribute => ({ kind: 'string', value });
      const handle = { dtype: floatType, shape: { kind: 'shape', value: shape } as const };
      add(name, 'VarHandleOp', [], { ...handle, shared_name: text(name), container: text('') });
      add(`${name}/read`, 'ReadVariableOp', [name], { dtype: floatType });
    }

    this.#emitLiveOps(nodes);

    const inputsOf = this.#inputsBySignature();
    for (const { name, outputs, updates } of this.#signatures) {
      const assigned = updates.map(([variable, id]) =>
        // After the read, so that no op of this run can see the new value.
        add(
          `${name}/assign/${variable}`,
          'AssignVariableOp',
          [`var/${variable}`, this.#sources.get(id)!, `^var/${variable}/read`],
          { dtype: floatType },
        ),
      );
      // An output waits for the updates, so that fetching it runs them.
      signatures[name] = {
        inputs: inputsOf.get(name)!,
        outputs: outputs.map(([key, id, shape]) => ({
          key,
          node: add(`${name}/out/${key}`, 'Identity', [this.#sources.get(id)!, ...assigned.map((a) => `^${a}`)], {
            T: floatType,
          }),
          type: DATA_TYPE.float32,
          shape,
        })),
      };
    }

    if (this.#variables.size > 0) {
      const variables = [...this.#variables];
      const inputs = variables.map(([key, shape]) => {
        const node = placeholder(`var/${key}/new`, DATA_TYPE.float32, shape);
        return { key, node, type: DATA_TYPE.float32 as number, shape };
      });
      const loaded = variables.map(
        ([key]) =>
          `^${add(`var/${key}/load`, 'AssignVariableOp', [`var/${key}`, `var/${key}/new:0`], { dtype: floatType })}`,
      );
      const done: GraphAttribute = {
        kind: 'tensor',
        value: { type: DATA_TYPE.float32, shape: [], bytes: new Uint8Array(4) },
      };
      // A constant that waits for the assignments, because the addon can fetch tensors but not run bare ops.
      add('load/done', 'Const', loaded, { dtype: floatType, value: done });
      signatures.load = { inputs, outputs: [{ key: 'done', node: 'load/done', type: DATA_TYPE.float32, shape: [] }] };
      // The addon cannot run without an input either.
      const now = placeholder('save/now', DATA_TYPE.float32, []);
      signatures.save = {
        inputs: [{ key: 'now', node: now, type: DATA_TYPE.float32, shape: [] }],
        outputs: variables.map(([key, shape]) => ({ key, node: `var/${key}/read`, type: DATA_TYPE.float32, shape })),
      };
    }
    return { nodes, signatures };
  }

  /** Ops that some signature needs, in the order in which they ran, with the constants they take. */
  #emitLiveOps(nodes: GraphNode[]): void {
    const needed = new Set(this.#signatures.flatMap((s) => [...s.outputs, ...s.updates].map(([, id]) => id)));
    const live: RecordedOp[] = [];
    for (const op of this.#ops.toReversed()) {
      if (!op.outputs.some((id) => needed.has(id))) continue;
      live.push(op);
      for (const id of op.inputs) needed.add(id);
    }
    const source = (id: number): string => {
      const known = this.#sources.get(id);
      if (known !== undefined) return known;
      const constant = this.#constants.get(id);
      if (constant === undefined) {
        throw new Error('Internal error: the traced code uses a tensor that was made before tracing began.');
      }
      const name = `const/${this.#sources.size}`;
      const { type } = constant;
      const attributes: Record<string, GraphAttribute> = {
        dtype: { kind: 'type', value: type },
        value: { kind: 'tensor', value: constant },
      };
      nodes.push({ name, op: 'Const', inputs: [], attributes });
      this.#sources.set(id, `${name}:0`);
      return `${name}:0`;
    };
    for (const [i, op] of live.reverse().entries()) {
      const name = `${op.name}_${i}`;
      const attributes = Object.fromEntries(op.attributes.map((a) => [a.name, this.#attribute(a)]));
      nodes.push({ name, op: op.name, inputs: op.inputs.map(source), attributes });
      for (const [j, id] of op.outputs.entries()) this.#sources.set(id, `${name}:${j}`);
    }
    for (const id of needed) source(id);
  }

  /** The inputs that each signature depends on: TensorFlow wants just those fed. */
  #inputsBySignature(): Map<string, GraphDefinition['signatures'][string]['inputs']> {
    const producers = new Map<number, RecordedOp>();
    for (const op of this.#ops) for (const id of op.outputs) producers.set(id, op);
    const result = new Map<string, GraphDefinition['signatures'][string]['inputs']>();
    for (const { name, outputs, updates } of this.#signatures) {
      const seen = new Set<number>();
      const used = new Set<string>();
      const open = [...outputs, ...updates].map(([, id]) => id);
      for (let id = open.pop(); id !== undefined; id = open.pop()) {
        if (seen.has(id)) continue;
        seen.add(id);
        const producer = producers.get(id);
        if (producer !== undefined) open.push(...producer.inputs);
        else used.add(this.#sources.get(id)!);
      }
      const inputs = [...this.#inputs].filter(([key]) => used.has(`in/${key}:0`) || used.has(`in/${key}/cast:0`));
      result.set(
        name,
        inputs.map(([key, { shape, type }]) => ({ key, node: `in/${key}`, type: DATA_TYPE[type], shape })),
      );
    }
    return result;
  }

  #attribute({ type, value }: OpAttribute): GraphAttribute {
    const { binding } = this;
    const kinds = { STRING: 'string', INT: 'int', FLOAT: 'float', BOOL: 'bool', TYPE: 'type', SHAPE: 'shape' } as const;
    for (const [suffix, kind] of Object.entries(kinds)) {
      if (binding[`TF_ATTR_${suffix}`] !== type) continue;
      const isList = Array.isArray(value) && kind !== 'shape';
      return { kind: isList ? `${kind}s` : kind, value } as GraphAttribute;
    }
    throw new Error(`Internal error: an op attribute of unknown type ${type} cannot be traced.`);
  }
}

/** The addon's id of a tensor; asking for it as an input also moves values that still wait in JavaScript. */
function idOf(tensor: Tensor): number {
  return nodeBackend().getInputTensorIds([tensor])[0]!;
}

/** A graph loaded into TensorFlow, with its own variables. Runs without tfjs tensors: typed arrays in and out. */
export class GraphSession {
  readonly #definition: GraphDefinition;
  readonly #session: number;
  #disposed = false;

  /** Writes the graph below `folder` (the system's temporary folder unless given) for as long as loading takes. */
  constructor(definition: GraphDefinition, folder: string = tmpdir()) {
    this.#definition = definition;
    mkdirSync(folder, { recursive: true });
    const path = mkdtempSync(join(folder, 'hardcase-graph-'));
    try {
      mkdirSync(join(path, 'variables'));
      writeFileSync(join(path, 'saved_model.pb'), savedModelBytes(definition));
      this.#session = nodeBackend().binding.loadSavedModel(path, 'serve');
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }

  run(name: string, feeds: Readonly<Record<string, Values>>): Record<string, Float32Array> {
    const signature = this.#definition.signatures[name];
    if (signature === undefined) throw new Error(`Internal error: the graph has no signature "${name}".`);
    const { binding } = nodeBackend();
    const ids: number[] = [];
    try {
      for (const { key, shape, type } of signature.inputs) {
        const values = feeds[key];
        const known = shape.reduce((a, b) => (b === ANY_NUMBER ? a : a * b), 1);
        const count = values === undefined ? 0 : values.length / known;
        if (values === undefined || (shape[0] === ANY_NUMBER ? !Number.isInteger(count) : count !== 1)) {
          const wanted =
            shape[0] === ANY_NUMBER
              ? `${known} values for each row [${['any', ...shape.slice(1)]}]`
              : `${known} values [${shape}]`;
          throw new Error(`Input "${key}" of "${name}" takes ${wanted}, but got ${values?.length}.`);
        }
        const full = shape.map((side) => (side === ANY_NUMBER ? count : side));
        ids.push(binding.createTensor(full, type, values));
      }
      const nodes = (ends: readonly { node: string }[]) => ends.map(({ node }) => `${node}:0`).join(',');
      const outputs = binding.runSavedModel(this.#session, ids, nodes(signature.inputs), nodes(signature.outputs));
      return Object.fromEntries(
        signature.outputs.map(({ key }, i) => {
          const id = outputs[i]!.id;
          ids.push(id);
          return [key, binding.tensorDataSync(id) as Float32Array];
        }),
      );
    } finally {
      for (const id of ids) binding.deleteTensor(id);
    }
  }

  /** Sets all variables. To be called before the first run: they have no initial values. */
  load(values: Readonly<Record<string, Float32Array>>): void {
    this.run('load', values);
  }

  /** The values of all variables. */
  save(): Record<string, Float32Array> {
    return this.run('save', { now: new Float32Array(1) });
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    nodeBackend().binding.deleteSavedModel(this.#session);
  }
}
