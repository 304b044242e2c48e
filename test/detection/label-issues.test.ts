import { describe, expect, it } from 'vitest';
import { type DetectionRow, detectionsFromRows } from '../../detection/detections.ts';
import { applyVerdicts, findCandidates, scoreCorrections } from '../../detection/label-issues.ts';
import { createRandom } from '../../detection/random.ts';
import { plantErrors } from '../../detection/scenes.ts';
import { oracleDecisions } from '../../detection/simulated-reviewer.ts';
import type { Annotation, Box, Candidate, Labels } from '../../detection/types.ts';

const categories = [
  { id: 1, name: 'berry' },
  { id: 2, name: 'bud' },
];
const images = [{ id: 1, digest: 'd1', split: 'train' as const }];
const options = { confidence: 0.3, iou: 0.5 };
const made = { parent: 'before', author: 'review', note: '' };

function label(id: string, box: Box, more: Partial<Annotation> = {}): Annotation {
  return { id, imageId: 1, categoryId: 1, box, ...more };
}

function find(annotations: readonly Annotation[], ...rows: readonly (readonly [number, Box, number?])[]) {
  const detections = detectionsFromRows(
    [1],
    rows.map(([score, box, categoryId = 1]) => ({ imageId: 1, categoryId, box, score })),
  );
  return findCandidates({ categories, images, annotations }, detections, options);
}

function labels(...annotations: Annotation[]): Labels {
  return { parent: null, author: 'import', note: '', annotations };
}

