/** A protocol-buffer writer: just the wire format (https://protobuf.dev/programming-guides/encoding/), no schemas. */

import { Buffer } from 'node:buffer';

/** A signed or unsigned integer field; negative numbers take ten bytes, as int32 and int64 demand. */
export function integerField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

export function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint((field << 3) | 5), bytes]);
}

/** A string, bytes or embedded message. */
export function bytesField(field: number, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

/** An entry of a map<string, message>. */
export function mapEntry(field: number, key: string, value: Uint8Array): Buffer {
  return bytesField(field, message(bytesField(1, key), bytesField(2, value)));
}

export function message(...fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(fields);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
