/** Labels that reviewers drew where nobody asked: into the ledger, the new label version, and later reviews. */

import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, test } from 'vitest';
import { appendBatches, applyDecisions, openGate } from '../../activities/review-labels.ts';
import { loadDataset, loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { readDecisions, readGate } from '../../artifacts/gate-record.ts';
import { problemOfDecisions } from '../../detection/decisions.ts';
import { toCandidate } from '../../detection/label-issues.ts';
import type { Annotation, Box, Candidate, Decision, ImageEntry } from '../../detection/types.ts';
import type { ArtifactRef, StepRequest } from '../../plan/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { testEnvironment } from '../small-plans.ts';

const categories = [
  { id: 1, name: 'cherry' },
  { id: 2, name: 'leaf' },
];
const images = [1, 2].map(
  (id): ImageEntry => ({
    id,
    fileName: `${id}.png`,
    width: 200,
    height: 100,
    digest: String(id).repeat(64),
    split: 'train',
    group: String(id),
  }),
);
const label = (id: string, imageId: number, box: Box): Annotation => ({ id, imageId, categoryId: 1, box });
const annotations = [label('a', 1, [10, 10, 30, 30]), label('b', 2, [10, 10, 30, 30])];
const spurious = toCandidate(images[0]!, { type: 'spurious', annotation: annotations[0]!, rank: 1 });
const drawn: Decision = {
  candidateId: 'drawn-00000000000000aa',
  verdict: 'add',
  imageId: 1,
  box: [100, 40, 120, 60],
  categoryId: 2,
};

const policy = { retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 }, timeoutMs: 60_000, holds: 0 };
const inActivity = <T>(work: () => Promise<T>): Promise<T> => new MockActivityEnvironment().run(work) as Promise<T>;

async function reviewed(
  store = createMemoryStore(),
  run = 'r1',
  asked: readonly Candidate[] = [spurious],
  given: readonly Annotation[] = annotations,
  parameters: { readonly reask?: boolean } = {},
) {
  const deps = { store, describeEnvironment: async () => testEnvironment };
  const labels = { parent: null, author: 'import', note: '', annotations: given };
  const dataset = await saveDataset(store, { categories, images, labels });
  const candidates = await saveJson(store, 'candidates', asked);
  const request: StepRequest = {
    run,
    path: 'review',
    kind: 'review-labels',
    version: 1,
    with: { dataset, candidates, ...parameters } as never,
    seed: 1,
    environment: testEnvironment,
  };
  const opened = await inActivity(() => openGate(deps, request, policy));
  return {
    store,
    opened,
    send: (decisions: readonly Decision[], by = 'ada') => {
      const at = new Date().toISOString();
      const batch = { gate: 'review', batch: `${by} ${at} ${decisions.length}`, by, at, decisions };
      return appendBatches(deps, { run, batches: [batch] });
    },
    apply: async () => {
      const { outputs } = await inActivity(() => applyDecisions(deps, { step: request, ended: 'decided' }, policy));
      const made = await loadDataset(store, outputs.dataset as unknown as ArtifactRef);
      const corrections = await loadJson(store, 'corrections', outputs.corrections as unknown as ArtifactRef);
      return { labels: made.labels.annotations, corrections };
    },
  };
}

describe('a box drawn where nobody asked', () => {
  test('is in the ledger with its author, in the corrections and in the new label version', async () => {
    const { store, send, apply } = await reviewed();
    expect(await send([drawn])).toMatchObject({ undecided: 1, refused: [], written: [{ accepted: 1 }] });
    // The same once more changes nothing.
    expect(await send([drawn])).toMatchObject({ undecided: 1, refused: [], written: [{ accepted: 0, repeated: 1 }] });
    expect(await send([{ candidateId: spurious.id, verdict: 'reject' }])).toMatchObject({ undecided: 0 });
    expect((await readGate(store, 'r1', 'review'))?.decided).toBe(1);
    expect(await readDecisions(store, 'r1', 'review')).toMatchObject([{ ...drawn, by: 'ada' }, {}]);
    const { labels, corrections } = await apply();
    const added = { id: 'new-drawn-00000000000000aa', imageId: 1, categoryId: 2, box: drawn.box };
    expect(labels).toEqual([annotations[0], added, annotations[1]]);
    expect(corrections).toMatchObject({
      asked: 1,
      undecided: 0,
      decisions: [{ candidateId: spurious.id }, { ...drawn, type: 'missing', by: 'ada' }],
      changes: [{ what: 'added', imageId: 1, candidateId: drawn.candidateId, after: added }],
    });
  });

  test('ends at the edge of its image', async () => {
    const { send, apply } = await reviewed();
    await send([{ ...drawn, box: [190, 90, 230, 130] }]);
    expect((await apply()).labels[1]?.box).toEqual([190, 90, 200, 100]);
  });

  test('is refused where there is no such image or category, a label already, or the same box by another', async () => {
    const { send } = await reviewed();
    await send([drawn], 'ben');
    const other = (id: string, changes: Partial<Decision>): Decision => ({
      ...drawn,
      candidateId: `drawn-00000000000000${id}`,
      ...changes,
    });
    const { refused } = await send([
      other('01', { imageId: 9 }),
      other('02', { categoryId: 9 }),
      other('03', { categoryId: 1, box: [10, 10, 30, 31] }),
      other('04', { box: [101, 40, 121, 60] }),
      other('aa', { box: [1, 1, 9, 9] }),
      other('05', { box: [100, 40, 120, 60], imageId: 2 }),
    ]);
    expect(refused.map(({ candidateId, why }) => `${candidateId.slice(-2)} ${why}`)).toEqual([
      '01 The dataset has no image 9.',
      '02 There is no category 9; known are 1 cherry, 2 leaf.',
      '03 There is a label of this category on the box [10, 10, 30, 30] already.',
      '04 ben has drawn this box before.',
      expect.stringContaining('aa ben decided it as "add 100 40 120 60 category 2 image 1"'),
    ]);
  });
});

