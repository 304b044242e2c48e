import { describe, expect, test } from 'vitest';
import { anchoringOf, anchoringsOf } from '../../detection/anchoring.ts';
import { chooseAsking } from '../../detection/asking.ts';
import { blindViewOf, confirms, problemOfBlind } from '../../detection/blind.ts';
import { viewOf } from '../../detection/crop-view.ts';
import type { Box, Candidate, Decision, ImageEntry } from '../../detection/types.ts';

const annotation = { id: 'l', imageId: 1, categoryId: 1, box: [100, 100, 120, 120] } as const;
const about = { imageId: 1, imageDigest: 'd', rank: 1 };
const detection = (box: Box, categoryId = 1) => ({ categoryId, box, score: 0.9 });
const missing = (id: string, box: Box = [100, 100, 120, 120]): Candidate => ({
  ...about,
  id,
  type: 'missing',
  detection: detection(box),
});
const located: Candidate = {
  ...about,
  id: 'b',
  type: 'badly-located',
  annotation,
  detection: detection([106, 100, 126, 120]),
};
const reclassed: Candidate = {
  ...about,
  id: 'w',
  type: 'wrong-class',
  annotation,
  detection: detection(annotation.box, 2),
};
const spurious: Candidate = { ...about, id: 's', type: 'spurious', annotation };

describe('the part of the image that is shown', () => {
  test('holds the hidden box, as large as with the box in sight, and not where it can be guessed from', () => {
    const places: number[] = [];
    for (let i = 0; i < 40; i++) {
      const box: Box = [40 + 3 * i, 20 + 2 * i, 60 + 3 * i, 45 + 2 * i];
      const candidate = missing(`c${i}`, box);
      const [x1, y1, x2, y2] = blindViewOf(candidate, 240, 160);
      const [left, top, right, bottom] = viewOf(candidate, 240, 160);
      expect([x2 - x1, y2 - y1]).toEqual([right - left, bottom - top]);
      expect(Math.min(x1, y1, 240 - x2, 160 - y2)).toBeGreaterThanOrEqual(0);
      expect(x1 <= box[0] && y1 <= box[1] && x2 >= box[2] && y2 >= box[3]).toBe(true);
      expect(blindViewOf(candidate, 240, 160)).toEqual([x1, y1, x2, y2]);
      places.push((box[0] - x1) / (x2 - x1 - 20));
    }
    // Spread over the crop: by halves, and by the outer fifths.
    const share = (test: (place: number) => boolean) => places.filter(test).length / places.length;
    expect(share((place) => place < 0.5)).toBeGreaterThan(0.25);
    expect(share((place) => place > 0.5)).toBeGreaterThan(0.25);
    expect(share((place) => place < 0.2 || place > 0.8)).toBeGreaterThan(0.2);
  });

  test('of a label is its surroundings, whatever the model sees', () => {
    expect(blindViewOf(located, 400, 400)).toEqual(viewOf(spurious, 400, 400));
  });
});

describe('an answer', () => {
  const two = [
    { id: 1, name: 'bud' },
    { id: 2, name: 'leaf' },
  ];
  const say = (more: Partial<Decision>) => ({ candidateId: 'c', ...more }) as Decision;

  test('accepts nothing that was not seen, and says where and what', () => {
    expect(problemOfBlind(missing('c'), say({ verdict: 'accept' }), two)).toMatch(/nothing to accept/);
    expect(problemOfBlind(missing('c'), say({ verdict: 'edit', categoryId: 1 }), two)).toMatch(/must say where/);
    expect(problemOfBlind(missing('c'), say({ verdict: 'edit', box: [0, 0, 9, 9] }), two)).toBe(
      'It is asked without what the model sees: the decision must name a category (bud, leaf).',
    );
    expect(problemOfBlind(missing('c'), say({ verdict: 'edit', box: [0, 0, 9, 9] }), two.slice(0, 1))).toBeNull();
    expect(problemOfBlind(missing('c'), say({ verdict: 'reject' }), two)).toBeNull();
    expect(problemOfBlind(reclassed, say({ verdict: 'edit', categoryId: 2 }), two)).toBeNull();
  });

  test.each<[string, Candidate, Partial<Decision>, boolean | null]>([
    ['accepts', missing('c'), { verdict: 'accept' }, true],
    ['rejects', missing('c'), { verdict: 'reject' }, false],
    ['cannot tell', missing('c'), { verdict: 'ignore' }, null],
    // 20 x 20 moved by 6: 14 * 20 / (2 * 400 - 280) = 0.54; by 7: 13 * 20 / (800 - 260) = 0.48.
    ['draws nearly the same box', missing('c'), { verdict: 'edit', box: [106, 100, 126, 120] }, true],
    ['draws another box', missing('c'), { verdict: 'edit', box: [107, 100, 127, 120] }, false],
    ['names another category', missing('c'), { verdict: 'edit', box: [100, 100, 120, 120], categoryId: 2 }, false],
    ['moves the label to the model’s side', located, { verdict: 'edit', box: [104, 100, 124, 120] }, true],
    ['moves it away', located, { verdict: 'edit', box: [96, 100, 116, 120] }, false],
    ['names the model’s class', reclassed, { verdict: 'edit', categoryId: 2 }, true],
    ['is about a label alone', spurious, { verdict: 'accept' }, null],
  ])('that %s', (_, candidate, decision, expected) => {
    expect(confirms(candidate, say(decision))).toBe(expected);
  });
});

