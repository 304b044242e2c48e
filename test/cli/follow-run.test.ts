import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { createRun, writeRunState } from '../../artifacts/run-record.ts';
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
