import { describe, expect, it } from 'vitest';
import {
  addNotice,
  createRun,
  listRuns,
  readProgress,
  readRun,
  readStepRecord,
  readStepRecords,
  writeLiveState,
  writeProgress,
  writeRunState,
  writeStepRecord,
} from '../../artifacts/run-record.ts';
import type { RunHeader, StepRecord } from '../../plan/types.ts';
import { createMemoryStore } from './memory-store.ts';

const header = (run: string, createdAt = '2026-01-01T00:00:00.000Z'): RunHeader => ({
  run,
  pipeline: 'quickstart',
  planDigest: 'a'.repeat(64),
  source: 'b'.repeat(64),
  file: 'quickstart.yaml',
  params: {},
  createdAt,
});

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString();
const record = (changes: Partial<StepRecord>): StepRecord => ({
  path: 'train',
  kind: 'train',
  state: 'running',
  reused: false,
  ...changes,
});

describe('The record of a run', () => {
  it("belongs to who creates it first; the second is shown the first one's header", async () => {
    const store = createMemoryStore();
    expect(await createRun(store, header('r1'))).toBe('created');
    expect(await createRun(store, { ...header('r1'), planDigest: 'c'.repeat(64) })).toEqual(header('r1'));
  });

  it.each(['', '../x', 'a/b', '-x', 'a b', 'x'.repeat(101)])('refuses the id "%s"', async (run) => {
    await expect(createRun(createMemoryStore(), header(run))).rejects.toThrow('cannot be a run id');
  });

  it('begins as pending, and keeps the fields that a change does not name', async () => {
    const store = createMemoryStore();
    await createRun(store, header('r1'));
    expect((await readRun(store, 'r1'))?.state).toEqual({ state: 'pending' });
    await writeRunState(store, 'r1', { state: 'running', startedAt: at(0) });
    await writeRunState(store, 'r1', { state: 'held', error: 'disk full' });
    expect((await readRun(store, 'r1'))?.state).toEqual({ state: 'held', startedAt: at(0), error: 'disk full' });
    await writeRunState(store, 'r1', { state: 'running', error: undefined });
    expect((await readRun(store, 'r1'))?.state).toEqual({ state: 'running', startedAt: at(0) });
  });

  it('says what an open run does, and stays ended when word of that comes late', async () => {
    const store = createMemoryStore();
    await createRun(store, header('r1'));
    await writeRunState(store, 'r1', { state: 'running', startedAt: at(0) });
    await writeLiveState(store, 'r1', 'paused');
    expect((await readRun(store, 'r1'))?.state).toEqual({ state: 'paused', startedAt: at(0) });
    await writeRunState(store, 'r1', { state: 'done', endedAt: at(9) });
    await writeLiveState(store, 'r1', 'running');
    expect((await readRun(store, 'r1'))?.state).toEqual({ state: 'done', startedAt: at(0), endedAt: at(9) });
    // Begun again, and not open yet.
    await writeRunState(store, 'r1', { state: 'pending', endedAt: undefined });
    expect((await readRun(store, 'r1'))?.state.state).toBe('pending');
  });

  it('is null for an id that nobody took', async () => {
    expect(await readRun(createMemoryStore(), 'none')).toBeNull();
  });

  it('lists runs, newest first', async () => {
    const store = createMemoryStore();
    for (const [run, second] of [
      ['b', 2],
      ['c', 3],
      ['a', 1],
    ] as const)
      await createRun(store, header(run, at(second)));
    expect((await listRuns(store)).map((one) => one.header.run)).toEqual(['c', 'b', 'a']);
  });

  it('keeps notices that come at the same time, and the same text once', async () => {
    const store = createMemoryStore();
    await createRun(store, header('r1'));
    await Promise.all(['slow disk', 'few images', 'slow disk'].map((text) => addNotice(store, 'r1', text)));
    expect((await readRun(store, 'r1'))?.state.notices?.toSorted()).toEqual(['few images', 'slow disk']);
  });

  it('lists steps in order of start, then path, rounds by number, those not started last', async () => {
    const store = createMemoryStore();
    const paths = [
      ['late', 9],
      ['rounds[10].mine', 5],
      ['rounds[2].mine', 5],
      ['first', 1],
    ] as const;
    await writeStepRecord(store, 'r1', record({ path: 'never', state: 'skipped' }));
    for (const [path, second] of paths) await writeStepRecord(store, 'r1', record({ path, startedAt: at(second) }));
    expect((await readStepRecords(store, 'r1')).map(({ path }) => path)).toEqual([
      'first',
      'rounds[2].mine',
      'rounds[10].mine',
      'late',
      'never',
    ]);
  });

  it('shows the newest progress of each step', async () => {
    const store = createMemoryStore();
    await writeProgress(store, 'r1', { path: 'train', at: at(1), message: 'epoch 1', share: 0.1 });
    await writeProgress(store, 'r1', { path: 'train', at: at(2), message: 'epoch 2', share: 0.2 });
    expect(await readProgress(store, 'r1')).toEqual([{ path: 'train', at: at(2), message: 'epoch 2', share: 0.2 }]);
  });
});

describe('The record of a step', () => {
  const done = record({ state: 'done', startedAt: at(10), endedAt: at(20), outputs: { AP: 0.5 } });

  it('stays done when a worker that was thought dead reports', async () => {
    const store = createMemoryStore();
    await writeStepRecord(store, 'r1', done);
    expect(await writeStepRecord(store, 'r1', record({ startedAt: at(5) }))).toBe(false);
    expect(await writeStepRecord(store, 'r1', record({ startedAt: at(15), state: 'held', error: 'lost' }))).toBe(false);
    expect(await readStepRecord(store, 'r1', 'train')).toEqual(done);
  });

  it('begins anew with an attempt that started after it was done, or on purpose', async () => {
    const store = createMemoryStore();
    await writeStepRecord(store, 'r1', done);
    expect(await writeStepRecord(store, 'r1', record({ startedAt: at(30) }))).toBe(true);
    await writeStepRecord(store, 'r1', done);
    expect(await writeStepRecord(store, 'r1', record({ state: 'pending' }), { again: true })).toBe(true);
    expect((await readStepRecord(store, 'r1', 'train'))?.state).toBe('pending');
  });

  it('shows the newest attempt, not the failure of one before', async () => {
    const store = createMemoryStore();
    await writeStepRecord(store, 'r1', record({ startedAt: at(10) }));
    expect(await writeStepRecord(store, 'r1', record({ startedAt: at(5), state: 'held', error: 'old' }))).toBe(false);
    expect(await writeStepRecord(store, 'r1', record({ startedAt: at(10), state: 'held', error: 'own' }))).toBe(true);
  });

  it('takes a late `done`, which is the same whoever reports it', async () => {
    const store = createMemoryStore();
    await writeStepRecord(store, 'r1', record({ startedAt: at(30) }));
    expect(await writeStepRecord(store, 'r1', done)).toBe(true);
  });
});
