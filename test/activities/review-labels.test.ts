/** What a review does beside waiting: which decisions are well formed, and which earlier ones hold again. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { carryOver } from '../../activities/carry-over.ts';
import { appendBatches } from '../../activities/review-labels.ts';
import { saveDataset, saveJson, saveLabels } from '../../artifacts/codecs.ts';
import { type LedgerEntry, rememberDecisions } from '../../artifacts/decision-ledger.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readDecisions, writeGate } from '../../artifacts/gate-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { markOf, problemOfDecisions } from '../../detection/decisions.ts';
import type { Box, Candidate, Decision } from '../../detection/types.ts';
import { conflictOf, gatePaths, isGatePath, problemOfMessage } from '../../workflows/decision-check.ts';
import { gate, repeat, testEnvironment } from '../small-plans.ts';

let folder: string;
let store: Store;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-review-'));
  store = await openFolderStore(folder);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const imageDigest = 'd'.repeat(64);
const categories = [
  { id: 1, name: 'apple' },
  { id: 2, name: 'pear' },
];

const missing = (box: Box, categoryId = 1): Candidate => ({
  id: 'now',
  type: 'missing',
  imageId: 1,
  imageDigest,
  detection: { categoryId, box, score: 0.9 },
  rank: 1,
});

const entry = (box: Box, changes: Partial<LedgerEntry> = {}): LedgerEntry => ({
  imageDigest,
  type: 'missing',
  detection: { categoryId: 1, box },
  category: 'apple',
  decision: { candidateId: 'then', verdict: 'reject' },
  by: 'Ann',
  at: '2026-01-01T00:00:00.000Z',
  run: 'r0',
  gate: 'review',
  ...changes,
});

describe('an earlier decision', () => {
  const human = { categories, labels: '', reviewer: 'human' } as const;
  const carried = async (candidate: Candidate, ...entries: LedgerEntry[]) => {
    await rememberDecisions(store, entries);
    return (await carryOver(store, [candidate], human)).map(({ verdict, by, categoryId }) => ({
      verdict,
      by,
      categoryId,
    }));
  };

  test('holds for a box in the same place', async () => {
    // 100 x 100 against 100 x 95: IoU 95/100
    expect(await carried(missing([0, 0, 100, 100]), entry([0, 0, 100, 95]))).toMatchObject([
      { verdict: 'reject', by: 'Ann' },
    ]);
  });

  test('does not hold where the evidence changed: another place, category, type or image', async () => {
    // IoU 89/100
    expect(await carried(missing([0, 0, 100, 100]), entry([0, 0, 100, 89]))).toEqual([]);
    expect(await carried(missing([0, 0, 10, 10], 2), entry([0, 0, 10, 10]))).toEqual([]);
    expect(await carried({ ...missing([0, 0, 10, 10]), type: 'spurious' }, entry([0, 0, 10, 10]))).toEqual([]);
    expect(await carried({ ...missing([0, 0, 10, 10]), imageDigest: 'e'.repeat(64) }, entry([0, 0, 10, 10]))).toEqual(
      [],
    );
  });

  test('is the newest of those that fit', async () => {
    const newer = entry([0, 0, 10, 10], {
      at: '2026-02-01T00:00:00.000Z',
      decision: { candidateId: 'then', verdict: 'accept' },
    });
    expect(await carried(missing([0, 0, 10, 10]), entry([0, 0, 10, 10]), newer)).toMatchObject([{ verdict: 'accept' }]);
  });

  test('names its category as this dataset numbers it', async () => {
    const edited = entry([0, 0, 10, 10], {
      decision: { candidateId: 'then', verdict: 'edit', categoryId: 7 },
      decidedCategory: 'pear',
    });
    expect(await carried(missing([0, 0, 10, 10]), edited)).toMatchObject([{ verdict: 'edit', categoryId: 2 }]);
  });

  test('of a simulation holds for no person, and for a simulation only where it led to the labels', async () => {
    const first = await saveLabels(store, { parent: null, author: 'import', note: '', annotations: [] });
    const second = await saveLabels(store, { parent: first.digest, author: 'review', note: '', annotations: [] });
    const third = await saveLabels(store, { parent: second.digest, author: 'review', note: 'x', annotations: [] });
    const candidate = missing([0, 0, 10, 10]);
    await rememberDecisions(store, [entry([0, 0, 10, 10], { simulatedLabels: second.digest })]);
    const carriedFor = async (reviewer: 'human' | 'oracle', labels: string) =>
      (await carryOver(store, [candidate], { categories, labels, reviewer })).length;
    expect(await carriedFor('human', third.digest)).toBe(0);
    expect(await carriedFor('oracle', first.digest)).toBe(0);
    expect(await carriedFor('oracle', second.digest)).toBe(1);
    expect(await carriedFor('oracle', third.digest)).toBe(1);
  });
});

describe('a list of decisions', () => {
  test.each([
    [[{ candidateId: 'a', verdict: 'accept' }], null],
    [[{ candidateId: 'a', verdict: 'edit', box: [0, 0, 4, 4] }], null],
    [[{ candidateId: 'a', verdict: 'edit', categoryId: 2 }], null],
    [[{ candidateId: 'a', verdict: 'ignore', box: [0, 0, 4, 4] }], null],
    ['all', '"decisions" is a list, not a string.'],
    [[null], 'decisions[0]: a decision is an object, not null.'],
    [[{ verdict: 'accept' }], 'decisions[0]: "candidateId" is missing.'],
    [
      [{ candidateId: 'a', verdict: 'edit', box: [4, 0, 4, 9] }],
      'decisions[0]: candidate a has the box [4,0,4,9]; expected [x1, y1, x2, y2] with x2 > x1 and y2 > y1.',
    ],
    [
      [{ candidateId: 'a', verdict: 'accept', box: [0, 0, 4, 4] }],
      'decisions[0]: candidate a has a box, which "accept" does not take; the verdict for another box is "edit".',
    ],
    [
      [
        { candidateId: 'a', verdict: 'accept' },
        { candidateId: 'a', verdict: 'reject' },
      ],
      'decisions[1]: candidate a is decided twice in the list, and not the same way.',
    ],
  ])('%j: %s', (decisions, problem) => {
    expect(problemOfDecisions(decisions)).toBe(problem);
  });

  test('is the same decision whatever the reason says', () => {
    const decision = { candidateId: 'a', verdict: 'edit', box: [0, 0, 4, 4] as Box } as const;
    expect(markOf({ ...decision, reason: 'blurred' })).toBe(markOf(decision));
  });
});

describe('a decide message', () => {
  const message = { gate: 'review', batch: 'b1', by: 'Ann', decisions: [] };
  test.each([
    [message, null],
    [{ ...message, decisions: undefined, reference: 'a'.repeat(64) }, null],
    ['accept', 'A decide message is an object, not a string.'],
    [{ ...message, gate: '' }, 'A decide message names its gate: "gate" is the path of a review step.'],
    [
      { ...message, batch: '../b' },
      '"batch" is "../b"; expected 1 to 64 letters, digits, dots, dashes and underscores, chosen by the sender.',
    ],
    [{ ...message, by: 3 }, '"by" is missing; it names who decided.'],
    [{ ...message, reference: 'a'.repeat(64) }, 'A decide message has either "decisions" or "reference".'],
    [{ ...message, shown: 'x' }, '"shown" is no digest (64 hex digits).'],
  ])('%j: %s', (given, problem) => {
    expect(problemOfMessage(given)).toBe(problem);
  });

  test('counts its conflicts', () => {
    const decided = new Map([
      ['a', 'accept'],
      ['b', 'accept'],
    ]);
    const decisions = ['a', 'b', 'c'].map((candidateId) => ({ candidateId, verdict: 'reject' as const }));
    expect(conflictOf({ ...message, decisions }, decided)).toMatch(
      /^Candidate a \(and 1 more of this message\) of review/,
    );
  });
});

describe('a batch that came in', () => {
  test('loses the decisions that cannot be meant for their image, whoever sent them', async () => {
    const dataset = await saveDataset(store, {
      categories,
      images: [{ id: 1, fileName: 'a.png', width: 100, height: 80, digest: imageDigest, split: 'train', group: 'a' }],
      labels: { parent: null, author: 'import', note: '', annotations: [] },
    });
    const asked = ['one', 'two', 'three'].map((id) => ({ ...missing([10, 10, 30, 30]), id }));
    const candidates = await saveJson(store, 'candidates', asked);
    const openedAt = '2026-01-01T00:00:00.000Z';
    await writeGate(store, 'r1', { path: 'review', state: 'open', openedAt, candidates, dataset, carriedOver: 0 });
    const decisions: Decision[] = [
      { candidateId: 'one', verdict: 'edit', box: [100, 0, 120, 20] },
      { candidateId: 'two', verdict: 'edit', box: [10, 10, 30, 30], categoryId: 9 },
      { candidateId: 'three', verdict: 'edit', box: [90, 10, 130, 30], categoryId: 2 },
    ];
    const deps = { store, describeEnvironment: async () => testEnvironment };
    const batch = { gate: 'review', batch: 'b1', by: 'Ann', at: openedAt, decisions };
    expect(await appendBatches(deps, { run: 'r1', batches: [batch] })).toEqual({
      undecided: 2,
      written: [{ batch: 'b1', accepted: 1, repeated: 0 }],
      refused: [
        {
          candidateId: 'one',
          by: 'Ann',
          why: 'The box [100, 0, 120, 20] lies wholly outside its image of 100 x 80 pixels.',
        },
        { candidateId: 'two', by: 'Ann', why: 'There is no category 9; known are 1 apple, 2 pear.' },
      ],
    });
    expect((await readDecisions(store, 'r1', 'review')).map(({ candidateId }) => candidateId)).toEqual(['three']);
  });
});

test('a gate is named by its path, in any round', () => {
  const scope = { steps: [gate('review'), repeat('rounds', [gate('review'), repeat('inner', [gate('again')])])] };
  expect(gatePaths(scope)).toEqual(['review', 'rounds[N].review', 'rounds[N].inner[N].again']);
  for (const path of ['review', 'rounds[1].review', 'rounds[20].inner[3].again']) {
    expect(isGatePath(scope, path), path).toBe(true);
  }
  for (const path of ['rounds', 'rounds[1]', 'rounds[0].review', 'rounds.review', 'review[1]', 'nothing', '']) {
    expect(isGatePath(scope, path), path).toBe(false);
  }
});
