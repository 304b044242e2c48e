/** Who goes on from a rung, and that it does not depend on who reports first. */

import { expect, test } from 'vitest';
import { createRandom } from '../../detection/random.ts';
import { type Reached, type Rung, rungsOf, standingsOf } from '../../workflows/halving.ts';

const reached = (AP: number, flops = 1, parameters = 1): Reached => ({ AP, flops, parameters });

test('rungs come at eta times as many epochs each, and keep one in eta, but never fewer than the finalists', () => {
  expect(rungsOf(27, 81, { eta: 3, minEpochs: 1, finalists: 1 })).toEqual([
    { epoch: 1, compared: 27, kept: 9 },
    { epoch: 3, compared: 9, kept: 3 },
    { epoch: 9, compared: 3, kept: 1 },
  ]);
  expect(rungsOf(10, 30, { eta: 3, minEpochs: 5, finalists: 2 })).toEqual([
    { epoch: 5, compared: 10, kept: 4 },
    { epoch: 15, compared: 4, kept: 2 },
  ]);
});

test('there is no rung where nobody would stop, nor one at or beyond the last epoch', () => {
  expect(rungsOf(2, 30, { eta: 3, minEpochs: 5, finalists: 2 })).toEqual([]);
  expect(rungsOf(9, 5, { eta: 3, minEpochs: 5, finalists: 1 })).toEqual([]);
  expect(rungsOf(9, 6, { eta: 3, minEpochs: 5, finalists: 1 })).toEqual([{ epoch: 5, compared: 9, kept: 3 }]);
});

const rungs: Rung[] = [
  { epoch: 5, compared: 4, kept: 2 },
  { epoch: 10, compared: 2, kept: 1 },
];

test('whoever is among the best so far goes on, and stops once better ones have reported', () => {
  const first = standingsOf(rungs, [[reached(0.1)], [], [], []]);
  expect(first.wanted).toEqual([
    { trial: 1, rung: 0, certain: true },
    { trial: 2, rung: 0, certain: true },
    { trial: 3, rung: 0, certain: true },
    { trial: 0, rung: 1, certain: false },
  ]);
  const overtaken = standingsOf(rungs, [[reached(0.1)], [reached(0.2)], [reached(0.3)], []]);
  // Trial 3 can only take the place of trial 1.
  expect(overtaken.wanted).toEqual([
    { trial: 3, rung: 0, certain: true },
    { trial: 1, rung: 1, certain: false },
    { trial: 2, rung: 1, certain: true },
  ]);
  expect([...overtaken.stopped]).toEqual([[0, 0]]);
});

test('nobody is out because of one who is there for the moment only', () => {
  // Trial 1 is better than trial 0 at the second rung, but may still lose its place at the first to trial 3.
  const open = standingsOf(rungs, [[reached(0.3), reached(0.4)], [reached(0.2), reached(0.5)], [reached(0.1)], []]);
  expect([...open.stopped]).toEqual([[2, 0]]);
  const closed = standingsOf(rungs, [
    [reached(0.3), reached(0.4)],
    [reached(0.2), reached(0.5)],
    [reached(0.1)],
    [reached(0.25)],
  ]);
  expect([...closed.stopped]).toEqual([
    [1, 0],
    [2, 0],
  ]);
  expect(closed.wanted).toEqual([
    { trial: 3, rung: 1, certain: true },
    { trial: 0, rung: 2, certain: false },
  ]);
});

test('of equals the cheaper goes on: fewer operations, then fewer parameters, then the first', () => {
  const one: Rung[] = [{ epoch: 1, compared: 4, kept: 1 }];
  const winner = (rows: Reached[]) =>
    standingsOf(
      one,
      rows.map((row) => [row]),
    ).wanted.map(({ trial }) => trial);
  expect(winner([reached(0.5, 9, 9), reached(0.5, 4, 9), reached(0.5, 4, 2), reached(0.4, 1, 1)])).toEqual([2]);
  expect(winner([reached(0.5), reached(0.5)])).toEqual([0]);
});

test('in whatever order the reports come, the same trials reach the same rungs', () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = createRandom(`search ${seed}`);
    const count = 2 + random.int(12);
    const plan = rungsOf(count, 40, { eta: 2 + random.int(2), minEpochs: 2, finalists: 1 + random.int(2) });
    const AP = Array.from({ length: count }, () => plan.map(() => random.int(6) / 10).concat(0));

    // All of a rung, then all of the next.
    let left = AP.map((_, trial) => trial);
    for (const [index, { kept }] of plan.entries()) {
      left = left
        .toSorted((a, b) => AP[b]![index]! - AP[a]![index]! || a - b)
        .slice(0, kept)
        .sort((a, b) => a - b);
    }

    const reports: (Reached | undefined)[][] = AP.map(() => []);
    let standings = standingsOf(plan, reports);
    const promised = new Set<string>();
    while (standings.wanted.length > 0) {
      for (const { trial, rung, certain } of standings.wanted) if (certain) promised.add(`${trial}@${rung}`);
      expect(standings.wanted.some(({ certain }) => certain)).toBe(true);
      const { trial, rung } = standings.wanted[random.int(standings.wanted.length)]!;
      promised.delete(`${trial}@${rung}`);
      reports[trial]![rung] = reached(AP[trial]![rung]!);
      const before = standings.stopped;
      standings = standingsOf(plan, reports);
      // Once out, always out.
      for (const [lost, at] of before) expect(standings.stopped.get(lost)).toBe(at);
    }
    const ended = AP.flatMap((_, trial) => (standings.stopped.has(trial) ? [] : [trial]));
    expect([seed, ended]).toEqual([seed, left]);
    // What was certain was wanted until it was done.
    expect([...promised]).toEqual([]);
  }
});
