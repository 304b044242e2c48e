/** Gates that ask several people, or without the model's box: opened, answered and ended as activities, without a server. */

import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { appendBatches, applyDecisions, openGate, type ReviewParameters } from '../../activities/review-labels.ts';
import { loadDataset, loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { recallDecisions } from '../../artifacts/decision-ledger.ts';
import { readDecisions, readGate, readKnown } from '../../artifacts/gate-record.ts';
import { readRules } from '../../artifacts/gate-rules.ts';
import { toCandidate } from '../../detection/label-issues.ts';
import type { Annotation, Candidate, Decision, ImageEntry } from '../../detection/types.ts';
import type { ArtifactRef, StepRequest } from '../../plan/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { testEnvironment } from '../small-plans.ts';

const images = Array.from(
  { length: 40 },
  (_, i): ImageEntry => ({
    id: i + 1,
    fileName: `${i + 1}.png`,
    width: 200,
    height: 200,
    digest: (i + 16).toString(16).repeat(32),
    split: i < 20 ? 'train' : 'test',
    group: String(i),
  }),
);
const annotations = images.flatMap(({ id }) =>
  [0, 1, 2].map(
    (k): Annotation => ({ id: `${id}-${k}`, imageId: id, categoryId: 1, box: [k * 60, 10, k * 60 + 20, 30] }),
  ),
);
/** In each image a target without a label, as the model says. */
const asked = images.map((image, i): Candidate => {
  const detection = { categoryId: 1, box: [100, 100, 120, 120], score: i % 2 === 0 ? 0.9 : 0.6 } as const;
  return toCandidate(image, { type: 'missing', detection, rank: 0.5 + i / 100, chance: 0.5, seconds: 2 });
});

/** A gate of its own store, opened. */
async function opened(more: Omit<Partial<ReviewParameters>, 'dataset' | 'candidates'>) {
  const store = createMemoryStore();
  const deps = { store, describeEnvironment: async () => testEnvironment };
  const labels = { parent: null, author: 'import', note: '', annotations };
  const dataset = await saveDataset(store, { categories: [{ id: 1, name: 'cherry' }], images, labels });
  const candidates = await saveJson(store, 'candidates', asked);
  const request = {
    run: 'r1',
    path: 'review',
    kind: 'review-labels',
    version: 1,
    with: { dataset, candidates, ...more },
    seed: 1,
    environment: testEnvironment,
  } as unknown as StepRequest;
  const policy = { retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 }, timeoutMs: 60_000, holds: 0 };
  const run = <T>(work: () => Promise<T>): Promise<T> => new MockActivityEnvironment().run(work) as Promise<T>;
  await run(() => openGate(deps, request, policy));
  const gate = (await readGate(store, 'r1', 'review'))!;
  let batches = 0;
  return {
    store,
    shown: await loadJson(store, 'candidates', gate.candidates),
    known: new Map((await readKnown(store, gate)).map((one) => [one.candidateId, one])),
    rules: await readRules(store, gate),
    say: async (by: string, decisions: readonly Decision[]) => {
      batches++;
      const at = `2026-01-01T00:00:${String(batches).padStart(2, '0')}.000Z`;
      return await appendBatches(deps, {
        run: 'r1',
        batches: [{ gate: 'review', batch: `b${batches}`, by, at, decisions }],
      });
    },
    end: async (ended: 'decided' | 'expired' | 'proceeded') => {
      const { outputs } = await run(() => applyDecisions(deps, { step: request, ended }, policy));
      const { labels: after } = await loadDataset(store, outputs.dataset as ArtifactRef);
      return {
        corrections: await loadJson(store, 'corrections', outputs.corrections as ArtifactRef),
        added: after.annotations.filter(({ id }) => id.startsWith('new-')).map(({ imageId }) => imageId),
      };
    },
    remembered: async () => {
      const digests = images.map(({ digest }) => digest);
      return [...(await recallDecisions(store, digests)).values()].flat();
    },
  };
}

const imagesOf = (candidates: readonly Candidate[]) => candidates.map(({ imageId }) => imageId).sort((a, b) => a - b);

