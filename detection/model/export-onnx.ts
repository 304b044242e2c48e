/** A model in the ONNX format (https://onnx.ai), for any runtime that reads it. */

import type { Buffer } from 'node:buffer';
import type { Architecture, NamedTensor } from '../types.ts';
import { EXPONENT_MAX } from './box-decoding.ts';
import { CELL_FIELDS, type CellGrid, cellGrid } from './cells.ts';
import { foldNorms } from './infer-graph.ts';
import { LEAKY_SLOPE } from './layers.ts';
import { type NetworkOps, runNetwork } from './network.ts';
import { bytesField, floatField, integerField, message } from './protobuf.ts';

/** Numbers of onnx.proto3. The oldest set of operators with all that is used here, so that old runtimes read the file too. */
const IR_VERSION = 7;
const OPSET = 13;
const TYPE = { float32: 1, int64: 7 } as const;
const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** A value of the graph: its name, and the shape that its producer gave it. */
interface Value {
  readonly name: string;
  readonly channels: number;
  readonly side: number;
}

/**
 * Input `images`: float32 [batch, 3, S, S], RGB 0..1, letterboxed on grey 114. Outputs `boxes`: [batch, N, 4] xyxy in pixels
 * of the input, and `scores`: [batch, N, C]; no suppression. Batch norm is folded. The metadata hold `architecture` (JSON),
 * `categories` (JSON: names in the order of the scores) and `letterbox` (a sentence).
 */
export function exportOnnx(architecture: Architecture, weights: readonly NamedTensor[]): Uint8Array {
  const graph = new GraphWriter();
  const folded = new Map(foldNorms(architecture, weights).map((tensor) => [tensor.name, tensor]));
  const heads = runNetwork(architecture, networkOps(graph, architecture, folded), {
    name: 'images',
    channels: 3,
    side: architecture.imageSize,
  });
  const grid = cellGrid(architecture);
  addDecoding(graph, grid, heads);
  const size = architecture.imageSize;
  const info = {
    architecture: JSON.stringify(architecture),
    categories: JSON.stringify(architecture.categories.map(({ name }) => name)),
    letterbox: `scaled to fit ${size} x ${size}, centred, padded with grey 114; RGB, divided by 255`,
  };
  return message(
    integerField(1, IR_VERSION),
    bytesField(2, 'hardcase'),
    bytesField(
      7,
      graph.bytes(
        [valueInfo('images', ['batch', 3, size, size])],
        [
          valueInfo('boxes', ['batch', grid.count, 4]),
          valueInfo('scores', ['batch', grid.count, architecture.categories.length]),
        ],
      ),
    ),
    bytesField(8, message(bytesField(1, ''), integerField(2, OPSET))),
    ...Object.entries(info).map(([key, value]) => bytesField(14, message(bytesField(1, key), bytesField(2, value)))),
  );
}

function networkOps(
  graph: GraphWriter,
  { structure = 'csp' }: Architecture,
  folded: ReadonlyMap<string, NamedTensor>,
): NetworkOps<Value> {
  const convolve = (name: string, x: Value, channels: number, size: number, stride: number): Value => {
    const kernel = graph.floats(`${name}/kernel`, ...kernelByOutput(folded.get(`${name}/kernel`)!));
    const bias = graph.floats(`${name}/bias`, [channels], folded.get(`${name}/bias`)!.data);
    // Sides are even, so that stride 2 needs one row more: on the far end as TensorFlow, on the near end as darknet.
    const margin = (size - 1) / 2;
    const [near, far] =
      stride === 1 ? [margin, margin] : structure === 'csp' ? [margin - 1, margin] : [margin, margin - 1];
    const out = graph.add('Conv', name, [x.name, kernel, bias], {
      kernel_shape: ints([size, size]),
      strides: ints([stride, stride]),
      pads: ints([near, near, far, far]),
    });
    return { name: out, channels, side: x.side / stride };
  };
  return {
    conv(name, x, channels, size, stride, activation) {
      const out = convolve(name, x, channels, size, stride);
      return { ...out, name: activate(graph, `${name}/${activation}`, out.name, activation) };
    },
    head: (name, x, channels) => convolve(name, x, channels, 1, 1),
    add: (a, b) => ({ ...a, name: graph.add('Add', 'add', [a.name, b.name]) }),
    concat: (parts) => ({
      name: graph.add(
        'Concat',
        'concat',
        parts.map(({ name }) => name),
        { axis: int(1) },
      ),
      channels: parts.reduce((sum, { channels }) => sum + channels, 0),
      side: parts[0]!.side,
    }),
    secondHalf: (x) => ({
      name: graph.slice('half', x.name, 1, x.channels / 2, x.channels),
      channels: x.channels / 2,
      side: x.side,
    }),
    maxPool(x, size, stride) {
      const margin = stride === 1 ? (size - 1) / 2 : 0;
      const name = graph.add('MaxPool', 'pool', [x.name], {
        kernel_shape: ints([size, size]),
        strides: ints([stride, stride]),
        pads: ints([margin, margin, margin, margin]),
      });
      return { name, channels: x.channels, side: x.side / stride };
    },
    upsample(x) {
      const scales = graph.floats('upsample/scales', [4], Float32Array.of(1, 1, 2, 2));
      const name = graph.add('Resize', 'upsample', [x.name, '', scales], {
        mode: text('nearest'),
        coordinate_transformation_mode: text('asymmetric'),
        nearest_mode: text('floor'),
      });
      return { name, channels: x.channels, side: x.side * 2 };
    },
  };
}

