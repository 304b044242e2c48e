import { describe, expect, it } from 'vitest';
import { fingerprintOf, stepSeed } from '../../artifacts/fingerprint.ts';
import type { ArtifactRef } from '../../plan/types.ts';

const dataset: ArtifactRef = { artifact: 'dataset', digest: 'a'.repeat(64), bytes: 10 };
const step = { kind: 'train', version: 1, with: { dataset, epochs: 30 }, seed: 7 };

describe('The fingerprint of a step', () => {
  it('is a digest that does not depend on the order in which parameters are written', () => {
    expect(fingerprintOf(step)).toMatch(/^[0-9a-f]{64}$/);
    expect(fingerprintOf({ ...step, with: { epochs: 30, dataset } })).toBe(fingerprintOf(step));
  });

  it.each([
    ['kind', { ...step, kind: 'detect' }],
    ['code version', { ...step, version: 2 }],
    ['seed', { ...step, seed: 8 }],
    ['absence of a seed', { ...step, seed: undefined }],
    ['parameter', { ...step, with: { dataset, epochs: 31 } }],
    ['input', { ...step, with: { dataset: { ...dataset, digest: 'b'.repeat(64) }, epochs: 30 } }],
    ['order of a list', { ...step, with: { dataset, epochs: 30, models: ['a', 'b'] } }],
  ])('changes with its %s', (_, other) => {
    expect(fingerprintOf(other)).not.toBe(fingerprintOf(step));
  });

  it('keeps the order of lists, because merges and rounds have one', () => {
    const one = fingerprintOf({ ...step, with: { models: ['a', 'b'] } });
    expect(fingerprintOf({ ...step, with: { models: ['b', 'a'] } })).not.toBe(one);
  });

  it('takes of a reference the digest alone, at any depth', () => {
    const sized = { ...dataset, bytes: 11 };
    const one = fingerprintOf({ ...step, with: { replay: { from: dataset }, models: [dataset] } });
    expect(fingerprintOf({ ...step, with: { replay: { from: sized }, models: [sized] } })).toBe(one);
  });

  it('leaves out how long to wait, how often to save and where to copy', () => {
    const more = { ...step.with, after: { remind: '4h' }, to: 'out', checkpointEvery: '5s' };
    expect(fingerprintOf({ ...step, with: more })).toBe(fingerprintOf(step));
  });
});

describe('The seed of a step', () => {
  it('is a 32-bit number that differs between paths and between seeds of the pipeline', () => {
    const seeds = [
      stepSeed(1, 'train'),
      stepSeed(2, 'train'),
      stepSeed(1, 'rounds[1].train'),
      stepSeed(1, 'rounds[2].train'),
    ];
    expect(new Set(seeds).size).toBe(4);
    for (const seed of seeds) expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true);
    expect(stepSeed(1, 'train')).toBe(seeds[0]);
  });
});
