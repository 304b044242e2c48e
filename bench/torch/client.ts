/** A PyTorch process that answers requests: the other end of serve.py, whose first comment describes the messages. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TargetBatch } from '../../detection/model/targets.ts';
import type { TrainOptions } from '../../detection/model/types.ts';
import type { Architecture, NamedTensor } from '../../detection/types.ts';

export type Values = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface NamedArray {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Values;
}

export interface Answer {
  readonly values: Readonly<Record<string, unknown>>;
  readonly arrays: ReadonlyMap<string, NamedArray>;
}

/** How the detector is to be built there. */
export interface TorchSetup {
  readonly architecture: Architecture;
  readonly options: TrainOptions;
  readonly weights: readonly NamedTensor[];
  readonly dtype?: 'float32' | 'float64';
  readonly layout?: 'channels_first' | 'channels_last';
  readonly compile?: boolean;
  /** `same`: as TensorFlow pads; `symmetric`: as PyTorch nets usually do, which costs less there. */
  readonly padding?: 'same' | 'symmetric';
  readonly threads: number;
  /** Keep a moving average of the weights. */
  readonly average?: boolean;
  /** Slots of the optimizer and averages to go on from, named `slot1/…`, `slot2/…`, `average/…`, and the updates made before. */
  readonly state?: readonly NamedArray[];
  readonly step?: number;
}

/** What changes from step to step; `norm` asks for the norm of the gradient, which clipping needs. */
export interface TorchStep {
  readonly learningRate: number;
  readonly clipNorm: number;
  readonly emaDecay: number;
  readonly statisticsRate: number;
  readonly norm: boolean;
  readonly gather?: boolean;
}

export interface TorchReport {
  readonly total: number;
  readonly box: number;
  readonly objectness: number;
  readonly class: number;
  readonly gradientNorm: number | null;
}

export class TorchProcess {
  readonly #child: ChildProcess;
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  readonly #ended: Promise<void>;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  /** Bytes to wait for before parsing is tried again. */
  #needed = 4;
  #errors = '';
  #closed: Error | null = null;