function activate(graph: GraphWriter, name: string, x: string, activation: Architecture['activation']): string {
  switch (activation) {
    case 'leaky':
      return graph.add('LeakyRelu', name, [x], { alpha: float(LEAKY_SLOPE) });
    case 'silu':
      return graph.add('Mul', name, [x, graph.add('Sigmoid', `${name}/sigmoid`, [x])]);
    case 'mish':
      return graph.add('Mul', name, [
        x,
        graph.add('Tanh', `${name}/tanh`, [graph.add('Softplus', `${name}/softplus`, [x])]),
      ]);
  }
}

/** From the heads' maps to `boxes` and `scores`: the arithmetic of box-decoding.ts, its constants worked out for every row. */
function addDecoding(graph: GraphWriter, { count, fields, cells, decoding }: CellGrid, heads: readonly Value[]): void {
  const shape = graph.integers('rows/shape', [0, -1, fields]);
  const rows = graph.add(
    'Concat',
    'rows',
    heads.map(({ name }) => {
      const byPlace = graph.add('Transpose', 'rows/place', [name], { perm: ints([0, 2, 3, 1]) });
      return graph.add('Reshape', 'rows/head', [byPlace, shape]);
    }),
    { axis: int(1) },
  );
  const base = new Float32Array(count * 2);
  const slope = new Float32Array(count);
  const anchors = new Float32Array(count * 2);
  for (let row = 0; row < count; row++) {
    const [x, y, stride, width, height] = cells.subarray(row * CELL_FIELDS) as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    const scale = decoding.kind === 'bounded' ? 2 : decoding.centreScales.find((head) => head.stride === stride)!.scale;
    const back = ((scale - 1) / 2) * stride;
    base.set([x - back, y - back], row * 2);
    slope[row] = scale * stride;
    // (2 s)^2 anchors are s^2 times four anchors.
    const factor = decoding.kind === 'bounded' ? 4 : 1;
    anchors.set([width * factor, height * factor], row * 2);
  }
  const part = (name: string, from: number, to: number) => graph.slice(name, rows, 2, from, to);
  const near = graph.add('Sigmoid', 'centre/sigmoid', [part('centre/raw', 0, 2)]);
  const centre = graph.add('Add', 'centre', [
    graph.floats('centre/base', [1, count, 2], base),
    graph.add('Mul', 'centre/scaled', [near, graph.floats('centre/slope', [1, count, 1], slope)]),
  ]);
  const rawSize = part('size/raw', 2, 4);
  let factor: string;
  if (decoding.kind === 'bounded') {
    const share = graph.add('Sigmoid', 'size/sigmoid', [rawSize]);
    factor = graph.add('Mul', 'size/square', [share, share]);
  } else {
    const limit = graph.floats('size/limit', [], Float32Array.of(EXPONENT_MAX));
    factor = graph.add('Exp', 'size/exp', [graph.add('Min', 'size/bounded', [rawSize, limit])]);
  }
  const half = graph.add('Mul', 'size/half', [
    graph.add('Mul', 'size', [factor, graph.floats('size/anchors', [1, count, 2], anchors)]),
    graph.floats('size/two', [], Float32Array.of(0.5)),
  ]);
  const corners = [graph.add('Sub', 'low', [centre, half]), graph.add('Add', 'high', [centre, half])];
  graph.addNamed('Concat', 'boxes', corners, { axis: int(2) });

  const objectness = part('objectness/raw', 4, 5);
  // With one category the class says nothing that objectness does not.
  if (fields === 6) {
    graph.addNamed('Sigmoid', 'scores', [objectness]);
    return;
  }
  const classes = graph.add('Sigmoid', 'classes', [part('classes/raw', 5, fields)]);
  graph.addNamed('Mul', 'scores', [graph.add('Sigmoid', 'objectness', [objectness]), classes]);
}

