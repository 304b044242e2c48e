import { describe, expect, it } from 'vitest';
import {
  accuracyOf,
  chapman,
  cohensKappa,
  fleissKappa,
  type KnownAnswer,
  residualErrors,
  shareOf,
  weightOf,
} from '../../detection/reviewer-trust.ts';

const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

describe("Cohen's kappa", () => {
  it('is that of the example of 50 grant proposals', () => {
    // both yes 20, first alone 5, second alone 10, both no 15: 0.7 agreed, 0.5 by chance
    const pairs = [
      ...times(20, ['yes', 'yes'] as const),
      ...times(5, ['yes', 'no'] as const),
      ...times(10, ['no', 'yes'] as const),
      ...times(15, ['no', 'no'] as const),
    ];
    expect(cohensKappa(pairs)).toBeCloseTo(0.4, 12);
  });

  it('is not defined without ratings, or where there is only one word', () => {
    expect(cohensKappa([])).toBeNull();
    expect(cohensKappa([['a', 'a']])).toBeNull();
    expect(
      cohensKappa([
        ['a', 'a'],
        ['b', 'b'],
      ]),
    ).toBe(1);
  });
});

describe("Fleiss' kappa", () => {
  it('is that of the published table of 14 raters and 10 items', () => {
    const table = [
      [0, 0, 0, 0, 14],
      [0, 2, 6, 4, 2],
      [0, 0, 3, 5, 6],
      [0, 3, 9, 2, 0],
      [2, 2, 8, 1, 1],
      [7, 7, 0, 0, 0],
      [3, 2, 6, 3, 0],
      [2, 5, 3, 2, 2],
      [6, 5, 2, 1, 0],
      [0, 2, 2, 3, 7],
    ];
    const ratings = table.map((row) => row.flatMap((count, word) => times(count, String(word))));
    expect(fleissKappa(ratings)).toBeCloseTo(0.21, 3);
    // what one person alone said is no agreement
    expect(fleissKappa([...ratings, ['1']])).toBeCloseTo(0.21, 3);
    expect(fleissKappa([['1']])).toBeNull();
  });
});

describe('capture and recapture', () => {
  it('is that of the worked example of 10 and 15 captured, 5 of them twice', () => {
    const { value, low, high } = chapman(10, 15, 5);
    expect(value).toBeCloseTo((11 * 16) / 6 - 1, 12);
    // variance 11 x 16 x 5 x 10 / (36 x 7); what neither saw is 8 1/3, by a factor of exp(1.96 sqrt(ln(1 + v / 8.33^2)))
    const spread = Math.exp(1.959963984540054 * Math.sqrt(Math.log(1 + 8800 / 252 / (25 / 3) ** 2)));
    expect(low).toBeCloseTo(20 + 25 / 3 / spread, 9);
    expect(high).toBeCloseTo(20 + (25 / 3) * spread, 9);
  });

  it('finds nothing left where both found the same', () => {
    expect(chapman(7, 7, 7)).toEqual({ value: 7, low: 7, high: 7 });
    expect(chapman(0, 0, 0)).toEqual({ value: 0, low: 0, high: 0 });
  });
});

describe('known answers', () => {
  const known: KnownAnswer[] = [
    { candidateId: 'p1', type: 'missing', expected: 'accept' },
    { candidateId: 'p2', type: 'missing', expected: 'accept' },
    { candidateId: 'p3', type: 'missing', expected: 'reject' },
    { candidateId: 'p4', type: 'spurious', expected: 'accept' },
  ];

  it('give each reviewer an accuracy by type', () => {
    const answers = [
      { candidateId: 'p1', by: 'anna', verdict: 'edit' as const },
      { candidateId: 'p2', by: 'anna', verdict: 'reject' as const },
      { candidateId: 'p3', by: 'anna', verdict: 'reject' as const },
      { candidateId: 'p4', by: 'anna', verdict: 'ignore' as const },
      { candidateId: 'p3', by: 'ben', verdict: 'accept' as const },
      { candidateId: 'real', by: 'ben', verdict: 'accept' as const },
    ];
    expect(accuracyOf(known, answers)).toMatchObject([
      { by: 'anna', type: 'missing', asked: 3, right: 2, planted: 2, found: 1 },
      { by: 'ben', type: 'missing', asked: 1, right: 0, planted: 0, found: 0 },
    ]);
    expect(accuracyOf([], answers)).toEqual([]);
  });

  it('weigh a verdict by the odds that it is right', () => {
    expect(weightOf({ asked: 0, right: 0 })).toBe(0);
    expect(weightOf({ asked: 10, right: 9 })).toBeCloseTo(Math.log(5), 12);
    expect(weightOf({ asked: 4, right: 1 })).toBeLessThan(0);
  });

  it("have Wilson's interval", () => {
    // 8 of 10: (0.8 + 0.19207) / 1.38415 and so on, as published: 0.490 to 0.943
    const { low, high } = shareOf(8, 10)!;
    expect(low).toBeCloseTo(0.4902, 4);
    expect(high).toBeCloseTo(0.9433, 4);
    expect(shareOf(0, 0)).toBeNull();
    expect(shareOf(0, 5)!.low).toBe(0);
  });

  it('tell how many errors are left', () => {
    // 30 found at a rate of 3 in 4: 10 were passed over
    const left = residualErrors(30, 15, 20)!;
    expect(left.value).toBeCloseTo(10, 12);
    expect(left.low).toBeLessThan(10);
    expect(left.high).toBeGreaterThan(10);
    expect(residualErrors(30, 0, 20)).toBeNull();
    expect(residualErrors(30, 0, 0)).toBeNull();
    expect(residualErrors(30, 20, 20)!.value).toBe(0);
  });
});
