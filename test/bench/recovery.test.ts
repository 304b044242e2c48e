/** What the recovery benchmark makes of the lines of its probe. */

import { expect, test } from 'vitest';
import { attemptsIn, lossOf } from '../../bench/recovery/attempts.ts';
import type { ProbeEntry } from '../../bench/recovery/probe.ts';

const ofFirst = { pid: 7, parent: 5 };
const ofSecond = { pid: 9, parent: 6 };
/** Ten steps a second, of a hundred; killed at 4,400; the next process goes on from step 20. */
const lines: ProbeEntry[] = [
  { ...ofFirst, at: 500, type: 'process' },
  // What looks at TensorFlow, and trains nothing.
  { pid: 8, parent: 5, at: 900, type: 'process' },
  { ...ofFirst, at: 1_100, type: 'step', share: 0.01 },
  { ...ofFirst, at: 2_100, type: 'step', share: 0.11 },
  { ...ofFirst, at: 3_100, type: 'step', share: 0.21 },
  { ...ofFirst, at: 4_100, type: 'step', share: 0.31 },
  { ...ofSecond, at: 19_000, type: 'process' },
  { ...ofSecond, at: 21_000, type: 'resumed', step: 20, exact: true },
  { ...ofSecond, at: 22_000, type: 'step', share: 0.21 },
];

test('lines become attempts, without processes that trained nothing', () => {
  const [first, second, ...more] = attemptsIn(lines, 100);
  expect(more).toEqual([]);
  expect(first).toMatchObject({ pid: 7, parent: 5, beganAt: 500, resumedFrom: 0, exact: true });
  expect(first!.steps.map(({ step }) => step)).toEqual([1, 11, 21, 31]);
  expect(second).toMatchObject({
    pid: 9,
    parent: 6,
    beganAt: 19_000,
    resumedFrom: 20,
    steps: [{ at: 22_000, step: 21 }],
  });
});

test('what is done again is counted from the checkpoint to the kill, in steps and in seconds of training', () => {
  const [first, second] = attemptsIn(lines, 100);
  // Step 34 at 4,400; step 20 was at 3,000.
  const loss = lossOf(first!, 4_400, second!);
  expect(loss.steps).toBe(14);
  expect(loss.seconds).toBeCloseTo(1.4, 6);
  // Without a checkpoint all of it is.
  const anew = lossOf(first!, 4_400, { ...second!, resumedFrom: 0 });
  expect(anew.steps).toBe(34);
  expect(anew.seconds).toBeCloseTo(3.3, 6);
  // A word that came after the kill is not counted, and a kill right after a checkpoint costs nothing.
  expect(lossOf(first!, 3_000, second!).steps).toBe(0);
});