/** [height, width, inputs, outputs] to ONNX's [outputs, inputs, height, width]. */
function kernelByOutput({ shape, data }: NamedTensor): [readonly number[], Float32Array] {
  const [height, width, inputs, outputs] = shape as readonly [number, number, number, number];
  const out = new Float32Array(data.length);
  let at = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let p = 0; p < height * width; p++) out[at++] = data[(p * inputs + i) * outputs + o]!;
    }
  }
  return [[outputs, inputs, height, width], out];
}

/** Collects nodes and constants. Values are named after their node; a name that is taken gets a number. */
class GraphWriter {
  readonly #nodes: Buffer[] = [];
  readonly #constants = new Map<string, Buffer>();
  readonly #taken = new Map<string, number>();

  add(op: string, name: string, inputs: readonly string[], attributes: Readonly<Record<string, Buffer>> = {}): string {
    const uses = this.#taken.get(name) ?? 0;
    this.#taken.set(name, uses + 1);
    const unique = uses === 0 ? `node/${name}` : `node/${name}/${uses}`;
    return this.addNamed(op, unique, inputs, attributes);
  }

  /** With a name that is an output of the graph. */
  addNamed(
    op: string,
    name: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Buffer>> = {},
  ): string {
    this.#nodes.push(
      message(
        ...inputs.map((input) => bytesField(1, input)),
        bytesField(2, name),
        bytesField(3, name),
        bytesField(4, op),
        ...Object.entries(attributes).map(([key, value]) => bytesField(5, message(bytesField(1, key), value))),
      ),
    );
    return name;
  }

  slice(name: string, x: string, axis: number, from: number, to: number): string {
    return this.add('Slice', name, [
      x,
      this.integers(`at ${from}`, [from]),
      this.integers(`at ${to}`, [to]),
      this.integers(`at ${axis}`, [axis]),
    ]);
  }

  floats(name: string, shape: readonly number[], data: Float32Array): string {
    return this.#constant(name, TYPE.float32, shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }

  integers(name: string, values: readonly number[]): string {
    return this.#constant(name, TYPE.int64, [values.length], new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  }

  #constant(name: string, type: number, shape: readonly number[], bytes: Uint8Array): string {
    const full = `const/${name}`;
    if (!this.#constants.has(full)) {
      const dimensions = shape.map((size) => integerField(1, size));
      this.#constants.set(
        full,
        message(...dimensions, integerField(2, type), bytesField(8, full), bytesField(9, bytes)),
      );
    }
    return full;
  }

  bytes(inputs: readonly Buffer[], outputs: readonly Buffer[]): Buffer {
    return message(
      ...this.#nodes.map((node) => bytesField(1, node)),
      bytesField(2, 'detector'),
      ...[...this.#constants.values()].map((constant) => bytesField(5, constant)),
      ...inputs.map((input) => bytesField(11, input)),
      ...outputs.map((output) => bytesField(12, output)),
    );
  }
}

const float = (value: number) => message(floatField(2, value), integerField(20, ATTRIBUTE.float));
const int = (value: number) => message(integerField(3, value), integerField(20, ATTRIBUTE.int));
const text = (value: string) => message(bytesField(4, value), integerField(20, ATTRIBUTE.string));
const ints = (values: readonly number[]) =>
  message(...values.map((value) => integerField(8, value)), integerField(20, ATTRIBUTE.ints));

function valueInfo(name: string, shape: readonly (number | string)[]): Buffer {
  const dimensions = shape.map((size) =>
    bytesField(1, typeof size === 'number' ? integerField(1, size) : bytesField(2, size)),
  );
  const type = message(bytesField(1, message(integerField(1, TYPE.float32), bytesField(2, message(...dimensions)))));
  return message(bytesField(1, name), bytesField(2, type));
}
