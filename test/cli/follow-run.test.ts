import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { addOperation, createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { type Store, StoreUnavailableError } from '../../artifacts/store.ts';
import { followRun } from '../../cli/follow-run.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';

async function storeWithRun(): Promise<Store> {
  const store = createMemoryStore();
  const planDigest = await store.putObject(Buffer.from('{"root":{"steps":[]}}'));
  const header = { run: 'r1', pipeline: 'p', planDigest, source: '', file: 'p.yaml', params: {}, given: [] };
  await createRun(store, { ...header, createdAt: new Date().toISOString() });
  return store;
}

/** Answers from the given look on; every look reads the run's header first. */
function awayUntil(store: Store, look: number): Store {
  let looks = 0;
  return {
    ...store,
    readRecord: async (key) => {
      if (key.endsWith('run.json') && ++looks < look) throw new StoreUnavailableError('No S3 server answers.', true);
      return store.readRecord(key);
    },
  };
}

function follow(store: Store, signal = new AbortController().signal) {
  const output = new PassThrough();
  let text = '';
  output.on('data', (chunk) => {
    text += String(chunk);
  });
  const options = { store, run: 'r1', signal, untilWaiting: false, untilHeld: false };
  const view = followRun({ ...options, output: output as unknown as NodeJS.WriteStream });
  // Colours are on wherever CI is set.
  return { view, text: () => stripVTControlCharacters(text) };
}

test('a store that is away for a while is told once, and does not end the following', async () => {
  const store = await storeWithRun();
  await writeRunState(store, 'r1', { state: 'done' });
  const { view, text } = follow(awayUntil(store, 3));
  expect((await view).state).toBe('done');
  expect(text()).toBe(
    'No S3 server answers. It is tried again until it answers; Ctrl-C stops.\nThe store answers again.\n',
  );
});

test('Ctrl-C ends it while the store is away, too', async () => {
  const store = await storeWithRun();
  const { view } = follow(awayUntil(store, Number.POSITIVE_INFINITY), AbortSignal.timeout(100));
  await expect(view).rejects.toThrow('No S3 server answers.');
});

test('a step that began again and found its own result says how long that took to make, not to find', async () => {
  const store = await storeWithRun();
  const now = new Date(Date.now() + 60_000).toISOString();
  const step = { kind: 'train', state: 'done', reused: false, startedAt: now, endedAt: now } as const;
  await writeStepRecord(store, 'r1', { ...step, path: 'model', found: { madeInMs: 32_000 } });
  await writeStepRecord(store, 'r1', { ...step, path: 'review', found: {} });
  await writeRunState(store, 'r1', { state: 'done' });
  const { view, text } = follow(store);
  await view;
  expect(text()).toMatch(/ {2}model {2}done before in 32.*\n.* {2}review {2}done before\n/);
});

test('a step that a pause stopped is told as paused, and each line has the time of what it tells', async () => {
  const store = await storeWithRun();
  const at = (minute: number) => new Date(2026, 0, 1, 10, minute).toISOString();
  await writeRunState(store, 'r1', { state: 'running' });
  const { view, text } = follow(store);
  const told = (pattern: RegExp) => expect.poll(text, { timeout: 30_000, interval: 20 }).toMatch(pattern);
  const step = { path: 'model', kind: 'train', reused: false, startedAt: at(0) } as const;
  const first = { startedAt: at(0), worker: 'w' };
  await writeStepRecord(store, 'r1', { ...step, state: 'running', attempts: [first] });
  await told(/^10:00:00 {2}model {2}train started$/m);
  const operation = { number: 1, operation: 'pause', at: at(5), by: 'ada', now: true } as const;
  await addOperation(store, 'r1', operation);
  const stopped = [{ ...first, endedAt: at(6), outcome: 'cancelled' }] as const;
  await writeStepRecord(store, 'r1', { ...step, state: 'cancelled', attempts: stopped });
  await told(/ada paused the run/);
  await writeStepRecord(store, 'r1', { ...step, state: 'paused', attempts: stopped }, { again: true });
  await told(/^10:06:00 {2}model {2}paused$/m);
  await addOperation(store, 'r1', { ...operation, number: 2, operation: 'resume', at: at(8) });
  const again = [...stopped, { startedAt: at(9), worker: 'w' }];
  await writeStepRecord(store, 'r1', { ...step, state: 'running', attempts: again }, { again: true });
  await told(/^10:09:00 {2}model {2}train started$/m);
  await writeRunState(store, 'r1', { state: 'done' });
  await view;
  expect(text()).not.toContain('cancelled');
});