describe('findCandidates', () => {
  it('finds nothing where labels and model agree, and nothing in nothing', () => {
    expect(find([label('a', [0, 0, 10, 10])], [0.9, [0, 0, 10, 9]])).toEqual([]);
    expect(find([])).toEqual([]);
  });

  it('calls a sure detection without a label missing', () => {
    const [candidate, ...others] = find([], [0.8, [0, 0, 10, 10]], [0.2, [50, 50, 60, 60]]);
    expect(others).toEqual([]);
    expect(candidate).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      type: 'missing',
      imageId: 1,
      imageDigest: 'd1',
      detection: { categoryId: 1, box: [0, 0, 10, 10], score: 0.8 },
      rank: expect.any(Number),
      chance: expect.any(Number),
      seconds: expect.any(Number),
    });
  });

  it('calls a label that nothing supports spurious', () => {
    const annotations = [label('a', [0, 0, 10, 10]), label('b', [50, 50, 60, 60])];
    const [candidate] = find(annotations, [0.9, [0, 0, 10, 10]], [0.2, [50, 50, 60, 60]]);
    expect(candidate).toMatchObject({ type: 'spurious', annotation: { id: 'b' } });
  });

  it('calls one category at another place badly located', () => {
    const [candidate, ...others] = find([label('a', [0, 0, 10, 10])], [0.8, [5, 0, 15, 10]]);
    expect(others).toEqual([]);
    expect(candidate).toMatchObject({ type: 'badly-located', annotation: { id: 'a' }, iou: 1 / 3 });
  });

  it('calls a loose label badly located, though a poorer detection agrees with it', () => {
    const loose = label('a', [0, 0, 10, 10]);
    // IoU 0.45 and 0.6 with the label
    const candidates = find([loose], [0.9, [0, 0, 10, 4.5]], [0.5, [0, 4, 10, 10]]);
    expect(candidates).toMatchObject([
      { type: 'badly-located', annotation: { id: 'a' }, iou: 0.45, detection: { box: [0, 0, 10, 4.5] } },
    ]);
    // at 0.39 it may be an object beside the labelled one
    expect(find([loose], [0.9, [0, 0, 10, 3.9]], [0.5, [0, 4, 10, 10]])).toMatchObject([{ type: 'missing' }]);
    // a label is asked about once, and another category is another object
    const twice = find([loose], [0.9, [0, 0, 10, 4.5]], [0.8, [5.5, 0, 10, 10]], [0.5, [0, 4, 10, 10]]);
    expect(twice.map(({ type }) => type).sort()).toEqual(['badly-located', 'missing']);
    expect(find([loose], [0.9, [0, 0, 10, 4.5], 2], [0.5, [0, 4, 10, 10]])).toMatchObject([{ type: 'missing' }]);
  });

  it('calls another category at one place wrong class', () => {
    const [candidate, ...others] = find([label('a', [0, 0, 10, 10])], [0.8, [0, 0, 10, 10], 2]);
    expect(others).toEqual([]);
    expect(candidate).toMatchObject({ type: 'wrong-class', iou: 1, detection: { categoryId: 2 } });
  });

  it('does not propose a second category for a label that is supported', () => {
    expect(find([label('a', [0, 0, 10, 10])], [0.9, [0, 0, 10, 10]], [0.5, [0, 0, 10, 10], 2])).toEqual([]);
  });

  it('calls the worse of two labels of one object a duplicate', () => {
    const annotations = [label('a', [0, 0, 10, 9]), label('b', [0, 0, 10, 10])];
    const candidates = find(annotations, [0.9, [0, 0, 10, 10]]);
    expect(candidates).toMatchObject([{ type: 'duplicate', annotation: { id: 'a' }, iou: 0.9 }]);
  });

  it('asks nothing about crowds and ignore regions', () => {
    const annotations = [label('a', [0, 0, 40, 40], { ignore: true }), label('b', [60, 60, 90, 90], { crowd: true })];
    expect(find(annotations, [0.9, [5, 5, 15, 15]], [0.8, [65, 65, 75, 75]])).toEqual([]);
  });

  it('keeps the ids of candidates over small changes of the model', () => {
    const [first] = find([], [0.8, [0.1, 0.2, 10.1, 10.2]]);
    const [second] = find([], [0.5, [0.2, 0, 10.3, 10]]);
    expect(second!.id).toBe(first!.id);
  });

  it('looks only at the wanted splits and at images that were detected', () => {
    const detections = detectionsFromRows([1], [{ imageId: 1, categoryId: 1, box: [0, 0, 9, 9], score: 1 }]);
    const dataset = { categories, images, annotations: [label('other', [0, 0, 9, 9], { imageId: 2 })] };
    expect(findCandidates(dataset, detections, { ...options, splits: ['test'] })).toEqual([]);
    expect(findCandidates(dataset, detections, { ...options, splits: ['train'] })).toHaveLength(1);
    const unseen = [{ id: 2, digest: 'd2', split: 'train' as const }];
    expect(findCandidates({ ...dataset, images: unseen }, detections, options)).toEqual([]);
  });
});

