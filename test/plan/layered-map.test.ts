import { expect, test } from 'vitest';
import { LayeredMap } from '../../plan/layered-map.ts';

test('own entries come first and hide those around them, which may still change', () => {
  const outer = new Map([
    ['data', 1],
    ['train', 2],
  ]);
  const inner = new LayeredMap(outer, [['train', 3]]);
  inner.set('mine', 4);
  outer.set('late', 5);
  expect([...inner]).toEqual([
    ['train', 3],
    ['mine', 4],
    ['data', 1],
    ['late', 5],
  ]);
  expect([...inner.keys()]).toEqual(['train', 'mine', 'data', 'late']);
  expect([...inner.values()]).toEqual([3, 4, 1, 5]);
  expect([inner.size, inner.get('data'), inner.get('train'), inner.has('late'), inner.has('none')]).toEqual([
    4,
    1,
    3,
    true,
    false,
  ]);
  expect(outer.get('train')).toBe(2);
});
