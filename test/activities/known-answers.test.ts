/** A gate with questions whose answers are known: opened, answered and applied as activities, without a server. */

import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { appendBatches, applyDecisions, openGate } from '../../activities/review-labels.ts';
import { loadDataset, loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { recallDecisions } from '../../artifacts/decision-ledger.ts';
import { readGate, readKnown } from '../../artifacts/gate-record.ts';
import { iou } from '../../detection/box.ts';
import { plantQuestions } from '../../detection/known-questions.ts';
import { toCandidate } from '../../detection/label-issues.ts';
import type { Annotation, Box, Candidate, Decision, ImageEntry } from '../../detection/types.ts';
import type { ArtifactRef, StepRequest } from '../../plan/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { testEnvironment } from '../small-plans.ts';

const categories = [
  { id: 1, name: 'cherry' },
  { id: 2, name: 'leaf' },
];
const images = Array.from(
  { length: 12 },
  (_, i): ImageEntry => ({
    id: i + 1,
    fileName: `${i + 1}.png`,
    width: 200,
    height: 200,
    digest: String(i).repeat(64).slice(0, 64),
    split: 'train',
    group: String(i),
  }),
);
const annotations = images.flatMap(({ id }) =>
  [0, 1, 2].map(
    (k): Annotation => ({ id: `${id}-${k}`, imageId: id, categoryId: 1, box: [k * 60, 10, k * 60 + 20, 30] }),
  ),
);
const score = 0.9;
/** In each image one candidate: of a label, or of a place without one. */
const asked = images.map((image, i): Candidate => {
  const annotation = annotations.find(({ imageId }) => imageId === image.id)!;
  const detection = (box: Box, categoryId = 1) => ({ categoryId, box, score });
  const kinds = [
    { type: 'missing', detection: detection([100, 100, 120, 120]) },
    { type: 'spurious', annotation },
    { type: 'badly-located', annotation, detection: detection([5, 10, 25, 30]), iou: 0.6 },
    { type: 'wrong-class', annotation, detection: detection(annotation.box, 2), iou: 1 },
  ] as const;
  return toCandidate(image, { ...kinds[i % 4]!, rank: 0.5 + i / 100, chance: 0.5, seconds: 2 });
});

test('known questions are like the real ones, and no real label is the worse for them', () => {
  const { candidates, known } = plantQuestions({ categories, images, annotations }, asked, 16, 3);
  expect(candidates).toHaveLength(16);
  expect(new Set(candidates.map(({ type }) => type)).size).toBeGreaterThan(2);
  const inQuestion = new Set(asked.map(({ annotation }) => annotation?.id));
  for (const [i, { type, annotation, detection, imageId }] of candidates.entries()) {
    const { expected, hides, candidateId } = known[i]!;
    expect(candidateId).toBe(candidates[i]!.id);
    if (annotation !== undefined) expect(inQuestion.has(annotation.id)).toBe(false);
    const own = annotations.filter((label) => label.imageId === imageId);
    const best = (box: Box) => Math.max(...own.map((label) => iou(label.box, box)));
    // what should be found is wrong: no label there, nothing under the label, another place, another category
    if (type === 'missing') expect(best(detection!.box)).toBe(expected === 'accept' ? 1 : 0);
    if (type === 'spurious') expect(best(annotation!.box)).toBe(expected === 'accept' ? 0 : 1);
    if (type === 'badly-located') expect(best(annotation!.box) === 1).toBe(expected === 'reject');
    if (type === 'wrong-class') expect(annotation!.categoryId === 1).toBe(expected === 'reject');
    expect(hides !== undefined).toBe(type === 'missing' && expected === 'accept');
  }
  expect(known.filter(({ expected }) => expected === 'accept').length).toBeGreaterThan(5);
  expect(plantQuestions({ categories, images, annotations }, asked, 16, 3)).toEqual({ candidates, known });
});

test('images without labels that nothing speaks against get no known questions', () => {
  expect(plantQuestions({ categories, images, annotations: [] }, asked, 4, 1).candidates).toEqual([]);
  expect(plantQuestions({ categories, images, annotations }, [], 4, 1).candidates).toEqual([]);
});

test('known answers measure the reviewers, and are neither applied nor remembered', async () => {
  const store = createMemoryStore();
  const deps = { store, describeEnvironment: async () => testEnvironment };
  const labels = { parent: null, author: 'import', note: '', annotations };
  const dataset = await saveDataset(store, { categories, images, labels });
  const candidates = await saveJson(store, 'candidates', asked);
  const request: StepRequest = {
    run: 'r1',
    path: 'review',
    kind: 'review-labels',
    version: 1,
    with: { dataset, candidates, knownAnswers: 0.5 } as never,
    seed: 1,
    environment: testEnvironment,
  };
  const policy = { retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 }, timeoutMs: 60_000, holds: 0 };
  const run = <T>(work: () => Promise<T>): Promise<T> => new MockActivityEnvironment().run(work) as Promise<T>;

  expect(await run(() => openGate(deps, request, policy))).toMatchObject({ undecided: 18 });
  const gate = (await readGate(store, 'r1', 'review'))!;
  const known = new Map((await readKnown(store, gate)).map((one) => [one.candidateId, one]));
  expect(known.size).toBe(6);
  const shown = await loadJson(store, 'candidates', gate.candidates);

  // anna is right about all that is known but the first, and accepts everything else
  const [missed] = known.keys();
  const decisions = shown.map(({ id }): Decision => {
    const right = known.get(id)?.expected ?? 'accept';
    return { candidateId: id, verdict: id === missed ? (right === 'accept' ? 'reject' : 'accept') : right };
  });
  const batch = { gate: 'review', batch: 'b1', by: 'anna', at: '2026-01-01T00:00:00.000Z', decisions };
  expect(await appendBatches(deps, { run: 'r1', batches: [batch] })).toMatchObject({ undecided: 0, refused: [] });
  const remembered = await recallDecisions(
    store,
    images.map(({ digest }) => digest),
  );
  expect([...remembered.values()].flat()).toHaveLength(12);

  const { outputs } = await run(() => applyDecisions(deps, { step: request, ended: 'decided' }, policy));
  const corrections = await loadJson(store, 'corrections', outputs.corrections as ArtifactRef);
  expect(corrections).toMatchObject({ asked: 12, undecided: 0, trust: { questions: 6 } });
  expect(corrections.changes).toHaveLength(12);
  const { reviewers } = corrections.trust!;
  const sum = (field: 'asked' | 'right') => reviewers.reduce((total, one) => total + one[field], 0);
  expect([sum('asked'), sum('right')]).toEqual([6, 5]);
  // a label no candidate was about is as it was
  const after = (await loadDataset(store, outputs.dataset as ArtifactRef)).labels.annotations;
  for (const label of annotations.filter(({ id }) => !id.endsWith('-0'))) expect(after).toContainEqual(label);
});

test('`reask` asks again what was decided before', async () => {
  const store = createMemoryStore();
  const deps = { store, describeEnvironment: async () => testEnvironment };
  const labels = { parent: null, author: 'import', note: '', annotations };
  const dataset = await saveDataset(store, { categories, images, labels });
  const candidates = await saveJson(store, 'candidates', asked);
  const policy = { retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 }, timeoutMs: 60_000, holds: 0 };
  const open = (run: string, reask: boolean) =>
    new MockActivityEnvironment().run(() =>
      openGate(
        deps,
        {
          run,
          path: 'review',
          kind: 'review-labels',
          version: 1,
          with: { dataset, candidates, reask } as never,
          seed: 1,
          environment: testEnvironment,
        },
        policy,
      ),
    );
  await open('r1', false);
  const decisions = asked.map(({ id }): Decision => ({ candidateId: id, verdict: 'reject' }));
  const batch = { gate: 'review', batch: 'b1', by: 'anna', at: '2026-01-01T00:00:00.000Z', decisions };
  await appendBatches(deps, { run: 'r1', batches: [batch] });
  expect(await open('r2', false)).toMatchObject({ undecided: 0 });
  expect(await open('r3', true)).toMatchObject({ undecided: 12 });
});
