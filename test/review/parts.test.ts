/** The parts of the review page that are plain functions: access, limits, leases, the view of the canvas, the pace. */

import { describe, expect, test } from 'vitest';
import { findReviewer, isLoopback, readReviewers, refusalOf } from '../../review/access.ts';
import { type Lease, type LeaseTable, leaseMs, takeLeases } from '../../review/leases.ts';
import { Pace, timeLeft } from '../../review/page/pace.ts';
import { boxBetween, drag, fitBox, gripAt, rounded, seenPart, toImage, zoomAt } from '../../review/page/view.ts';
import { createRateLimit } from '../../review/rate-limit.ts';
import { wordingOf } from '../../review/wording.ts';

describe('reviewers', () => {
  const token = 'a-token-of-24-characters';

  test('are read from a list, and found by their token alone', () => {
    const reviewers = readReviewers([{ name: 'ada', role: 'reviewer', token }]);
    if (typeof reviewers === 'string') throw new Error(reviewers);
    expect(JSON.stringify(reviewers)).not.toContain(token);
    expect(findReviewer(reviewers, `Bearer ${token}`)?.name).toBe('ada');
    for (const wrong of [undefined, '', 'Bearer', `bearer ${token}`, `Bearer ${token} `, `Bearer ${token}x`]) {
      expect(findReviewer(reviewers, wrong)).toBeNull();
    }
    expect(refusalOf(reviewers[0]!, 'viewer')).toBeNull();
    expect(refusalOf(reviewers[0]!, 'lead')).toBe('ada is a reviewer here; this needs a lead.');
  });

  test.each([
    [{}, /expected a list of reviewers/],
    [[], /expected a list of reviewers/],
    [[{ role: 'lead', token }], /reviewer 1: "name" is missing/],
    [[{ name: 'ada', role: 'boss', token }], /"role" of ada is one of viewer, reviewer, lead/],
    [[{ name: 'ada', role: 'lead', token: 'short' }], /"token" of ada needs at least 24 characters/],
    [[{ name: 'ada', role: 'lead' }], /ada needs either "token" or "tokenSha256"/],
    [[{ name: 'ada', role: 'lead', tokenSha256: 'x' }], /is no digest/],
    [
      [
        { name: 'ada', role: 'lead', token },
        { name: 'ben', role: 'viewer', token },
      ],
      /reviewer 2: ben has the name or the token of ada/,
    ],
  ])('%j is refused with the reason', (value, reason) => {
    expect(readReviewers(value)).toMatch(reason);
  });

  test('loopback is this machine and nothing else', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) expect(isLoopback(host)).toBe(true);
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.example', '1127.0.0.1']) {
      expect(isLoopback(host)).toBe(false);
    }
  });
});

test('a rate limit lets a burst pass, then so many a second, for each key', () => {
  const limit = createRateLimit(3, 2);
  const asked = [0, 0, 0, 0, 400, 500, 500].map((now) => limit.allow('a', now));
  expect(asked).toEqual([true, true, true, false, false, true, false]);
  expect(limit.allow('b', 500)).toBe(true);
});

describe('leases', () => {
  interface More {
    readonly person?: string;
    readonly slots?: number;
    readonly answeredBy?: readonly string[];
  }
  /** A desk of leases, as the store keeps it from one taking to the next. */
  const openDesk = () => {
    let table: LeaseTable = new Map();
    return (
      client: string,
      ids: readonly string[],
      keep: readonly string[],
      count: number,
      now: number,
      more: More = {},
    ) => {
      const { person = client, slots = 1, answeredBy } = more;
      const questions = ids.map((id) => ({ id, slots, ...(answeredBy === undefined ? {} : { answeredBy }) }));
      const isOpen = (id: string) => ids.includes(id);
      const { table: next, ...taken } = takeLeases(table, { client, person, questions, keep, count, isOpen }, now);
      // As JSON, because that is how the store has it.
      table = new Map(JSON.parse(JSON.stringify([...next])) as [string, Lease[]][]);
      return taken;
    };
  };

  test('pass to others when their time is over, and not before', () => {
    const take = openDesk();
    const all = ['a', 'b', 'c'];
    expect(take('one', all, [], 2, 0).ids).toEqual(['a', 'b']);
    expect(take('two', all, [], 2, leaseMs - 1)).toEqual({ ids: ['c'], elsewhere: 2 });
    expect(take('two', all, ['c'], 2, leaseMs).ids).toEqual(['a', 'b']);
  });

  test('last as long as the client names them, and what others took meanwhile it does not get back', () => {
    const take = openDesk();
    const all = ['a', 'b'];
    take('one', all, [], 1, 0);
    take('one', all, ['a'], 0, leaseMs - 1);
    expect(take('two', all, [], 5, leaseMs + 1).ids).toEqual(['b']);
    expect(take('two', all, ['b'], 5, 3 * leaseMs).ids).toEqual(['a']);
    // Came back from sleep: a is with two now.
    expect(take('one', all, ['a'], 5, 3 * leaseMs + 1)).toEqual({ ids: [], elsewhere: 2 });
  });

  test('of decided candidates are nobody’s', () => {
    const take = openDesk();
    take('one', ['a', 'b'], [], 2, 0);
    expect(take('two', ['b'], [], 2, 1)).toEqual({ ids: [], elsewhere: 1 });
  });

  test('go to as many people as are wanted, and to no two pages of one', () => {
    const take = openDesk();
    const two = { slots: 2 };
    expect(take('ada-1', ['a'], [], 1, 0, { ...two, person: 'ada' }).ids).toEqual(['a']);
    expect(take('ada-2', ['a'], [], 1, 1, { ...two, person: 'ada' })).toEqual({ ids: [], elsewhere: 1 });
    expect(take('ben-1', ['a'], [], 1, 2, { ...two, person: 'ben' }).ids).toEqual(['a']);
    expect(take('cy-1', ['a'], [], 1, 3, { ...two, person: 'cy' })).toEqual({ ids: [], elsewhere: 1 });
    // Ada has answered, and her page has not said so yet: one more opinion is wanted, and ben has it.
    expect(take('cy-1', ['a'], [], 1, 4, { slots: 1, answeredBy: ['ada'], person: 'cy' }).ids).toEqual([]);
    expect(take('cy-1', ['a'], [], 1, leaseMs + 2, { slots: 1, answeredBy: ['ada'], person: 'cy' }).ids).toEqual(['a']);
  });
});