describe('in a later review', () => {
  const found = (box: Box) =>
    toCandidate(images[0]!, { type: 'missing', detection: { categoryId: 2, box, score: 0.9 }, rank: 1 });

  test('a drawn box is added again where the labels lack it, and nobody has to draw it twice', async () => {
    const { store, send } = await reviewed();
    await send([drawn]);
    const again = await reviewed(store, 'r2');
    expect((await readGate(store, 'r2', 'review'))?.carriedOver).toBe(1);
    const { labels, corrections } = await again.apply();
    expect(labels.map(({ box }) => box)).toContainEqual(drawn.box);
    expect(corrections.decisions).toMatchObject([{ verdict: 'add', by: 'ada', imageId: 1 }]);
  });

  test('it answers the model that finds the same target', async () => {
    const { store, send } = await reviewed();
    await send([drawn]);
    const { opened, apply } = await reviewed(store, 'r2', [found([100, 40, 120, 61])]);
    expect(opened).toMatchObject({ undecided: 0 });
    const { labels } = await apply();
    expect(labels.filter(({ categoryId }) => categoryId === 2).map(({ box }) => box)).toEqual([drawn.box]);
  });

  test('it does not come back where its label is there, was removed, or `reask` asks for a second opinion', async () => {
    const { store, send, apply } = await reviewed();
    await send([drawn]);
    const { labels } = await apply();
    const carried = async (run: string) => (await readGate(store, run, 'review'))?.carriedOver;
    const added = labels.find(({ categoryId }) => categoryId === 2)!;
    const doubtful = toCandidate(images[0]!, { type: 'spurious', annotation: added, rank: 1 });
    const second = await reviewed(store, 'r2', [doubtful], labels);
    expect(await carried('r2')).toBe(0);
    await second.send([{ candidateId: doubtful.id, verdict: 'accept' }]);
    // Other questions than the first, whose result would just be reused.
    const other = [found([50, 50, 60, 60])];
    await reviewed(store, 'r3', other);
    expect(await carried('r3')).toBe(0);
    const fresh = { ...drawn, candidateId: 'drawn-00000000000000bb', box: [150, 40, 170, 60] as const };
    await (await reviewed(store, 'r4', other)).send([fresh]);
    await reviewed(store, 'r5', other);
    expect(await carried('r5')).toBe(1);
    await reviewed(store, 'r6', other, annotations, { reask: true });
    expect(await carried('r6')).toBe(0);
  });
});

test.each([
  [{ imageId: undefined }, 'needs "imageId", "box" ([x1, y1, x2, y2] in pixels of the image) and "categoryId"'],
  [{ box: undefined }, 'needs "imageId", "box"'],
  [{ imageId: 0 }, "has the image 0; expected an image's id"],
  [{ candidateId: 'abc' }, '"abc" is no id of a drawn box'],
  [{ verdict: 'edit' as const }, 'is a drawn box; its verdict is "add", not "edit"'],
  [{ candidateId: 'abc', verdict: 'accept' as const }, 'has an image, which only "add" takes'],
])('a decision that adds a label is whole: %j', (changes, problem) => {
  expect(problemOfDecisions([{ ...drawn, ...changes }])).toContain(problem);
  expect(problemOfDecisions([drawn])).toBeNull();
});
