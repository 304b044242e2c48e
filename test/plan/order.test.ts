/** Topological order and circles, on small graphs and large ones. */

import { describe, expect, test } from 'vitest';
import { dependentsOf, orderOf } from '../../plan/order.ts';

const graph = (...needs: number[][]) => needs.map((each) => new Set(each));

describe('order', () => {
  test('keeps the order of the file where nothing speaks against it', () => {
    expect(orderOf(graph([], [], [])).sorted).toEqual([0, 1, 2]);
    //  2 -> 0,  1
    expect(orderOf(graph([2], [], [])).sorted).toEqual([1, 2, 0]);
  });

  test('holds every node after those it waits for, in a random graph', () => {
    const edges = Array.from(
      { length: 500 },
      (_, i) => new Set(Array.from({ length: 3 }, (_, k) => (i * 7 + k * 13) % (i + 1)).filter((j) => j < i)),
    );
    const { sorted, cycles } = orderOf(edges);
    const places = new Map(sorted.map((node, place) => [node, place]));
    expect([sorted.length, cycles]).toEqual([500, []]);
    edges.forEach((needed, node) => {
      for (const other of needed) expect(places.get(other)!).toBeLessThan(places.get(node)!);
    });
  });

  test('leaves out a circle and what is behind it', () => {
    //  0 -> 1 -> 2 -> 0 (each waits for the next),  3 waits for 0,  4 free
    expect(orderOf(graph([1], [2], [0], [0], []))).toEqual({ sorted: [4], cycles: [[0, 1, 2]] });
  });

  test('finds each of two circles, and one that is a single step', () => {
    expect(orderOf(graph([1], [0], [3], [2], [4])).cycles).toEqual([[0, 1], [2, 3], [4]]);
  });
});

test('dependents are all that wait, near and far', () => {
  expect([...dependentsOf(graph([], [0], [1], []), 0)].sort()).toEqual([1, 2]);
});
