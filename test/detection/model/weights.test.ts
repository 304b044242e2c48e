import { expect, test } from 'vitest';
import { DamagedCheckpointError, decodeCheckpoint, encodeCheckpoint } from '../../../detection/model/checkpoint.ts';
import { initialWeights } from '../../../detection/model/network.ts';
import { CLIP_OFF } from '../../../detection/model/schedule.ts';
import { decodeWeights, encodeWeights } from '../../../detection/model/weights.ts';
import { tiny } from './scenes.ts';

test('weights come back from their bytes, in order, and equal weights have equal bytes', () => {
  const weights = initialWeights(tiny, 1);
  const bytes = encodeWeights(weights);
  expect(decodeWeights(bytes)).toEqual(weights);
  expect(encodeWeights(decodeWeights(bytes))).toEqual(bytes);
  // Also from the middle of a larger buffer, at an odd place.
  const larger = new Uint8Array(bytes.length + 3);
  larger.set(bytes, 3);
  expect(decodeWeights(larger.subarray(3))).toEqual(weights);
});

test('the layout is that of safetensors', () => {
  const bytes = encodeWeights([{ name: 'a', shape: [2], data: Float32Array.of(1, -2) }]);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  expect(header).toEqual({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
});

test('weights that end too early are refused', () => {
  const bytes = encodeWeights([{ name: 'a', shape: [2], data: Float32Array.of(1, -2) }]);
  expect(() => decodeWeights(bytes.subarray(0, bytes.length - 1))).toThrow(
    '"a" [2] takes 8 bytes, but the file holds 7.',
  );
  expect(() => decodeWeights(bytes.subarray(0, 4))).toThrow('end within their header');
});

const checkpoint = {
  step: 7,
  identity: 'x',
  clip: CLIP_OFF,
  epochs: [],
  returns: [],
  returnPoint: null,
  chain: null,
  dynamics: {},
  sums: { steps: 1, total: 1, box: 1, objectness: 1, class: 0, gradientNorm: 2, clipped: 0, seconds: 0.5, waited: 0 },
  // Numbers that text would change.
  state: { weights: Float32Array.of(0.1, -0, 1e-45, 3.4028234663852886e38), slot1: Float32Array.of(1 / 3) },
};

test('a checkpoint comes back whole', () => {
  const found = decodeCheckpoint(encodeCheckpoint(checkpoint));
  expect(found).toEqual(checkpoint);
  expect(Object.is(found.state.weights![1], -0)).toBe(true);
});

test('a damaged checkpoint is refused', () => {
  const bytes = encodeCheckpoint(checkpoint);
  for (const damaged of [
    bytes.subarray(0, 10),
    bytes.subarray(0, 40),
    bytes.subarray(0, bytes.length - 1),
    bytes.subarray(1),
  ]) {
    expect(() => decodeCheckpoint(damaged)).toThrow(DamagedCheckpointError);
  }
});