describe('applyVerdicts', () => {
  const candidate = (id: string, more: Partial<Candidate>): Candidate => ({
    id,
    type: 'missing',
    imageId: 1,
    imageDigest: 'd1',
    rank: 1,
    ...more,
  });
  const a = label('a', [0, 0, 10, 10], { area: 60 });
  const detection = { categoryId: 2, box: [1, 0, 11, 10] as Box, score: 0.9 };

  it.each([
    ['missing', {}, { what: 'added', after: { id: 'new-c', imageId: 1, categoryId: 2, box: [1, 0, 11, 10] } }],
    ['spurious', { annotation: a }, { what: 'removed', before: a }],
    ['duplicate', { annotation: a }, { what: 'removed', before: a }],
    ['badly-located', { annotation: a }, { what: 'moved', before: a, after: label('a', [1, 0, 11, 10]) }],
    ['wrong-class', { annotation: a }, { what: 'reclassed', before: a, after: { ...a, categoryId: 2 } }],
  ] as const)('accepts %s', (type, more, change) => {
    const asked = [candidate('c', { type, detection, ...more })];
    const result = applyVerdicts(labels(a), asked, [{ candidateId: 'c', verdict: 'accept' }], made);
    expect(result.conflicts).toEqual([]);
    expect(result.changes).toEqual([{ candidateId: 'c', imageId: 1, ...change }]);
    const kept = type === 'missing' ? [a] : [];
    expect(result.labels).toEqual({ ...made, annotations: [...kept, ...('after' in change ? [change.after] : [])] });
  });

  it('changes nothing by rejecting, or without a decision', () => {
    const asked = [candidate('c', { detection }), candidate('d', { type: 'spurious', annotation: a })];
    const result = applyVerdicts(labels(a), asked, [{ candidateId: 'c', verdict: 'reject' }], made);
    expect(result).toEqual({ labels: { ...made, annotations: [a] }, changes: [], conflicts: [] });
  });

  it('edits to the given box and category', () => {
    const asked = [candidate('c', { type: 'spurious', annotation: a })];
    const decision = { candidateId: 'c', verdict: 'edit' as const, box: [2, 2, 8, 8] as Box, categoryId: 2 };
    expect(applyVerdicts(labels(a), asked, [decision], made).labels.annotations).toEqual([
      label('a', [2, 2, 8, 8], { categoryId: 2 }),
    ]);
    expect(applyVerdicts(labels(a), asked, [{ candidateId: 'c', verdict: 'edit' }], made).conflicts).toEqual([
      { candidateId: 'c', reason: 'An edit needs a box or a category.' },
    ]);
  });

  it('makes ignore regions of what cannot be told', () => {
    const asked = [candidate('c', { detection }), candidate('d', { type: 'spurious', annotation: a })];
    const decisions = asked.map(({ id }) => ({ candidateId: id, verdict: 'ignore' as const }));
    const result = applyVerdicts(labels(a), asked, decisions, made);
    expect(result.changes.map(({ what }) => what)).toEqual(['ignored', 'ignored']);
    expect(result.labels.annotations).toEqual([
      { ...a, ignore: true },
      { id: 'new-c', imageId: 1, categoryId: 2, box: [1, 0, 11, 10], ignore: true },
    ]);
  });

  it('lets the first of two changes of one label win, in the order of the candidates', () => {
    const asked = [
      candidate('c', { type: 'badly-located', annotation: a, detection }),
      candidate('d', { type: 'spurious', annotation: a }),
    ];
    const decisions = [
      { candidateId: 'd', verdict: 'accept' as const },
      { candidateId: 'c', verdict: 'accept' as const },
      { candidateId: 'nobody', verdict: 'accept' as const },
    ];
    const result = applyVerdicts(labels(a), asked, decisions, made);
    expect(result.changes.map(({ what }) => what)).toEqual(['moved']);
    expect(result.conflicts).toEqual([
      { candidateId: 'nobody', reason: 'No candidate has this id.' },
      { candidateId: 'd', reason: 'Candidate c changed the same label before.' },
    ]);
  });

  it('refuses to add a label twice or to change one that is gone', () => {
    const asked = [candidate('c', { detection }), candidate('d', { type: 'spurious', annotation: a })];
    const decisions = asked.map(({ id }) => ({ candidateId: id, verdict: 'accept' as const }));
    const once = applyVerdicts(labels(a), asked, decisions, made);
    const twice = applyVerdicts(once.labels, asked, decisions, made);
    expect(twice.labels).toEqual(once.labels);
    expect(twice.conflicts.map(({ reason }) => reason)).toEqual([
      'Label new-c was added before.',
      'Label a is not in this label version.',
    ]);
  });
});