test('at the end opinions that differ are weighed by known answers, and what is not sure keeps its label', async () => {
  const unsettled = { weighAbove: 0.8 } as const;
  const gate = await opened({ knownAnswers: 0.4, reviewers: { count: 2, unsettled } });
  const { shown, known, rules } = gate;
  expect(known.size).toBe(16);
  expect(shown.every(({ id }) => rules.wanted(id) === 2)).toBe(true);
  const real = shown.filter(({ id }) => !known.has(id));
  const [first, second, third, ...rest] = real as [Candidate, Candidate, Candidate, ...Candidate[]];
  // Ada is right about all 16 known answers, ben about 12 of them, cy gives none.
  const right = (id: string) => known.get(id)!.expected;
  const wrong = (id: string) => (right(id) === 'accept' ? 'reject' : 'accept');
  const ids = [...known.keys()];
  await gate.say('ada', [
    ...ids.map((candidateId): Decision => ({ candidateId, verdict: right(candidateId) })),
    { candidateId: first.id, verdict: 'accept' },
    { candidateId: third.id, verdict: 'accept' },
    ...rest.map(({ id }): Decision => ({ candidateId: id, verdict: 'reject' })),
  ]);
  await gate.say('ben', [
    ...ids.map(
      (candidateId, i): Decision => ({ candidateId, verdict: i < 12 ? right(candidateId) : wrong(candidateId) }),
    ),
    { candidateId: first.id, verdict: 'reject' },
    { candidateId: second.id, verdict: 'accept' },
    ...rest.map(({ id }): Decision => ({ candidateId: id, verdict: 'reject' })),
  ]);
  await gate.say('cy', [{ candidateId: second.id, verdict: 'reject' }]);
  // One opinion of two is remembered for no later run.
  expect(await gate.remembered()).toHaveLength(rest.length);

  const { corrections, added } = await gate.end('expired');
  // The odds of ada are 17 to 1, of ben 13 to 5. First: 17 / 2.6 for ada. Second: 2.6 for ben, 0.72. Third: 17 for ada alone.
  expect(added).toEqual(imagesOf([first, third]));
  expect(corrections.undecided).toBe(1);
  const weighed = (await readDecisions(gate.store, 'r1', 'review')).filter(({ by }) => by === 'weights');
  expect(weighed.map(({ candidateId, verdict, reason, settles }) => [candidateId, verdict, reason, settles])).toEqual([
    [
      first.id,
      'accept',
      `settled by weight: right with a probability of ${(17 / 2.6 / (1 + 17 / 2.6)).toFixed(3)}`,
      true,
    ],
    [third.id, 'accept', `settled by weight: right with a probability of ${(17 / 18).toFixed(3)}`, true],
  ]);
  expect(await gate.remembered()).toHaveLength(rest.length);
});

test('without weights a conflict keeps its label, and the model’s score settles only what nobody looked at', async () => {
  const expire = Object.fromEntries([
    ['in', '1h'],
    ['then', { acceptAbove: 0.8 }],
  ]) as never;
  const gate = await opened({ reviewers: 2, after: { expire } });
  const sure = gate.shown.filter(({ detection }) => detection!.score > 0.8);
  const [conflict, alone, ...rest] = sure as [Candidate, Candidate, ...Candidate[]];
  await gate.say('ada', [
    { candidateId: conflict.id, verdict: 'reject' },
    { candidateId: alone.id, verdict: 'reject' },
  ]);
  await gate.say('ben', [{ candidateId: conflict.id, verdict: 'accept' }]);
  const { corrections, added } = await gate.end('expired');
  expect(added).toEqual(imagesOf(rest));
  expect(corrections.undecided).toBe(asked.length - rest.length);
});

test('blind answers are drawn, and the corrections say how far the sight of the box sways', async () => {
  const gate = await opened({ blind: { testImages: 0.5 } });
  const blind = gate.shown.filter(({ id }) => gate.rules.isBlind(id));
  expect(blind).toHaveLength(10);
  const [one, ...others] = blind as [Candidate, ...Candidate[]];
  expect(await gate.say('ada', [{ candidateId: one.id, verdict: 'accept' }])).toMatchObject({
    refused: [{ candidateId: one.id, by: 'ada', why: expect.stringMatching(/nothing to accept/) }],
  });
  const seen = gate.shown.filter(({ id }) => !gate.rules.isBlind(id));
  await gate.say('ada', [
    { candidateId: one.id, verdict: 'edit', box: [101, 100, 120, 121] },
    ...others.map(({ id }): Decision => ({ candidateId: id, verdict: 'reject' })),
    ...seen.map(({ id }): Decision => ({ candidateId: id, verdict: 'accept' })),
  ]);
  const { corrections, added } = await gate.end('decided');
  expect(added).toEqual(imagesOf([one, ...seen]));
  // Of the train split nothing was blind, so there is nothing to compare.
  expect(corrections.anchoring?.map(({ of }) => of)).toEqual(['test']);
  const { shown, blind: hidden, difference } = corrections.anchoring![0]!.anchoring;
  expect([shown.count, shown.value, hidden.count, hidden.value, difference.value]).toEqual([10, 1, 10, 0.1, 0.9]);
});
