/** Orders to a run whose workflow is not there yet, and to one that has ended but for its last word to the server. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRun, readOperations, readRun, writeRunState } from '../../artifacts/run-record.ts';
import { runPause, runReset } from '../../cli/operate.ts';
import type { Settings } from '../../cli/settings.ts';
import { captureOutput } from '../cli/capture.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, testQueuePrefix } from '../small-plans.ts';

let rig: Rig;
let settings: Settings;
beforeAll(async () => {
  rig = await openRig();
  const { folder, storeFolder: store, server } = rig;
  settings = { folder, store, queue: testQueuePrefix, address: server.address };
});
afterAll(async () => {
  await rig?.close();
});

let release = (): void => undefined;
const released = new Promise<void>((resolve) => {
  release = resolve;
});
const steps = {
  note: async () => ({ value: 1 }),
  slow: async () => {
    await released;
    return { value: 2 };
  },
};
const stateOf = async (run: string) => (await readRun(rig.store, run))?.state.state;

async function quietly<Answer>(command: () => Promise<Answer>): Promise<Answer> {
  const printed = captureOutput();
  return await command().finally(printed);
}

test('a reset counts also where the worker was stopped before the workflow of the ended run could end', async () => {
  const before = await rig.startRun('ended', { steps: [activity('a', 'note')] });
  await writeRunState(rig.store, 'ended', {
    state: 'done',
    startedAt: '2026-03-01T10:00:00.000Z',
    endedAt: '2026-03-01T10:00:01.000Z',
  });
  await quietly(() => runReset(settings, 'ended', 'a', [], { by: 'ann' }));
  expect(await stateOf('ended')).toBe('pending');
  await rig.startWorker(steps);
  await eventually(async () => (await stateOf('ended')) === 'done');
  expect(await readOperations(rig.store, 'ended')).toMatchObject([{ operation: 'reset', by: 'ann', steps: ['a'] }]);
  await expect(before.result()).rejects.toThrow();
});

test('a pause waits for the workflow of a run that another command has just begun', async () => {
  const createdAt = new Date().toISOString();
  const [pipeline, file, source, planDigest] = [
    'test-pipeline',
    'test.yaml',
    '',
    await rig.store.putObject(Buffer.from('{}')),
  ];
  await createRun(rig.store, { run: 'early', pipeline, planDigest, source, file, params: {}, createdAt });
  const pause = quietly(() => runPause(settings, 'early', { by: 'ann' }));
  await new Promise((resolve) => setTimeout(resolve, 600));
  const handle = await rig.startRun('early', {
    steps: [activity('a', 'slow'), activity('b', 'note', { needs: ['a'] })],
  });
  expect(await pause).toBe(0);
  expect(await readOperations(rig.store, 'early')).toMatchObject([{ operation: 'pause', by: 'ann' }]);
  release();
  await handle.terminate();
});
