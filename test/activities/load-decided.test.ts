/** What people said to a run, page by page: everything once, and each page reads its own part of the ledgers. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ActivityDeps } from '../../activities/attempt.ts';
import { type DecidedPage, loadDecided } from '../../activities/load-decided.ts';
import { writeApproval } from '../../artifacts/approval-record.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { appendDecisions, writeGate } from '../../artifacts/gate-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { messageBytesMax } from '../../plan/limits.ts';
import { bytesOf } from '../../plan/value-bytes.ts';

let folder: string;
let store: Store;
/** Keys of records that were read. */
let read: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-decided-'));
  store = await openFolderStore(folder);
  const readRecord = store.readRecord.bind(store);
  vi.spyOn(store, 'readRecord').mockImplementation((key) => {
    read.push(key);
    return readRecord(key);
  });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const artifact = (kind: string) => ({ artifact: kind, digest: '0'.repeat(64) }) as never;

async function openGate(path: string): Promise<void> {
  const record = { candidates: artifact('candidates'), dataset: artifact('dataset'), carriedOver: 0 };
  await writeGate(store, 'r', { path, state: 'open', openedAt: '2026-01-01T00:00:00Z', ...record });
}

/** With its mark some two hundred bytes. */
const candidate = (number: number): string => `c${number}`.padEnd(170, '-');

async function answer(path: string, text: string): Promise<void> {
  const given = { answer: { text }, by: 'ben', at: '2026-01-01T00:00:00Z', via: 'update' as const };
  const asked = { message: '', form: { properties: {}, required: [] }, shown: '' };
  await writeApproval(store, 'r', { path, state: 'answered', openedAt: '2026-01-01T00:00:00Z', ...asked, given });
}

/** `from` is the number of the first candidate. */
async function say(gate: string, batch: string, from: number, count: number): Promise<void> {
  const decisions = Array.from({ length: count }, (_, i) => {
    return { candidateId: candidate(from + i), verdict: 'accept' as const };
  });
  await appendDecisions(store, 'r', gate, { batch, by: 'ann', at: '2026-01-01T00:00:00Z', decisions });
}

async function pages(): Promise<{ page: DecidedPage; read: string[] }[]> {
  const all: { page: DecidedPage; read: string[] }[] = [];
  let from: DecidedPage['next'] = null;
  do {
    read = [];
    const page: DecidedPage = await loadDecided({ store } as ActivityDeps, { run: 'r', from });
    all.push({ page, read });
    from = page.next;
  } while (from !== null);
  return all;
}

const itemsIn = ({ batches, answers }: DecidedPage) =>
  batches.reduce((sum, { decisions }) => sum + decisions.length, 0) + answers.length;

/** All pages but the last are as large as messages should be, and none is larger, but for a comma behind each item. */
function expectFull(all: readonly DecidedPage[]): void {
  for (const [at, page] of all.entries()) {
    const bytes = bytesOf(page);
    expect(bytes).toBeLessThan(messageBytesMax + 10_000);
    if (at < all.length - 1) expect(bytes).toBeGreaterThan(messageBytesMax - 1_000);
  }
}

test('a page holds what follows the one before, also from the midst of a long list', async () => {
  const gates = ['look[a]', 'rounds[1].review'];
  for (const gate of gates) await openGate(gate);
  await say(gates[0]!, '000001-x', 0, 4_000);
  await say(gates[0]!, '000002-list', 4_000, 12_000);
  await say(gates[1]!, '000001-x', 0, 3_900);
  for (let i = 0; i < 200; i++) await answer(`ok[${i}]`, 'yes');
  const all = await pages();
  expect(all).toHaveLength(5);
  expectFull(all.map(({ page }) => page));
  const decided = all.flatMap(({ page }) =>
    page.batches.flatMap(({ gate, decisions }) => decisions.map(({ candidateId }) => `${gate} ${candidateId}`)),
  );
  expect(decided).toHaveLength(19_900);
  expect(new Set(decided).size).toBe(19_900);
  expect(decided[16_000]).toBe(`rounds[1].review ${candidate(0)}`);
  const answers = all.flatMap(({ page }) => page.answers);
  expect(new Set(answers.map(({ gate }) => gate)).size).toBe(200);
  // A few are fetched ahead, and again by the next page.
  const approvals = all.map(({ read: keys }) => keys.filter((key) => key.includes('/approvals/')).length);
  expect(approvals.slice(0, 3)).toEqual([0, 0, 0]);
  expect(approvals[3]! + approvals[4]!).toBeLessThan(200 + 10);
  expect(all[0]!.page.batches[0]).toMatchObject({ batch: '000001-x', by: 'ann' });
});

test('a ledger of many batches is read once, not once a page', async () => {
  await openGate('review');
  const batches = 60;
  for (let i = 0; i < batches; i++) await say('review', `${String(i + 1).padStart(6, '0')}-x`, 250 * i, 250);
  const all = await pages();
  expectFull(all.map(({ page }) => page));
  expect(all.reduce((sum, { page }) => sum + itemsIn(page), 0)).toBe(250 * batches);
  // A few more are fetched ahead.
  for (const page of all) expect(page.read.filter((key) => key.includes('/decisions/')).length).toBeLessThan(20 + 10);
  expect(all.at(-1)!.page.next).toBeNull();
});

test('a run that nobody was asked in has one empty page', async () => {
  expect((await pages()).map(({ page }) => page)).toEqual([{ batches: [], answers: [], closed: [], next: null }]);
});

test('however long answers are, no page is larger than Temporal takes', async () => {
  const lengths = [400_000, 400_000, 400_000, 1_500_000, 100];
  for (const [i, length] of lengths.entries()) await answer(`ok[${i}]`, 'x'.repeat(length));
  const texts = (await pages()).map(({ page }) => page.answers.map(({ given }) => String(given.answer.text).length));
  expect(texts).toEqual([[400_000, 400_000], [400_000], [1_500_000], [100]]);
});
