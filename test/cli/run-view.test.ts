/** What `status --json` prints is put together from the run record alone. */

import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { addNotice, addOperation, createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { readRunView, statusJson } from '../../cli/run-view.ts';
import { statusText } from '../../cli/status.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';

const at = '2026-01-02T03:04:05.000Z';

test('sums up what `status --json` prints', async () => {
  const store = createMemoryStore();
  const header = { run: 'r1', pipeline: 'quickstart', planDigest: 'a'.repeat(64), source: 'b'.repeat(64) };
  await createRun(store, { ...header, file: 'quickstart.yaml', params: {}, createdAt: at });
  await writeRunState(store, 'r1', { state: 'waiting' });
  await addNotice(store, 'r1', 'few images');
  const pause = { operation: 'pause', at, number: 1, by: 'ada', now: false } as const;
  await addOperation(store, 'r1', pause);
  await addOperation(store, 'r1', pause);
  await writeStepRecord(store, 'r1', {
    path: 'review',
    kind: 'review-labels',
    state: 'waiting',
    reused: false,
    startedAt: at,
    waitingFor: '3 decisions',
    fingerprint: 'f',
  });
  expect(JSON.parse(JSON.stringify(statusJson((await readRunView(store, 'r1'))!)))).toEqual({
    run: 'r1',
    pipeline: 'quickstart',
    state: 'waiting',
    createdAt: at,
    notices: ['few images'],
    operations: [{ operation: 'pause', at, by: 'ada', now: false }],
    steps: [
      {
        path: 'review',
        kind: 'review-labels',
        state: 'waiting',
        reused: false,
        startedAt: at,
        endedAt: null,
        outputs: {},
        waitingFor: '3 decisions',
      },
    ],
  });
});

test('a step that was skipped took no time, and one that found its result as long as that took to make', async () => {
  const store = createMemoryStore();
  const digest = 'a'.repeat(64);
  const header = { run: 'r1', pipeline: 'p', planDigest: digest, source: digest, file: 'p.yaml', params: {} };
  await createRun(store, { ...header, createdAt: at });
  await writeRunState(store, 'r1', { state: 'done', endedAt: at });
  const step = { kind: 'train', reused: false, startedAt: at, endedAt: at } as const;
  await writeStepRecord(store, 'r1', { ...step, path: 'skipped', state: 'skipped' });
  await writeStepRecord(store, 'r1', { ...step, path: 'found', state: 'done', found: { madeInMs: 75_000 } });
  const text = stripVTControlCharacters(statusText((await readRunView(store, 'r1'))!));
  expect(text).toMatch(/^ +skipped +train +skipped *$/m);
  expect(text).toMatch(/^ +found +train +done +1 min 15 s$/m);
});

test('`status` says of a run that waits whether it is paused, too', async () => {
  const store = createMemoryStore();
  const header = { run: 'r1', pipeline: 'p', planDigest: 'a'.repeat(64), source: 'b'.repeat(64) };
  await createRun(store, { ...header, file: 'p.yaml', params: {}, createdAt: at });
  await writeRunState(store, 'r1', { state: 'waiting' });
  const firstLine = async () => stripVTControlCharacters(statusText((await readRunView(store, 'r1'))!)).split('\n')[0];
  expect(await firstLine()).toBe('r1: waiting');
  await addOperation(store, 'r1', { operation: 'pause', at, number: 1, by: 'ada', now: false });
  expect(await firstLine()).toBe('r1: waiting, paused');
  await addOperation(store, 'r1', { operation: 'resume', at, number: 2, by: 'ada' });
  expect(await firstLine()).toBe('r1: waiting');
});

test('a run that nobody started has no view', async () => {
  expect(await readRunView(createMemoryStore(), 'none')).toBeNull();
});
