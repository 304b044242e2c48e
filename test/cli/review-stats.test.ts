import { expect, test } from 'vitest';
import type { RecordedDecision } from '../../artifacts/gate-record.ts';
import { overlapOf } from '../../cli/review-stats.ts';
import type { CandidateType, Verdict } from '../../detection/types.ts';

const said = (by: string, candidateId: string, verdict: Verdict): RecordedDecision => ({
  candidateId,
  verdict,
  by,
  batch: 'b',
  at: '2026-01-01',
});

test('two people who answered the same candidates tell how many errors neither found', () => {
  const types = new Map<string, CandidateType>();
  const answers: RecordedDecision[] = [];
  // of 20 missing labels anna finds 10 and ben 15, 5 of them both; cy answers one alone
  for (let i = 0; i < 20; i++) {
    types.set(`m${i}`, 'missing');
    answers.push(said('anna', `m${i}`, i < 10 ? 'accept' : 'reject'), said('ben', `m${i}`, i >= 5 ? 'edit' : 'reject'));
  }
  types.set('alone', 'spurious');
  answers.push(said('cy', 'alone', 'accept'));
  const overlap = overlapOf(answers, types)!;
  expect(overlap).toMatchObject({ candidates: 20, fleiss: null });
  expect(overlap.cohen).toMatchObject([{ reviewers: ['anna', 'ben'], candidates: 20 }]);
  expect(overlap.errors).toMatchObject([{ type: 'missing', first: 10, second: 15, both: 5 }]);
  expect(overlap.errors[0]!.inAll!.value).toBeCloseTo((11 * 16) / 6 - 1, 9);
});

test('of errors that were found by one alone nothing follows about those that nobody found', () => {
  const types = new Map<string, CandidateType>([['a', 'spurious']]);
  const { errors } = overlapOf([said('anna', 'a', 'accept'), said('ben', 'a', 'reject')], types)!;
  expect(errors).toEqual([{ type: 'spurious', first: 1, second: 0, both: 0, inAll: null }]);
});

test('without candidates in common there is nothing to compare', () => {
  expect(overlapOf([], new Map())).toBeNull();
  expect(overlapOf([said('anna', 'a', 'accept'), said('ben', 'b', 'accept')], new Map())).toBeNull();
});
