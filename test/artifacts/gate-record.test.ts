import { describe, expect, it } from 'vitest';
import { type LedgerEntry, recallDecisions, rememberDecisions } from '../../artifacts/decision-ledger.ts';
import {
  appendDecisions,
  type GateRecord,
  listGates,
  readDecisions,
  readGate,
  writeGate,
} from '../../artifacts/gate-record.ts';
import { createMemoryStore } from './memory-store.ts';

const gate = (path: string, openedAt: string): GateRecord => ({
  path,
  state: 'open',
  openedAt,
  candidates: { artifact: 'candidates', digest: 'a'.repeat(64), bytes: 2 },
  dataset: { artifact: 'dataset', digest: 'b'.repeat(64), bytes: 2 },
  carriedOver: 0,
});

describe('Gates of a run', () => {
  it('are listed in order of opening, and show their newest state', async () => {
    const store = createMemoryStore();
    await writeGate(store, 'r1', gate('rounds[2].review', '2026-01-02'));
    await writeGate(store, 'r1', gate('review', '2026-01-01'));
    await appendDecisions(store, 'r1', 'review', { batch: 'b1', by: 'ann', at: '2026-01-01', decisions: [] });
    await writeGate(store, 'r1', { ...gate('review', '2026-01-01'), state: 'closed', reason: 'expired' });
    expect((await listGates(store, 'r1')).map(({ path, state }) => [path, state])).toEqual([
      ['review', 'closed'],
      ['rounds[2].review', 'open'],
    ]);
    expect(await readGate(store, 'r1', 'none')).toBeNull();
  });

  it('keep decisions in order, each batch once, whatever its name', async () => {
    const store = createMemoryStore();
    const second = {
      batch: 'page/2',
      by: 'bob',
      at: '2026-01-02',
      decisions: [{ candidateId: 'y', verdict: 'reject' as const }],
    };
    const first = {
      batch: 'z',
      by: 'ann',
      at: '2026-01-01',
      shown: 'c',
      decisions: [{ candidateId: 'x', verdict: 'accept' as const }],
    };
    expect(await appendDecisions(store, 'r1', 'review', second)).toBe('created');
    expect(await appendDecisions(store, 'r1', 'review', first)).toBe('created');
    expect(await appendDecisions(store, 'r1', 'review', first)).toBe('repeated');
    expect(await readDecisions(store, 'r1', 'review')).toEqual([
      { candidateId: 'x', verdict: 'accept', batch: 'z', by: 'ann', at: '2026-01-01', shown: 'c' },
      { candidateId: 'y', verdict: 'reject', batch: 'page/2', by: 'bob', at: '2026-01-02', shown: undefined },
    ]);
    expect(await readDecisions(store, 'r1', 'review2')).toEqual([]);
  });
});

describe('The ledger of decisions', () => {
  const entry = (imageDigest: string, at: string): LedgerEntry => ({
    imageDigest,
    type: 'missing',
    detection: { categoryId: 1, box: [0, 0, 5, 5] },
    category: 'cherry',
    decision: { candidateId: 'x', verdict: 'accept' },
    by: 'ann',
    at,
    run: 'r1',
    gate: 'review',
  });

  it('recalls what was decided about an image, in any run, newest first', async () => {
    const store = createMemoryStore();
    const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];
    await rememberDecisions(store, [entry(a, '2026-01-01'), entry(a, '2026-01-02'), entry(b, '2026-01-01')]);
    await rememberDecisions(store, [entry(a, '2026-01-01')]);
    const recalled = await recallDecisions(store, [a, c]);
    expect([...recalled.keys()]).toEqual([a]);
    expect(recalled.get(a)).toEqual([entry(a, '2026-01-02'), entry(a, '2026-01-01')]);
    // Many images take another way to the same answer.
    const many = [a, c, ...Array.from({ length: 100 }, (_, i) => String(i).padStart(64, '0'))];
    expect(await recallDecisions(store, many)).toEqual(recalled);
  });
});
