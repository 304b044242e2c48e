/** How many decisions a message must bring, so that no history grows without end. */

import { expect, test } from 'vitest';
import { countOf, leastDecisions, takeFitting } from '../../workflows/pace.ts';
import type { QueuedBatch } from '../../workflows/scope-messages.ts';

const batch = (count: number): QueuedBatch => ({
  gate: 'review',
  batch: `b${count}`,
  by: 'ada',
  at: '2026-01-02T03:04:05.000Z',
  via: 'update',
  decisions: Array.from({ length: count }, (_, i) => ({ candidateId: `c${i}`, verdict: 'reject' as const })),
});

test('one decision is enough for long; then more and more must come together, and in the end all that are missing', () => {
  expect(leastDecisions(10, 50_000)).toBe(1);
  expect(leastDecisions(1_999, 50_000)).toBe(1);
  // (3800 - 2200) / 16 = 100 messages are left
  expect(leastDecisions(2_200, 50_000)).toBe(500);
  expect(leastDecisions(2_200, 30)).toBe(1);
  expect(leastDecisions(3_900, 40_000)).toBe(40_000);
});

test('whoever sends as few as possible ends 50,000 decisions below 4,096 events', () => {
  let undecided = 50_000;
  let events = 30;
  while (undecided > 0) {
    undecided -= Math.min(undecided, leastDecisions(events, undecided));
    events += 16;
  }
  expect(events).toBeLessThan(4_096);
});

test('batches travel together up to 2,000 decisions, and at least one at a time', () => {
  const batches = [batch(1_500), batch(500), batch(1), batch(2_500)];
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([1_500, 500]);
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([1]);
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([2_500]);
  expect(takeFitting(batches)).toEqual([]);
  expect(countOf([batch(3), { ...batch(0), decisions: undefined, reference: 'r' }])).toBe(Number.POSITIVE_INFINITY);
});
