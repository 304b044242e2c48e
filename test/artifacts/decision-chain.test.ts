import { describe, expect, it } from 'vitest';
import { brokenLink, chainStart } from '../../artifacts/decision-chain.ts';
import { appendDecisions, readBatches, readTip } from '../../artifacts/gate-record.ts';
import { createMemoryStore } from './memory-store.ts';

async function ledger(batches = 3) {
  const store = createMemoryStore();
  for (let i = 1; i <= batches; i++) {
    await appendDecisions(store, 'r1', 'review', {
      batch: `b${i}`,
      by: 'ann',
      at: `2026-01-0${i}`,
      decisions: [{ candidateId: `c${i}`, verdict: 'accept', seconds: 2, reason: 'plain to see' }],
    });
  }
  const key = (i: number) => `runs/r1/gates/review/decisions/b${i}.json`;
  const change = async (i: number, from: string, to: string) => {
    const text = (await store.readRecord(key(i)))!.toString();
    expect(text).toContain(from);
    await store.writeRecord(key(i), Buffer.from(text.replace(from, to)));
  };
  const tip = await readTip(store, 'r1', 'review');
  const check = async (known = tip, without: readonly number[] = []) => {
    const stored = await readBatches(store, 'r1', 'review');
    return brokenLink(
      'r1',
      'review',
      stored.filter(({ batch }) => !without.includes(batch.sequence!)),
      known,
    );
  };
  return { store, key, change, tip, check };
}

describe('the chain of decisions', () => {
  it('holds as it was written, from the hash of run and gate on', async () => {
    const { tip, check, store } = await ledger();
    expect(tip.batches).toBe(3);
    expect(await check()).toBeNull();
    expect(await readTip(store, 'r1', 'other')).toEqual(chainStart('r1', 'other'));
    expect(brokenLink('r1', 'other', [], undefined)).toBeNull();
  });

  it('does not grow by a batch that is sent again', async () => {
    const { tip, store, check } = await ledger();
    const again = { batch: 'b2', by: 'eve', at: '2026-02-01', decisions: [] };
    expect(await appendDecisions(store, 'r1', 'review', again)).toBe('repeated');
    expect(await readTip(store, 'r1', 'review')).toEqual(tip);
    expect(await check()).toBeNull();
  });

  it('breaks after a verdict that was changed', async () => {
    const { change, check, key } = await ledger();
    await change(1, '"accept"', '"reject"');
    expect(await check()).toEqual({
      key: key(2),
      sequence: 2,
      what: expect.stringContaining('batch 1 now has the hash'),
    });
  });

  it('breaks at the last batch where that was changed', async () => {
    const { change, check } = await ledger();
    await change(3, '"ann"', '"bob"');
    expect(await check()).toMatchObject({ sequence: 3, what: expect.stringContaining('batch 3 was changed') });
  });

  it('breaks where a batch is gone, at the end too', async () => {
    const { check, key } = await ledger();
    expect(await check(undefined, [2])).toEqual({ key: key(3), sequence: 2, what: 'batch 2 is gone: the next is 3.' });
    expect(await check(undefined, [3])).toMatchObject({
      sequence: 3,
      what: 'the gate knows 3 batches, and 2 are there.',
    });
  });

  it('breaks where a batch was put in between, or taken from another gate', async () => {
    const { store, check, key } = await ledger();
    const text = (await store.readRecord(key(2)))!.toString();
    await store.createRecord('runs/r1/gates/review/decisions/forged.json', Buffer.from(text.replace('"b2"', '"b9"')));
    expect(await check()).toMatchObject({ sequence: 3, what: 'two records are batch 2.' });
    const stored = await readBatches(store, 'r1', 'review');
    expect(brokenLink('r1', 'second', stored.slice(0, 1), undefined)).toMatchObject({ sequence: 1 });
  });

  it('holds where a worker died before the gate heard of the last batch', async () => {
    const { check, store } = await ledger(2);
    const two = await readTip(store, 'r1', 'review');
    await appendDecisions(store, 'r1', 'review', { batch: 'b3', by: 'ann', at: '2026-01-03', decisions: [] });
    expect(await check(two)).toBeNull();
  });
});
