/** The complete state of a training as bytes, from which it goes on to the same weights, bit by bit. */

import { Buffer } from 'node:buffer';
import type { EpochSums } from './epoch-sums.ts';
import type { ClipState } from './schedule.ts';
import type { TrainState } from './train-graph.ts';
import type { ChainState } from './training-chain.ts';
import type { EpochReport, NonFiniteReturn } from './types.ts';

export interface Checkpoint {
  /** Steps done; the next one has this number. */
  readonly step: number;
  /** What the training was started with, as text: a checkpoint of another training must not be gone on with. */
  readonly identity: string;
  readonly clip: ClipState;
  readonly epochs: readonly EpochReport[];
  /** Sums over the steps of the epoch that is under way. */
  readonly sums: EpochSums;
  readonly returns: readonly NonFiniteReturn[];
  /** Null in trainings that do not go back by themselves. */
  readonly returnPoint: ReturnPoint | null;
  /** Null in checkpoints of releases that kept none. */
  readonly chain: ChainState | null;
  /** Variables of the training graph. */
  readonly state: TrainState;
  /** What the profile of the training has recorded so far. */
  readonly dynamics: Readonly<Record<string, Float32Array>>;
}

/** Where a training goes back to when its loss is no longer finite: its state at the end of an epoch. */
export interface ReturnPoint {
  readonly step: number;
  readonly clip: ClipState;
  /** Of the chain, there. */
  readonly head: string;
  readonly state: TrainState;
}

/** Also says "little-endian float32", which all machines that TensorFlow runs on have. */
const MAGIC = 'hardcase checkpoint 3\n';

/** A state of the training whose arrays are stored apart, under names with its prefix. */
const PREFIX = { state: '', returnPoint: 'return/', dynamics: 'dynamics/' } as const;

/** Magic, length of the header (uint32), header as JSON, then the arrays as float32 in the header's order. */
export function encodeCheckpoint({ state, dynamics, returnPoint, ...rest }: Checkpoint): Uint8Array {
  const entries = [
    ...Object.entries(state),
    ...prefixed(PREFIX.returnPoint, returnPoint?.state ?? {}),
    ...prefixed(PREFIX.dynamics, dynamics),
  ];
  const header: Header = {
    ...rest,
    returnPoint: returnPoint === null ? null : withoutState(returnPoint),
    arrays: entries.map(([name, data]) => ({ name, length: data.length })),
  };
  const headerBytes = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(headerBytes.length);
  const data = entries.map(([, a]) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength));
  return Buffer.concat([Buffer.from(MAGIC), length, headerBytes, ...data]);
}

function withoutState({ state, ...rest }: ReturnPoint): Omit<ReturnPoint, 'state'> {
  return rest;
}

/** The checkpoint without its arrays, but with their names and lengths. */
type Header = Omit<Checkpoint, 'state' | 'dynamics' | 'returnPoint'> & {
  readonly returnPoint: Omit<ReturnPoint, 'state'> | null;
  readonly arrays: readonly { readonly name: string; readonly length: number }[];
};

function prefixed(prefix: string, arrays: Readonly<Record<string, Float32Array>>): [string, Float32Array][] {
  return Object.entries(arrays).map(([name, data]) => [`${prefix}${name}`, data]);
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
  let header: Header;
  try {
    header = JSON.parse(buffer.toString('utf8', start, end)) as Header;
  } catch (cause) {
    throw new DamagedCheckpointError('The header of the checkpoint is damaged.', { cause });
  }
  const { arrays, returnPoint, ...rest } = header;
  const expected = end + arrays.reduce((sum, { length }) => sum + length * 4, 0);
  if (buffer.length !== expected) {
    throw new DamagedCheckpointError(`The checkpoint has ${buffer.length} bytes, but its header says ${expected}.`);
  }
  const all: Record<'state' | 'returnPoint' | 'dynamics', Record<string, Float32Array>> = {
    state: {},
    returnPoint: {},
    dynamics: {},
  };
  let offset = end;
  for (const { name, length } of arrays) {
    const kind = (['returnPoint', 'dynamics'] as const).find((each) => name.startsWith(PREFIX[each])) ?? 'state';
    // A copy, because the arrays do not begin at multiples of four. (`slice` of a Buffer would not be one.)
    const copy = new Float32Array(new Uint8Array(bytes.subarray(offset, offset + length * 4)).buffer);
    all[kind][name.slice(PREFIX[kind].length)] = copy;
    offset += length * 4;
  }
  return {
    ...rest,
    // Checkpoints of the first builds lack these two.
    chain: rest.chain ?? null,
    returnPoint: returnPoint === null ? null : { ...returnPoint, head: returnPoint.head ?? '', state: all.returnPoint },
    state: all.state,
    dynamics: all.dynamics,
  };
}
