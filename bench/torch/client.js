/** A PyTorch process that answers requests: the other end of serve.py, whose first comment describes the messages. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
export class TorchProcess {
  #child;
  #waiting = [];
  #ended;
  #received = [];
  #receivedBytes = 0;
  /** Bytes to wait for before parsing is tried again. */
  #needed = 4;
  #errors = '';
  #closed = null;
  constructor(python, threads) {
    const program = join(sourceFolder(), 'serve.py');
    const env = { ...process.env, OMP_NUM_THREADS: String(threads), PYTHONDONTWRITEBYTECODE: '1' };
    this.#child = spawn(python, ['-u', program], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout.on('data', (part) => this.#receive(part));
    this.#child.stderr.on('data', (part) => {
      this.#errors = (this.#errors + part.toString()).slice(-4000);
    });
    // The end of the process is what tells; a write after it would say so a second time.
    this.#child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      const end = (error) => {
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
  open(setup) {
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
  async sendBatch(pixels, inputSize, targets) {
    const count = pixels.length / (inputSize * inputSize * 3);
    const positives = targets.positives;
    const rowCount = targets.rows.length;
    const arrays = [
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
  async step(settings) {
    return (await this.#ask({ kind: 'step', settings: jsonSettings(settings) })).values;
  }
  /** [B, N, 5 + C] raw rows of the batch in evaluation mode. */
  async infer() {
    return (await this.#ask({ kind: 'infer' })).arrays.get('rows');
  }
  /** Gradients of the last step, after clipping. */
  async gradients() {
    return (await this.#ask({ kind: 'gradients' })).arrays;
  }
  async state() {
    return (await this.#ask({ kind: 'state' })).arrays;
  }
  /** Milliseconds of each of `count` equal steps. */
  async repeat(what, count, settings) {
    const { values } = await this.#ask({ kind: 'repeat', what, count, settings: jsonSettings(settings) });
    return values.milliseconds;
  }
  async peakBytes() {
    return (await this.#ask({ kind: 'peak' })).values.bytes;
  }
  /** Ends the process and waits for its end. */
  async close() {
    this.#closed ??= new Error('The PyTorch process was closed.');
    this.#child.stdin.end();
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await this.#ended;
    clearTimeout(killer);
  }
  async #ask(values, arrays = []) {
    if (this.#closed !== null) throw this.#closed;
    const answer = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    // A process that ends meanwhile rejects the answer, which says why.
    this.#write(values, arrays).catch(() => {});
    return answer;
  }
  async #write(values, arrays) {
    if (this.#closed !== null) throw this.#closed;
    const list = arrays.map(({ name, shape, data }) => [name, dtypeOf(data), shape]);
    const header = Buffer.from(JSON.stringify({ ...values, arrays: list }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    const stdin = this.#child.stdin;
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
  #receive(part) {
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
const TYPES = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array };
/** Bytes of the message that begins here, as far as can be told yet. */
function messageSize(bytes) {
  if (bytes.length < 4) return 4;
  const start = 4 + bytes.readUInt32LE(0);
  if (bytes.length < start) return start;
  const header = JSON.parse(bytes.toString('utf8', 4, start));
  return start + header.arrays.reduce((sum, [, dtype, shape]) => sum + sizeOf(dtype, shape), 0);
}
function parseMessage(bytes) {
  let at = 4 + bytes.readUInt32LE(0);
  const { arrays: list, ...values } = JSON.parse(bytes.toString('utf8', 4, at));
  const arrays = new Map();
  for (const [name, dtype, shape] of list) {
    const size = sizeOf(dtype, shape);
    // A copy of its own, aligned as its type needs.
    const data = new TYPES[dtype](new Uint8Array(bytes.subarray(at, at + size)).buffer);
    arrays.set(name, { name, shape, data });
    at += size;
  }
  return { values, arrays };
}
function sizeOf(dtype, shape) {
  const type = TYPES[dtype];
  if (type === undefined) throw new Error(`PyTorch answered with an array of ${dtype}, which is not read here.`);
  return shape.reduce((a, b) => a * b, 1) * type.BYTES_PER_ELEMENT;
}
function dtypeOf(data) {
  return Object.entries(TYPES).find(([, type]) => data instanceof type)[0];
}
function bytesOf(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
/** JSON has no infinity; no bound is null there. */
function jsonSettings(settings) {
  return { ...settings, clipNorm: Number.isFinite(settings.clipNorm) ? settings.clipNorm : null };
}
/** The Python files stay in the source tree; this module may run from dist/. */
function sourceFolder() {
  let root = import.meta.dirname;
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return join(root, 'bench', 'torch');
}
//# sourceMappingURL=client.js.map