describe('the view of the canvas', () => {
  const canvas = { width: 400, height: 200 };
  const image = { width: 100, height: 80 };

  test('a box is fitted into the middle', () => {
    expect(fitBox([10, 10, 30, 20], canvas)).toEqual({ scale: 20, x: -200, y: -200 });
    expect(fitBox([10, 10, 30, 20], canvas, 50)).toEqual({ scale: 10, x: 0, y: -50 });
  });

  test('zooming keeps the point under the pointer, up to a limit', () => {
    const before = fitBox([0, 0, 100, 80], canvas);
    const after = zoomAt(before, 3, [120, 60], 0.1);
    expect(toImage(after, [120, 60])[0]).toBeCloseTo(toImage(before, [120, 60])[0], 9);
    expect(after.scale).toBeCloseTo(7.5, 9);
    expect(zoomAt(before, 1e9, [0, 0], 0.1).scale).toBe(64);
    expect(zoomAt(before, 1e-9, [0, 0], 0.1).scale).toBe(0.1);
  });

  test('what is seen is whole pixels inside the image, or nothing', () => {
    expect(seenPart({ scale: 4, x: 2, y: -2 }, canvas, image)).toEqual([0, 0, 100, 51]);
    expect(seenPart({ scale: 4, x: 500, y: 0 }, canvas, image)).toBeNull();
  });

  test('corners win over edges, edges over the inside', () => {
    const box = [10, 10, 50, 40] as const;
    const grips = [
      [10, 10],
      [50, 41],
      [30, 10],
      [11, 25],
      [30, 25],
      [70, 25],
    ].map((point) => gripAt(box, point as [number, number], 3));
    expect(grips).toEqual(['nw', 'se', 'n', 'w', 'move', null]);
    // Of a box thinner than the reach the nearer edge is taken.
    expect(gripAt([10, 10, 12, 12], [11.8, 11], 3)).toMatch(/e$/);
  });

  test('a dragged box stays in the image, the right way round, and a pixel wide', () => {
    expect(drag([10, 10, 50, 40], 'move', -30, 100, image)).toEqual([0, 50, 40, 80]);
    expect(drag([10, 10, 50, 40], 'nw', 100, 100, image)).toEqual([49, 39, 50, 40]);
    expect(drag([10, 10, 50, 40], 'e', 900, 5, image)).toEqual([10, 10, 100, 40]);
  });

  test('a box is drawn between two points, whichever comes first', () => {
    expect(boxBetween([30, 40], [-5, 10], image)).toEqual([0, 10, 30, 40]);
    expect(boxBetween([30, 40], [30.5, 60], image)).toBeNull();
    expect(rounded([1.23, 4.56, 7.89, 10])).toEqual([1.2, 4.6, 7.9, 10]);
  });
});

test('the pace is the mean of the last decisions, without breaks', () => {
  const pace = new Pace();
  for (const ms of [1_000, 2_000, 120_000, 1_000, 2_000]) pace.add(ms);
  expect(pace.seconds).toBeNull();
  pace.add(1_500);
  expect(pace.seconds).toBe(1.5);
  expect([10, 80, 3_540, 7_800].map(timeLeft)).toEqual([
    'under a minute',
    'about 1 min',
    'about 59 min',
    'about 2 h 10 min',
  ]);
});

test('questions read like questions, whatever the category is called', () => {
  expect(wordingOf('missing', undefined, 'apple').question).toBe('Is this an apple?');
  expect(wordingOf('wrong-class', 'bud', 'flower')).toMatchObject({
    question: 'Flower or bud?',
    accept: 'Flower, change the label',
    reject: 'Bud, keep the label',
  });
});
