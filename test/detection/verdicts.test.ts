import { describe, expect, test } from 'vitest';
import { type AskingWishes, choose, chooseAsking } from '../../detection/asking.ts';
import type { ReviewerAccuracy } from '../../detection/reviewer-trust.ts';
import type { Box, Candidate, Decision, Verdict } from '../../detection/types.ts';
import { agree, type Opinion, problemOfOpinion, standingOf } from '../../detection/verdicts.ts';
import { weighedVerdict } from '../../detection/weighed-verdict.ts';

const annotation = { id: 'l', imageId: 1, categoryId: 1, box: [0, 0, 10, 10] } as const;
const about = { id: 'c', imageId: 1, imageDigest: 'd', rank: 1 };
const found = (box: Box, categoryId = 1) => ({ categoryId, box, score: 0.9 });
const missing: Candidate = { ...about, type: 'missing', detection: found([0, 0, 10, 10]) };
const located: Candidate = { ...about, type: 'badly-located', annotation, detection: found([0, 0, 10, 8]) };
const reclassed: Candidate = { ...about, type: 'wrong-class', annotation, detection: found([0, 0, 10, 9], 2) };

const say = (by: string, verdict: Verdict, more: Partial<Decision> = {}): Opinion => ({
  candidateId: 'c',
  by,
  verdict,
  ...more,
});

describe('two decisions are one answer', () => {
  test.each<[string, Candidate, Partial<Decision>, Partial<Decision>, boolean]>([
    ['the same word', missing, { verdict: 'accept' }, { verdict: 'accept' }, true],
    ['for and against', missing, { verdict: 'accept' }, { verdict: 'reject' }, false],
    // The boxes of model and label overlap by 0.8: the words still contradict each other.
    ['for and against, of boxes that hardly differ', located, { verdict: 'accept' }, { verdict: 'reject' }, false],
    [
      'a box drawn where the model has it',
      missing,
      { verdict: 'accept' },
      { verdict: 'edit', box: [0, 0, 10, 9] },
      true,
    ],
    ['a box drawn elsewhere', missing, { verdict: 'accept' }, { verdict: 'edit', box: [0, 0, 10, 5] }, false],
    [
      'two drawn boxes',
      missing,
      { verdict: 'edit', box: [0, 0, 10, 7] },
      { verdict: 'edit', box: [0, 0, 10, 10] },
      true,
    ],
    [
      'two drawn boxes of other classes',
      missing,
      { verdict: 'edit', box: [0, 0, 10, 10] },
      { verdict: 'edit', box: [0, 0, 10, 10], categoryId: 2 },
      false,
    ],
    ['the class that the model names', reclassed, { verdict: 'accept' }, { verdict: 'edit', categoryId: 2 }, true],
    ['not to be told, and a box', missing, { verdict: 'ignore' }, { verdict: 'edit', box: [0, 0, 10, 10] }, false],
  ])('%s', (_, candidate, a, b, expected) => {
    const decide = (decision: Partial<Decision>) => ({ candidateId: 'c', ...decision }) as Decision;
    expect(agree(candidate, decide(a), decide(b))).toBe(expected);
    expect(agree(candidate, decide(b), decide(a))).toBe(expected);
  });
});