test('a share of what the model has a box for is blind, with all of a share of the test images, and no known answer', () => {
  const candidates = Array.from({ length: 60 }, (_, i): Candidate => {
    const of = { imageId: i % 20, imageDigest: `d${i % 20}` };
    return i % 3 === 0 ? { ...spurious, ...of, id: `c${i}` } : { ...missing(`c${i}`), ...of };
  });
  const known = [{ candidateId: 'c1', type: 'missing', expected: 'accept' } as const];
  const splitOf = ({ imageId }: Candidate) => (imageId < 10 ? 'test' : 'train');
  const some = chooseAsking(candidates, known, { blind: { share: 0.25 } }, splitOf, 3);
  // 40 with a box of the model, one of them known.
  expect(some).toHaveLength(Math.round(0.25 * 39));
  expect(some.every(({ blind, opinions }) => blind === true && opinions === undefined)).toBe(true);
  const ids = new Set(
    chooseAsking(candidates, known, { blind: { testImages: 0.5 } }, splitOf, 3).map((one) => one.candidateId),
  );
  const blindImages = new Set(candidates.filter(({ id }) => ids.has(id)).map(({ imageId }) => imageId));
  expect(blindImages.size).toBe(5);
  for (const candidate of candidates) {
    const { id, imageId, detection: box } = candidate;
    expect(ids.has(id), id).toBe(blindImages.has(imageId) && box !== undefined && id !== 'c1');
  }
});

test('the sight of the box is worth the difference of two shares, with Newcombe’s interval', () => {
  // Newcombe (1998), table II, example (a): 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339.
  const claims = (blind: boolean, confirmed: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ blind, confirmed: i < confirmed }));
  const { shown, blind, difference } = anchoringOf([...claims(false, 56, 70), ...claims(true, 48, 80)])!;
  expect([shown.count, blind.count]).toEqual([70, 80]);
  expect(difference.value).toBeCloseTo(0.2, 12);
  expect(difference.low).toBeCloseTo(0.0524, 4);
  expect(difference.high).toBeCloseTo(0.3339, 4);
  expect(anchoringOf(claims(true, 3, 5))).toBeNull();
});

test('test images and others are measured by themselves, without who settles and without nobody', () => {
  const candidates = Array.from({ length: 8 }, (_, i) => ({ ...missing(`c${i}`), imageId: (i % 4) + 1 }));
  const images = [1, 2, 3, 4].map((id) => ({ id, split: id < 3 ? 'test' : 'val' }) as ImageEntry);
  const rules = { wanted: () => 1, isKnown: () => false, isBlind: (id: string) => Number(id.slice(1)) < 4 };
  const answers = candidates.map(({ id }) => ({ candidateId: id, verdict: 'reject' as const, by: 'ada' }));
  const more = [
    { ...answers[0]!, verdict: 'accept' as const, by: 'nobody' },
    { ...answers[1]!, verdict: 'accept' as const, by: 'lea', settles: true as const },
  ];
  const found = anchoringsOf(candidates, [...answers, ...more], rules, images)!;
  expect(found.map(({ of }) => of)).toEqual(['test', 'others']);
  for (const { anchoring } of found) {
    expect([anchoring.shown.count, anchoring.blind.count, anchoring.blind.value]).toEqual([2, 2, 0]);
  }
});
