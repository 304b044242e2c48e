/** The complete state of a training as bytes, from which it goes on to the same weights, bit by bit. */

import { Buffer } from 'node:buffer';
import type { ClipState } from './schedule.ts';
import type { StepReport, TrainState } from './train-graph.ts';
import type { EpochReport } from './types.ts';

export interface Checkpoint {
  /** Steps done; the next one has this number. */
  readonly step: number;
  /** What the training was started with, as text: a checkpoint of another training must not be gone on with. */
  readonly identity: string;
  readonly clip: ClipState;
  readonly epochs: readonly EpochReport[];
  /** Sums over the steps of the epoch that is under way. */
  readonly sums: EpochSums;
  /** Variables of the training graph. */
  readonly state: TrainState;
}

export type EpochSums = StepReport & {
  readonly steps: number;
  readonly clipped: number;
  readonly seconds: number;
  readonly waited: number;
};

/** Also says "little-endian float32", which all machines that TensorFlow runs on have. */
const MAGIC = 'hardcase checkpoint 1\n';

/** Magic, length of the header (uint32), header as JSON, then the arrays as float32 in the header's order. */
export function encodeCheckpoint({ state, ...rest }: Checkpoint): Uint8Array {
  const arrays = Object.entries(state).map(([name, data]) => ({ name, length: data.length }));
  const header = Buffer.from(JSON.stringify({ ...rest, arrays }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const data = Object.values(state).map((a) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength));
  return Buffer.concat([Buffer.from(MAGIC), length, header, ...data]);
}

export class DamagedCheckpointError extends Error {
  override name = 'DamagedCheckpointError';
}

export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = MAGIC.length + 4;
  if (buffer.length < start || buffer.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new DamagedCheckpointError('The checkpoint does not begin as one.');
  }
  const end = start + buffer.readUInt32LE(MAGIC.length);
  let header: Omit<Checkpoint, 'state'> & { arrays: { name: string; length: number }[] };
  try {
    header = JSON.parse(buffer.toString('utf8', start, end));
  } catch (cause) {
    throw new DamagedCheckpointError('The header of the checkpoint is damaged.', { cause });
  }
  const { arrays, ...rest } = header;
  const expected = end + arrays.reduce((sum, { length }) => sum + length * 4, 0);
  if (buffer.length !== expected) {
    throw new DamagedCheckpointError(`The checkpoint has ${buffer.length} bytes, but its header says ${expected}.`);
  }
  const state: Record<string, Float32Array> = {};
  let offset = end;
  for (const { name, length } of arrays) {
    // A copy, because the arrays do not begin at multiples of four. (`slice` of a Buffer would not be one.)
    state[name] = new Float32Array(new Uint8Array(bytes.subarray(offset, offset + length * 4)).buffer);
    offset += length * 4;
  }
  return { ...rest, state };
}