describe('where a candidate stands', () => {
  test('asked once, the first decision counts', () => {
    expect(standingOf(missing, [], 1)).toMatchObject({ state: 'open' });
    const first = say('ada', 'accept');
    expect(standingOf(missing, [first, say('ben', 'reject')], 1)).toMatchObject({ state: 'settled', verdict: first });
  });

  test('asked of two, it waits for both, and for a third where they differ', () => {
    const [yes, no] = [say('ada', 'accept'), say('ben', 'reject')];
    expect(standingOf(missing, [yes, say('ada', 'reject')], 2)).toMatchObject({ state: 'open', said: [yes] });
    expect(standingOf(missing, [yes, say('ben', 'accept')], 2)).toMatchObject({ state: 'settled', verdict: yes });
    expect(standingOf(missing, [yes, no], 2)).toMatchObject({ state: 'conflict', said: [yes, no] });
    const verdict = say('cy', 'ignore', { settles: true });
    expect(standingOf(missing, [yes, no, verdict], 2)).toMatchObject({ state: 'settled', verdict });
  });

  test('asked of three, two decide, and only when all have looked', () => {
    const [a, b, c] = [say('ada', 'reject'), say('ben', 'accept'), say('cy', 'accept')];
    expect(standingOf(missing, [b, c], 3)).toMatchObject({ state: 'open' });
    expect(standingOf(missing, [a, b, c], 3)).toMatchObject({ state: 'settled', verdict: b });
    expect(standingOf(missing, [a, b, say('cy', 'ignore')], 3)).toMatchObject({ state: 'conflict' });
  });

  test('a question with a known answer is nobody’s to settle', () => {
    expect(standingOf(missing, [say('ada', 'accept'), say('ben', 'reject')], 2, true)).toMatchObject({
      state: 'settled',
    });
  });

  test('settling what is still asked about is refused, as is a second opinion of one person', () => {
    const open = standingOf(missing, [say('ada', 'accept')], 2);
    expect(problemOfOpinion(open, say('cy', 'accept', { settles: true }), 'cy', undefined)).toBe(
      'There is nothing to settle: 1 of 2 opinions are there.',
    );
    expect(problemOfOpinion(open, say('ada', 'reject'), 'ada', undefined)).toBe(
      'ada said "accept" about it before; the first opinion counts.',
    );
    expect(problemOfOpinion(open, say('ada', 'accept'), 'ada', undefined)).toBe('repeated');
    expect(problemOfOpinion(open, say('ben', 'reject'), 'ben', undefined)).toBeNull();
  });
});

test('a share of the candidates is asked of several, the same with the same seed, and every known answer', () => {
  const candidates = Array.from({ length: 50 }, (_, i): Candidate => ({ ...missing, id: `c${i}` }));
  const known = [{ candidateId: 'c3', type: 'missing', expected: 'accept' } as const];
  const ask = (wishes: AskingWishes, seed = 7) => chooseAsking(candidates, known, wishes, () => 'train', seed);
  const asking = ask({ several: { count: 3, share: 0.2 } });
  expect(asking).toHaveLength(Math.round(0.2 * 49) + 1);
  expect(asking).toContainEqual({ candidateId: 'c3', opinions: 3 });
  expect(ask({ several: { count: 3, share: 0.2 } })).toEqual(asking);
  const ids = candidates.map(({ id }) => id);
  expect(choose(ids, 0.2, 'opinions', 8)).not.toEqual(choose(ids, 0.2, 'opinions', 7));
});

describe('weights', () => {
  const accuracy = (by: string, asked: number, right: number) =>
    ({ by, type: 'missing', asked, right, planted: 0, found: 0 }) as unknown as ReviewerAccuracy;
  // Odds (19 + 1) / (0 + 1) = 20, (14 + 1) / (4 + 1) = 3 and (1 + 1) / (3 + 1) = 1 / 2.
  const accuracies = [accuracy('ada', 19, 19), accuracy('ben', 18, 14), accuracy('cy', 4, 1)];

  test('the side of the better reviewer wins by the ratio of the odds, where that is sure enough', () => {
    const said = [say('ben', 'accept'), say('ada', 'reject')];
    const weighed = weighedVerdict(said, accuracies, 0.8);
    expect(weighed?.opinion).toBe(said[1]);
    expect(weighed?.probability).toBeCloseTo(20 / 3 / (1 + 20 / 3), 12);
    expect(weighedVerdict(said, accuracies, 0.9)).toBeNull();
  });

  test('who is mostly wrong speaks for the other side, and who is not known for none', () => {
    // 1 / (1 + 1 / (20 * 2)): cy says that the label is right.
    const said = [say('ada', 'edit', { box: [0, 0, 5, 5] }), say('cy', 'reject'), say('new', 'reject')];
    expect(weighedVerdict(said, accuracies, 0.5)?.probability).toBeCloseTo(40 / 41, 12);
    expect(weighedVerdict([say('new', 'accept')], accuracies, 0.5)).toBeNull();
    expect(weighedVerdict([say('ada', 'ignore')], accuracies, 0.5)).toBeNull();
  });

  test('of two who say that the label is wrong the better one says how', () => {
    const said = [say('ben', 'accept'), say('ada', 'edit', { box: [0, 0, 5, 5] })];
    expect(weighedVerdict(said, accuracies, 0.95)?.opinion).toBe(said[1]);
  });
});
