import { expect, test } from 'vitest';
import { createRandom, hashSeed, restoreRandom } from '../../detection/random.ts';

test('equal seeds give equal numbers, other seeds others', () => {
  const take = (seed: number | string) => Array.from({ length: 5 }, createRandom(seed).next);
  expect(take(7)).toEqual(take(7));
  expect(take(7)).not.toEqual(take(8));
  expect(take(7)).not.toEqual(take('7'));
});

test('a restored generator goes on where the state was taken', () => {
  const random = createRandom('a');
  random.normal();
  const { state } = random;
  const expected = [random.next(), random.normal(), random.int(10)];
  const restored = restoreRandom(JSON.parse(JSON.stringify(state)));
  expect([restored.next(), restored.normal(), restored.int(10)]).toEqual(expected);
});

test('uniform and normal numbers have the moments they should', () => {
  const random = createRandom(1);
  const n = 100_000;
  const moments = (draw: () => number) => {
    const values = Array.from({ length: n }, draw);
    const mean = values.reduce((a, b) => a + b) / n;
    return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n];
  };
  const [uniformMean, uniformVariance] = moments(random.next);
  expect(uniformMean).toBeCloseTo(1 / 2, 2);
  expect(uniformVariance).toBeCloseTo(1 / 12, 2);
  const [normalMean, normalVariance] = moments(random.normal);
  expect(normalMean).toBeCloseTo(0, 1.7);
  expect(normalVariance).toBeCloseTo(1, 1.7);
});

test('a hash of parts keeps them apart and fits 32 bits', () => {
  expect(hashSeed('ab', 'c')).not.toBe(hashSeed('a', 'bc'));
  expect(hashSeed(1)).not.toBe(hashSeed('1'));
  expect(hashSeed('x', 3)).toBe(hashSeed('x', 3));
  const hashes = new Set(Array.from({ length: 10_000 }, (_, i) => hashSeed('epoch', i)));
  // Of 10,000 random 32-bit numbers, 0.01 pairs are expected to be equal.
  expect(hashes.size).toBeGreaterThan(9_997);
  for (const hash of hashes) expect(hash >>> 0).toBe(hash);
});
