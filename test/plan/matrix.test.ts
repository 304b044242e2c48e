/** Combinations of a matrix, and the names of its legs. */

import { describe, expect, test } from 'vitest';
import { type Combination, duplicateOf, expandMatrix, nameLegs } from '../../plan/matrix.ts';

const none = { axes: {}, exclude: [], include: [] };

describe('a matrix', () => {
  test('has all combinations of its axes, the last one fastest', () => {
    expect(expandMatrix({ ...none, axes: { a: [1, 2], b: ['x', 'y'] } })).toEqual([
      { a: 1, b: 'x' },
      { a: 1, b: 'y' },
      { a: 2, b: 'x' },
      { a: 2, b: 'y' },
    ]);
  });

  test('leaves out what has all values of an entry of exclude', () => {
    const axes = { a: [1, 2], b: ['x', 'y'] };
    expect(expandMatrix({ ...none, axes, exclude: [{ a: 2 }, { a: 1, b: 'y' }] })).toEqual([{ a: 1, b: 'x' }]);
    expect(expandMatrix({ ...none, axes, exclude: [{ a: 1 }, { a: 2 }] })).toEqual([]);
  });

  test('takes in entries of include as GitHub Actions does', () => {
    // The example of GitHub's own page.
    const include: Combination[] = [
      { color: 'green' },
      { color: 'pink', animal: 'cat' },
      { fruit: 'apple', shape: 'circle' },
      { fruit: 'banana' },
      { fruit: 'banana', animal: 'cat' },
    ];
    expect(expandMatrix({ ...none, axes: { fruit: ['apple', 'pear'], animal: ['cat', 'dog'] }, include })).toEqual([
      { fruit: 'apple', animal: 'cat', color: 'pink', shape: 'circle' },
      { fruit: 'apple', animal: 'dog', color: 'green', shape: 'circle' },
      { fruit: 'pear', animal: 'cat', color: 'pink' },
      { fruit: 'pear', animal: 'dog', color: 'green' },
      { fruit: 'banana' },
      { fruit: 'banana', animal: 'cat' },
    ]);
  });

  test('without axes is its entries of include', () => {
    const include: Combination[] = [{ site: 'a' }, { site: 'b', epochs: 3 }];
    expect(expandMatrix({ ...none, include })).toEqual(include);
  });

  test('knows values that come twice', () => {
    expect(duplicateOf([{ a: 1 }, { a: 2 }, { a: 1 }])).toEqual([0, 2]);
    expect(duplicateOf([{ a: 1 }, { a: '1' }])).toBeNull();
  });
});

describe('a leg', () => {
  const namesOf = (...combinations: Parameters<typeof nameLegs>[0]) => nameLegs(combinations).map(({ name }) => name);

  test('is named by its values, in the order of the names', () => {
    expect(namesOf({ width: 0.25, lr: 0.01 }, { lr: true, width: 'wide' })).toEqual([
      'lr=0.01,width=0.25',
      'lr=true,width=wide',
    ]);
  });

  test('has a digest where words do not tell it apart or are none', () => {
    const names = namesOf({ a: 1 }, { a: '1' }, { a: { b: 1 } }, { a: 'in the field, 2021' }, { a: 'x'.repeat(80) });
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(name).toMatch(/^a=[\w.-]*-?[0-9a-f]{8}$/);
  });

  test('with many values has a name that fits into a file name', () => {
    const values = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`axis${i}`, i]));
    expect(namesOf(values)[0]!.length).toBeLessThanOrEqual(64);
  });
});
