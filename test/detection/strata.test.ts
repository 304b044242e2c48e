import { describe, expect, it } from 'vitest';
import { strataByDifficulty, strataByTargets } from '../../detection/strata.ts';
import type { Annotation } from '../../detection/types.ts';

const labels = (imageId: number, count: number, more: Partial<Annotation> = {}): Annotation[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `${imageId}-${more.categoryId ?? 1}-${i}`,
    imageId,
    categoryId: 1,
    box: [0, 0, 1, 1],
    ...more,
  }));

describe('strata of images', () => {
  it('puts images with about as many targets together', () => {
    const annotations = [2, 3, 4, 7, 8].flatMap((count) => labels(count, count));
    const strata = strataByTargets([1, 2, 3, 4, 7, 8], annotations);
    const of = (id: number) => strata.get(id);
    expect(of(2)).toBe(of(3));
    expect(of(4)).toBe(of(7));
    expect(new Set([1, 2, 4, 8].map(of)).size).toBe(4);
  });

  it('keeps images with other categories apart', () => {
    const annotations = [
      ...labels(1, 2),
      ...labels(2, 2, { categoryId: 2 }),
      ...labels(3, 1),
      ...labels(3, 1, { categoryId: 2 }),
    ];
    expect(new Set(strataByTargets([1, 2, 3], annotations).values()).size).toBe(3);
  });

  it('counts neither crowds nor ignore regions as targets', () => {
    const annotations = [...labels(1, 3, { ignore: true }), ...labels(2, 1, { crowd: true })];
    const strata = strataByTargets([1, 2, 3], annotations);
    expect(new Set(strata.values()).size).toBe(1);
  });

  it('splits images into quarters by their loss, and sets those without targets apart', () => {
    const losses = new Map([1, 2, 3, 4, 5, 6, 7, 8].map((id) => [id, 10 - id]));
    const strata = strataByDifficulty([1, 2, 3, 4, 5, 6, 7, 8, 9], losses);
    expect([8, 7, 6, 5, 4, 3, 2, 1].map((id) => strata.get(id))).toEqual(
      [1, 1, 2, 2, 3, 3, 4, 4].map((quarter) => `quarter ${quarter}`),
    );
    expect(strata.get(9)).toBe('no targets');
  });
});
