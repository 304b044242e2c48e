/** Weights as bytes: the model artifact. Equal weights give equal bytes, so their digest names the model. */

import { Buffer } from 'node:buffer';
import type { NamedTensor } from '../types.ts';

/**
 * Length of a JSON header (uint64), the header, then the data: the layout of safetensors
 * (https://huggingface.co/docs/safetensors), so that other programs can read it. Entries stand in the network's order.
 */
export function encodeWeights(weights: readonly NamedTensor[]): Uint8Array {
  let offset = 0;
  const header: Record<string, { dtype: 'F32'; shape: readonly number[]; data_offsets: [number, number] }> = {};
  for (const { name, shape, data } of weights) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let text = JSON.stringify(header);
  // Spaces at the end let the data begin at a multiple of eight, as the format asks.
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  const parts = weights.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return Buffer.concat([length, Buffer.from(text), ...parts]);
}

export function decodeWeights(bytes: Uint8Array): NamedTensor[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = buffer.length < 8 ? Number.POSITIVE_INFINITY : 8 + Number(buffer.readBigUInt64LE(0));
  if (start > buffer.length) throw new Error(`The weights have ${buffer.length} bytes and end within their header.`);
  const header = JSON.parse(buffer.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        if (dtype !== 'F32') throw new Error(`"${name}" has the type ${dtype}, expected F32.`);
        const size = shape.reduce((a, b) => a * b, 1) * 4;
        if (to - from !== size || start + to > buffer.length) {
          throw new Error(
            `"${name}" [${shape}] takes ${size} bytes, but the file holds ${Math.min(to, buffer.length - start) - from}.`,
          );
        }
        return { name, shape, data: new Float32Array(new Uint8Array(bytes.subarray(start + from, start + to)).buffer) };
      },
    );
}
