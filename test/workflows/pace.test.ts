/** How many decisions a message must bring, so that no history grows without end. */

import { expect, test } from 'vitest';
import { problemOfEarly } from '../../workflows/approval-desk.ts';
import { takeBundle } from '../../workflows/bundles.ts';
import { countOf, leastDecisions, relayMs, stateMs, takeFitting } from '../../workflows/pace.ts';
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

test('batches travel together up to 2,000 decisions or a megabyte, and at least one at a time', () => {
  const batches = [batch(1_500), batch(500), batch(1), batch(2_500)];
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([1_500, 500]);
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([1]);
  expect(takeFitting(batches).map(({ decisions }) => decisions!.length)).toEqual([2_500]);
  expect(takeFitting(batches)).toEqual([]);
  const long = (count: number) => ({ ...batch(count), shown: 'x'.repeat(600_000) });
  const longer = [long(1), long(2), long(3)];
  expect(takeFitting(longer).map(({ decisions }) => decisions!.length)).toEqual([1]);
  expect(longer).toHaveLength(2);
  expect(countOf([batch(3), { ...batch(0), decisions: undefined, reference: 'r' }])).toBe(Number.POSITIVE_INFINITY);
});

test('news for the root goes on at once early in a history, and is gathered later: the longer, the less waits for it', () => {
  expect([0, 1, 2].map((urgency) => relayMs(199, urgency, 0))).toEqual([15_000, 0, 0]);
  expect([0, 1, 2].map((urgency) => relayMs(500, urgency, 0))).toEqual([15_000, 1_000, 1_000]);
  // Each of many batches tells of the gates in it as they open.
  expect([1, 2, 3, 5, 6, 7].map((before) => relayMs(500, 2, before))).toEqual([
    2_000, 4_000, 8_000, 32_000, 60_000, 60_000,
  ]);
  // Where there are few, they are not kept waiting, and never for half an hour.
  expect(relayMs(199, 2, 7)).toBe(0);
  expect([1, 2].map((urgency) => relayMs(2_999, urgency, 7))).toEqual([60_000, 60_000]);
  expect([1, 2].map((urgency) => relayMs(3_500, urgency, 0))).toEqual([1_800_000, 60_000]);
});

test('late in a history that cannot be left, news and states go on ever more rarely, so that a year fits into it', () => {
  const year = 365 * 24 * 3_600_000;
  const messagesIn = (waitMs: (before: number) => number) => {
    let messages = 0;
    for (let ms = 0; ms < year; messages++) ms += waitMs(messages);
    return messages;
  };
  expect(messagesIn((before) => relayMs(3_000, 2, before))).toBeLessThan(60);
  expect(messagesIn((before) => stateMs(3_000, false, before, false))).toBeLessThan(60);
});

test('a leg tells at once that it waits, later that it goes on, and the more rarely the more often it does', () => {
  expect(stateMs(50, false, 0, true)).toBe(0);
  expect(stateMs(50, true, 0, true)).toBe(3_000);
  expect([1, 2, 3, 4, 20].map((before) => stateMs(50, false, before, true))).toEqual([0, 2_000, 4_000, 8_000, 60_000]);
  // Others are few.
  expect([0, 20].map((before) => stateMs(50, true, before, false))).toEqual([0, 0]);
});

test('what nobody waits for goes on ever more rarely, so that a year of it is fewer than sixty messages', () => {
  expect([0, 1, 2, 3, 10].map((before) => relayMs(100, 0, before))).toEqual([
    15_000, 30_000, 60_000, 120_000, 15_360_000,
  ]);
  let [messages, ms] = [0, 0];
  for (; ms < 365 * 24 * 3_600_000; messages++) ms += relayMs(100, 0, messages);
  expect(messages).toBeLessThan(60);
});

test('a bundle takes as many as go into one message of Temporal, and at least one', () => {
  const items = ['a'.repeat(800_000), 'b'.repeat(100_000), 'é'.repeat(60_000), 'd'.repeat(5_000_000)];
  expect(takeBundle(items).map((item) => item[0])).toEqual(['a', 'b']);
  expect(takeBundle(items).map((item) => item[0])).toEqual(['é']);
  expect(takeBundle(items).map((item) => item[0])).toEqual(['d']);
  expect(takeBundle(items)).toEqual([]);
});

test('where a history is full, an answer waits for its gate, in words that are true for the workflow', () => {
  const problem = (events: number, isCompiled: boolean, form?: Parameters<typeof problemOfEarly>[1]) =>
    problemOfEarly('ok', form, { run: 'r', isCompiled, events });
  expect(problem(3_800, false)).toBeNull();
  expect(problem(3_801, false)).toBe(
    'The run r has taken so many messages in one history of its workflow, which it cannot leave now, that ok takes an answer only once it is open.',
  );
  expect(problem(3_801, false, { holder: 'hardcase:r', given: null })).toBeNull();
  // Its own steps may take it to 40,000 events.
  expect(problem(40_000, true)).toBeNull();
  expect(problem(45_001, true)).toBe(
    'The run r has a compiled workflow, which stays in one history, and that has become so long that ok takes an answer only once it is open.',
  );
});
