/** The order of batches that reach a gate by several ways. */

import { expect, test } from 'vitest';
import { Arrivals } from '../../workflows/arrivals.ts';
import type { QueuedBatch } from '../../workflows/scope-messages.ts';

const batches = (...names: string[]): QueuedBatch[] =>
  names.map((batch) => ({ gate: 'review', batch, by: 'ada', at: '2026-01-02T03:04:05.000Z', via: 'update' }));

const namesIn = ({ queue }: Arrivals) => queue.map(({ batch }) => batch);

test('a batch that overtook others waits for them, and does not count before', () => {
  const arrivals = new Arrivals();
  arrivals.take({ behind: 2, queued: batches('c', 'd') }, true);
  expect([namesIn(arrivals), arrivals.count]).toEqual([[], 0]);
  arrivals.take({ behind: 0, queued: batches('a') }, true);
  expect([namesIn(arrivals), arrivals.count]).toEqual([['a'], 1]);
  arrivals.take({ behind: 1, queued: batches('b') }, false);
  expect([namesIn(arrivals), arrivals.count]).toEqual([['a', 'b', 'c', 'd'], 4]);
});

test('what comes of decisions goes the way that the newest of them came', () => {
  const arrivals = new Arrivals();
  const before = arrivals.areDirect;
  arrivals.take({ behind: 0, queued: batches('a') }, false);
  const bundled = arrivals.areDirect;
  arrivals.take({ behind: 1, queued: batches('b') }, true);
  expect([before, bundled, arrivals.areDirect]).toEqual([true, false, true]);
});