  constructor(python: string, threads: number) {
    const program = join(torchFolder(), 'serve.py');
    const env = { ...process.env, OMP_NUM_THREADS: String(threads), PYTHONDONTWRITEBYTECODE: '1' };
    this.#child = spawn(python, ['-u', program], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout!.on('data', (part: Buffer) => this.#receive(part));
    this.#child.stderr!.on('data', (part: Buffer) => {
      this.#errors = (this.#errors + part.toString()).slice(-4000);
    });
    // The end of the process is what tells; a write after it would say so a second time.
    this.#child.stdin!.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      const end = (error: Error) => {
        this.#closed ??= error;
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        resolve();
      };
      this.#child.on('error', (error) => end(new Error(`${python} cannot be started: ${error.message}`)));
      this.#child.on('close', (status, signal) =>
        end(new Error(`The PyTorch process ended with ${signal ?? `status ${status}`}.\n${this.#errors}`)),
      );
    });
  }

  open(setup: TorchSetup): Promise<Answer> {
    const { architecture, options, weights, state = [] } = setup;
    const values = {
      kind: 'open',
      architecture,
      options,
      dtype: setup.dtype ?? 'float32',
      layout: setup.layout ?? 'channels_first',
      compile: setup.compile ?? false,
      padding: setup.padding ?? 'same',
      threads: setup.threads,
      average: setup.average ?? false,
      step: setup.step ?? 0,
    };
    return this.#ask(values, [...weights, ...state]);
  }

  /** The batch of the steps that follow. Resolves when the bytes are handed over, so that the next can be made meanwhile. */
  async sendBatch(pixels: Uint8Array, inputSize: number, targets: TargetBatch): Promise<void> {
    const count = pixels.length / (inputSize * inputSize * 3);
    const positives = targets.positives;
    const rowCount = targets.rows.length;
    const arrays: NamedArray[] = [
      { name: 'pixels', shape: [count, inputSize, inputSize, 3], data: pixels },
      { name: 'objectness', shape: [targets.objectness.length], data: targets.objectness },
      { name: 'counted', shape: [targets.counted.length], data: targets.counted },
      { name: 'rows', shape: [rowCount], data: targets.rows },
      { name: 'cells', shape: [rowCount, 5], data: targets.cells },
      { name: 'boxes', shape: [rowCount, 4], data: targets.boxes },
      { name: 'classes', shape: [rowCount, targets.classes.length / rowCount], data: targets.classes },
      { name: 'weights', shape: [rowCount], data: targets.weights },
    ];
    await this.#write({ kind: 'batch', positives }, arrays);
  }

  async step(settings: TorchStep): Promise<TorchReport> {
    return (await this.#ask({ kind: 'step', settings: jsonSettings(settings) })).values as unknown as TorchReport;
  }

  /** [B, N, 5 + C] raw rows of the batch in evaluation mode. */
  async infer(): Promise<NamedArray> {
    return (await this.#ask({ kind: 'infer' })).arrays.get('rows')!;
  }

  /** Gradients of the last step, after clipping. */
  async gradients(): Promise<ReadonlyMap<string, NamedArray>> {
    return (await this.#ask({ kind: 'gradients' })).arrays;
  }

  async state(): Promise<ReadonlyMap<string, NamedArray>> {
    return (await this.#ask({ kind: 'state' })).arrays;
  }

  /** Milliseconds of each of `count` equal steps. */
  async repeat(what: 'train' | 'infer', count: number, settings: TorchStep): Promise<number[]> {
    const { values } = await this.#ask({ kind: 'repeat', what, count, settings: jsonSettings(settings) });
    return values.milliseconds as number[];
  }

  async peakBytes(): Promise<number> {
    return (await this.#ask({ kind: 'peak' })).values.bytes as number;
  }

  /** Ends the process and waits for its end. */
  async close(): Promise<void> {
    this.#closed ??= new Error('The PyTorch process was closed.');
    this.#child.stdin!.end();
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await this.#ended;
    clearTimeout(killer);
  }

  async #ask(values: object, arrays: readonly NamedArray[] = []): Promise<Answer> {
    if (this.#closed !== null) throw this.#closed;
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    // A process that ends meanwhile rejects the answer, which says why.
    this.#write(values, arrays).catch(() => {});
    return answer;
  }

  async #write(values: object, arrays: readonly NamedArray[]): Promise<void> {
    if (this.#closed !== null) throw this.#closed;
    const list = arrays.map(({ name, shape, data }) => [name, dtypeOf(data), shape]);
    const header = Buffer.from(JSON.stringify({ ...values, arrays: list }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    const stdin = this.#child.stdin!;
    stdin.cork();
    stdin.write(length);
    stdin.write(header);
    // Copies: the caller may fill its arrays again before the pipe has taken them.
    for (const { data } of arrays) stdin.write(Buffer.from(bytesOf(data)));
    const isFull = stdin.writableLength >= stdin.writableHighWaterMark;
    stdin.uncork();
    if (isFull) await Promise.race([new Promise((resolve) => stdin.once('drain', resolve)), this.#ended]);
    if (this.#closed !== null) throw this.#closed;
  }

  #receive(part: Buffer): void {
    this.#received.push(part);
    this.#receivedBytes += part.length;
    if (this.#receivedBytes < this.#needed) return;
    let all = Buffer.concat(this.#received);
    for (;;) {
      const size = messageSize(all);
      if (all.length < size) {
        this.#needed = size;
        break;
      }
      this.#waiting.shift()?.resolve(parseMessage(all.subarray(0, size)));
      all = all.subarray(size);
    }
    this.#received = [all];
    this.#receivedBytes = all.length;
  }
}

interface Header extends Record<string, unknown> {
  readonly arrays: readonly (readonly [name: string, dtype: string, shape: readonly number[]])[];
}

const TYPES = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;

/** Bytes of the message that begins here, as far as can be told yet. */
function messageSize(bytes: Buffer): number {
  if (bytes.length < 4) return 4;
  const start = 4 + bytes.readUInt32LE(0);
  if (bytes.length < start) return start;
  const header = JSON.parse(bytes.toString('utf8', 4, start)) as Header;
  return start + header.arrays.reduce((sum, [, dtype, shape]) => sum + sizeOf(dtype, shape), 0);
}

function parseMessage(bytes: Buffer): Answer {
  let at = 4 + bytes.readUInt32LE(0);
  const { arrays: list, ...values } = JSON.parse(bytes.toString('utf8', 4, at)) as Header;
  const arrays = new Map<string, NamedArray>();
  for (const [name, dtype, shape] of list) {
    const size = sizeOf(dtype, shape);
    // A copy of its own, aligned as its type needs.
    const data = new TYPES[dtype as keyof typeof TYPES](new Uint8Array(bytes.subarray(at, at + size)).buffer);
    arrays.set(name, { name, shape, data });
    at += size;
  }
  return { values, arrays };
}

function sizeOf(dtype: string, shape: readonly number[]): number {
  const type = TYPES[dtype as keyof typeof TYPES];
  if (type === undefined) throw new Error(`PyTorch answered with an array of ${dtype}, which is not read here.`);
  return shape.reduce((a, b) => a * b, 1) * type.BYTES_PER_ELEMENT;
}

function dtypeOf(data: Values): string {
  return Object.entries(TYPES).find(([, type]) => data instanceof type)![0];
}

function bytesOf(data: Values): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** JSON has no infinity; no bound is null there. */
function jsonSettings(settings: TorchStep): object {
  return { ...settings, clipNorm: Number.isFinite(settings.clipNorm) ? settings.clipNorm : null };
}

/** The Python files stay in the source tree; this module may run from dist/. */
export function torchFolder(): string {
  let root = import.meta.dirname;
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return join(root, 'bench', 'torch');
}
