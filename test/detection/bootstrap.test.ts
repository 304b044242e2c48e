import { describe, expect, it } from 'vitest';
import { accumulate, matchForAp } from '../../detection/average-precision.ts';
import { bootstrapAp, quantile } from '../../detection/bootstrap.ts';
import { type DetectionRow, detectionsFromRows } from '../../detection/detections.ts';
import { createRandom } from '../../detection/random.ts';
import type { Annotation } from '../../detection/types.ts';

/** A model that finds each of five targets an image with the given chance, among ten mistakes. */
function model(images: number, chance: number, seed: string) {
  const random = createRandom(seed);
  const imageIds = Array.from({ length: images }, (_, i) => i + 1);
  const annotations: Annotation[] = [];
  const rows: DetectionRow[] = [];
  for (const imageId of imageIds) {
    for (let t = 0; t < 5; t++) {
      const box = [t * 30, 0, t * 30 + 20, 20] as const;
      annotations.push({ id: `${imageId}-${t}`, imageId, categoryId: 1, box });
      if (random.next() < chance) {
        rows.push({ imageId, categoryId: 1, box: [box[0], 0, box[2], 15 + 5 * random.next()], score: random.next() });
      }
    }
    for (let f = 0; f < 10; f++) {
      rows.push({ imageId, categoryId: 1, box: [f * 20, 100, f * 20 + 15, 120], score: random.next() * 0.7 });
    }
  }
  const groundTruth = { categories: [{ id: 1, name: 'berry' }], imageIds, annotations };
  return matchForAp(groundTruth, detectionsFromRows(imageIds, rows));
}

function groups(images: number, size: number): Map<number, string> {
  return new Map(Array.from({ length: images }, (_, i) => [i + 1, `photo${Math.floor(i / size)}`]));
}

describe('bootstrapAp', () => {
  const good = model(60, 0.9, 'good');
  const poor = model(60, 0.6, 'poor');

  it('gives the estimate, an interval around it, and the paired difference', () => {
    const result = bootstrapAp([good, poor], [[0, 1]], groups(60, 3), { seed: 1, replicates: 300 });
    expect(result).toMatchObject({ replicates: 300, groups: 20 });
    const { AP, AP50 } = result.models[0]!;
    expect(AP!.value).toBe(accumulate(good).AP);
    expect(AP50!.value).toBe(accumulate(good).AP50);
    expect(AP!.low).toBeLessThan(AP!.value);
    expect(AP!.high).toBeGreaterThan(AP!.value);
    const difference = result.differences[0]!.AP!;
    expect(difference.value).toBe(accumulate(good).AP - accumulate(poor).AP);
    expect(difference.low).toBeGreaterThan(0);
  });

  it('finds no difference between a model and itself', () => {
    const result = bootstrapAp([good, good], [[0, 1]], groups(60, 1), { seed: 1, replicates: 50 });
    expect(result.differences[0]!.AP).toEqual({ value: 0, low: 0, high: 0 });
  });

  it('repeats itself with the same seed, and only then', () => {
    const run = (seed: number) => bootstrapAp([good], [], groups(60, 1), { seed, replicates: 50 });
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });

  it('has no width where all images are one group', () => {
    const { AP } = bootstrapAp([good], [], groups(60, 60), { seed: 1, replicates: 20 }).models[0]!;
    expect(AP!.low).toBeCloseTo(AP!.value, 12);
    expect(AP!.high).toBeCloseTo(AP!.value, 12);
  });

  it('leaves out replicates without ground truth', () => {
    const matches = matchForAp(
      {
        categories: [{ id: 1, name: 'berry' }],
        imageIds: [1, 2],
        annotations: [{ id: 'a', imageId: 1, categoryId: 1, box: [0, 0, 9, 9] }],
      },
      detectionsFromRows([1, 2], [{ imageId: 1, categoryId: 1, box: [0, 0, 9, 9], score: 1 }]),
    );
    const { AP } = bootstrapAp([matches], [], groups(2, 1), { seed: 1, replicates: 100 }).models[0]!;
    expect(AP!.low).toBeCloseTo(1, 12);
  });

  it('refuses models of other images and images without a group', () => {
    expect(() => bootstrapAp([good, model(10, 0.5, 'x')], [], groups(60, 1), { seed: 1 })).toThrow(
      'Model 1 was matched on 10 images, model 0 on 60; a paired bootstrap needs the same ones.',
    );
    expect(() => bootstrapAp([good], [], new Map(), { seed: 1 })).toThrow('Image 1 has no group');
  });
});

it('quantile interpolates between neighbours', () => {
  expect(quantile([0, 10], 0.25)).toBe(2.5);
  expect(quantile([3], 0.975)).toBe(3);
});
