/** What was said early, page by page: what gates have taken since is left out, and each page fits into a message. */

import { expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/attempt.ts';
import { type EarlyPage, loadEarly } from '../../activities/load-early.ts';
import { writeApproval } from '../../artifacts/approval-record.ts';
import { type EarlyMessage, keepEarlyMessage } from '../../artifacts/early-messages.ts';
import { appendDecisions } from '../../artifacts/gate-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';

const by = 'ann';
const at = '2026-01-01T00:00:00Z';
const given = { answer: { go: true }, by, at, via: 'update' as const };

const decided = (gate: string, batch: string, count = 1): Extract<EarlyMessage, { batch: unknown }> => {
  const decisions = Array.from({ length: count }, (_, i) => ({ candidateId: `c${i}`, verdict: 'accept' as const }));
  return { gate, batch: { gate, batch, by, at, via: 'update', decisions } };
};

async function pages(store: Store): Promise<EarlyPage[]> {
  const all: EarlyPage[] = [];
  do {
    all.push(await loadEarly({ store } as ActivityDeps, { run: 'r', from: all.at(-1)?.next ?? null }));
  } while (all.at(-1)!.next !== null);
  return all;
}

const namesIn = ({ messages }: EarlyPage) =>
  messages.map((one) => `${one.gate} ${'batch' in one ? one.batch.batch : 'answer'}`);

test('decisions that are in the ledger, and answers that are recorded, do not come again', async () => {
  const store = createMemoryStore();
  const early = [
    decided('look[1]', '000001-a/b'),
    decided('look[1]', '000002-c'),
    decided('look[2]', '000001-a/b'),
    { gate: 'ok[1]', given },
    { gate: 'ok[2]', given },
  ];
  for (const message of early) await keepEarlyMessage(store, 'r', message);
  const { decisions } = decided('look[1]', '000001-a/b').batch;
  await appendDecisions(store, 'r', 'look[1]', { batch: '000001-a/b', by, at, decisions: decisions! });
  const asked = { message: '', form: { properties: {} }, shown: '' };
  await writeApproval(store, 'r', { path: 'ok[1]', state: 'answered', openedAt: at, ...asked, given });
  expect((await pages(store)).map(namesIn)).toEqual([['look[1] 000002-c', 'look[2] 000001-a/b', 'ok[2] answer']]);
});

test('thousands of early decisions come in pages that fit into a message, each once and in order', async () => {
  const store = createMemoryStore();
  const paths = Array.from({ length: 150 }, (_, i) => `look[${String(i).padStart(3, '0')}]`);
  for (const path of paths) await keepEarlyMessage(store, 'r', decided(path, '000001-a', 400));
  const all = await pages(store);
  expect(all.length).toBeGreaterThan(1);
  for (const page of all) expect(JSON.stringify(page).length).toBeLessThan(1_100_000);
  expect(all.flatMap(namesIn)).toEqual(paths.map((path) => `${path} 000001-a`));
});
