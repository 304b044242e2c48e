/**
 * Named arrays as bytes, in the safetensors format (https://github.com/huggingface/safetensors#format), so that a
 * model of the store opens in other tools as it is. Equal arrays and metadata give equal bytes.
 */

import { canonicalJson } from '../plan/canonical.ts';

type TensorData = Float32Array | Float64Array | Int32Array;

export interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface TensorFile {
  /** In the order they were written. */
  readonly tensors: readonly TensorEntry[];
  readonly metadata: { readonly [name: string]: string };
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Arrays with 8-byte numbers must come first, so that every array lies on a multiple of its own width. */
export function encodeTensors({ tensors, metadata }: TensorFile): Buffer {
  const header: { [name: string]: unknown } = { __metadata__: metadata };
  let end = 0;
  for (const { name, shape, data } of tensors) {
    if (name in header) throw new Error(`Internal error: two arrays are named "${name}".`);
    const count = shape.reduce((product, side) => product * side, 1);
    if (count !== data.length) {
      throw new Error(`Internal error: "${name}" has ${data.length} numbers, but its shape [${shape}] needs ${count}.`);
    }
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const json = Buffer.from(canonicalJson(header));
  // Spaces after the header are part of the format; they align the numbers.
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const file = Buffer.alloc(8 + headerBytes + end, 0x20);
  file.writeBigUInt64LE(BigInt(headerBytes), 0);
  json.copy(file, 8);
  let offset = 8 + headerBytes;
  for (const { data } of tensors) {
    file.set(littleEndian(data), offset);
    offset += data.byteLength;
  }
  return file;
}

/** Throws, saying what is wrong, on bytes that `encodeTensors` did not write. */
export function decodeTensors(file: Uint8Array): TensorFile {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < 8) throw new Error(`${file.byteLength} bytes are too few for a file of arrays.`);
  const headerBytes = Number(view.getBigUint64(0, true));
  const start = 8 + headerBytes;
  if (start > file.byteLength) throw new Error(`The header of ${headerBytes} bytes does not fit the file.`);
  const header: { [name: string]: unknown } = JSON.parse(Buffer.from(file.subarray(8, start)).toString());
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = (Object.entries(entries) as [string, HeaderEntry][])
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1])
    .map(([name, { dtype, shape, data_offsets: offsets }]) => {
      if (start + offsets[1] > file.byteLength) throw new Error(`Array "${name}" reaches beyond the end of the file.`);
      return { name, shape, data: numbersOf(name, dtype, file.slice(start + offsets[0], start + offsets[1])) };
    });
  return { tensors, metadata: metadata as { [name: string]: string } };
}

function dtypeOf(data: TensorData): string {
  if (data instanceof Float32Array) return 'F32';
  return data instanceof Float64Array ? 'F64' : 'I32';
}

/** `bytes` is a copy with a buffer of its own, which a typed array may look at from its first byte. */
function numbersOf(name: string, dtype: string, bytes: Uint8Array): TensorData {
  const own = new Uint8Array(bytes);
  swapOnBigEndian(own, dtype === 'F64' ? 8 : 4);
  if (dtype === 'F32') return new Float32Array(own.buffer);
  if (dtype === 'F64') return new Float64Array(own.buffer);
  if (dtype === 'I32') return new Int32Array(own.buffer);
  throw new Error(`Array "${name}" has the type ${dtype}; expected F32, F64 or I32.`);
}

function littleEndian(data: TensorData): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  swapOnBigEndian(bytes, data.BYTES_PER_ELEMENT);
  return bytes;
}

const isBigEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0;

function swapOnBigEndian(bytes: Uint8Array, width: number): void {
  if (!isBigEndian) return;
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse();
}