describe('the simulated reviewer', () => {
  const many = Array.from({ length: 100 }, (_, i) => ({ id: i + 1, width: 200, height: 200 }));
  const entries = many.map(({ id }) => ({ id, digest: `d${id}`, split: 'train' as const }));
  const truth: Annotation[] = many.flatMap(({ id }) =>
    [0, 1, 2, 3].map((k) => ({
      id: `${id}.${k}`,
      imageId: id,
      categoryId: 1 + (k % 2),
      box: [k * 45, 40, k * 45 + 20, 60] as Box,
    })),
  );
  const rates = { missing: 0.1, spurious: 0.1, shifted: 0.1, wrongClass: 0.1 };
  const { annotations: given, errors } = plantErrors(truth, many, categories, rates, 3);
  const imageIds = many.map(({ id }) => id);

  // a model that is right to a pixel or two
  const random = createRandom('model');
  const rows: DetectionRow[] = truth.map(({ imageId, categoryId, box }) => ({
    imageId,
    categoryId,
    box: box.map((edge) => edge + 2 * random.next()) as unknown as Box,
    score: 0.5 + 0.5 * random.next(),
  }));
  const candidates = findCandidates(
    { categories, images: entries, annotations: given },
    detectionsFromRows(imageIds, rows),
    options,
  );
  const planted = (type: string) => errors.filter((error) => error.type === type).length;

  it('mends all that a good model points at', () => {
    const decisions = oracleDecisions(candidates, truth, given, { errorRate: 0, seed: 1 });
    const { labels: after, conflicts } = applyVerdicts(labels(...given), candidates, decisions, made);
    expect(conflicts).toEqual([]);
    const scores = scoreCorrections({ imageIds }, given, after.annotations, truth);
    expect(scores.map(({ type, before }) => [type, before])).toEqual([
      ['missing', planted('missing')],
      ['spurious', planted('spurious')],
      ['shifted', planted('shifted')],
      ['wrong-class', planted('wrong-class')],
    ]);
    for (const { found, before, remaining, introduced } of scores) {
      expect(remaining / before).toBeLessThan(0.2);
      expect(found + remaining).toBe(before);
      expect(introduced).toBe(0);
    }
  });

  it('errs at about its rate, and the same again', () => {
    const right = oracleDecisions(candidates, truth, given, { errorRate: 0, seed: 1 });
    const erring = oracleDecisions(candidates, truth, given, { errorRate: 0.2, seed: 1 });
    const wrong = erring.filter(({ verdict }, i) => verdict !== right[i]!.verdict).length / erring.length;
    expect(wrong).toBeGreaterThan(0.1);
    expect(wrong).toBeLessThan(0.3);
    expect(oracleDecisions(candidates, truth, given, { errorRate: 0.2, seed: 1 })).toEqual(erring);
  });

  it('sets a proposal that is a true box to its exact place, and rejects the rest', () => {
    const target = label('t', [0, 0, 10, 10]);
    const decide = (asked: readonly Candidate[], own: readonly Annotation[]) =>
      oracleDecisions(asked, [target], own, { errorRate: 0, seed: 1 });
    const near = find([], [0.9, [1, 0, 11, 10]]);
    expect(decide(near, [])).toEqual([{ candidateId: near[0]!.id, verdict: 'edit', box: target.box, categoryId: 1 }]);
    expect(decide(find([], [0.9, [0, 0, 10, 10]]), [])).toMatchObject([{ verdict: 'accept' }]);
    expect(decide(find([], [0.9, [40, 40, 50, 50]]), [])).toMatchObject([{ verdict: 'reject' }]);
    // a second proposal for the same object
    expect(decide(find([], [0.9, [0, 0, 10, 10]], [0.8, [2, 0, 12, 10]]), [])).toMatchObject([
      { verdict: 'accept' },
      { verdict: 'reject' },
    ]);
    // the label is right, the model missed it
    expect(decide(find([target]), [target])).toMatchObject([{ verdict: 'reject' }]);
    // the label is right, the model is beside it
    expect(decide(find([target], [0.9, [5, 0, 15, 10]]), [target])).toMatchObject([{ verdict: 'reject' }]);
    const spurious = label('s', [60, 60, 70, 70]);
    expect(decide(find([spurious]), [spurious])).toMatchObject([{ verdict: 'accept' }]);
  });
});
