/** Steps that lose their worker, or an object of their inputs, half way. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { loadJson, saveJson } from '../../artifacts/codecs.ts';
import { readOperations, readRun } from '../../artifacts/run-record.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Plan } from '../../plan/types.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, cel, repeat } from '../small-plans.ts';

let rig: Rig;
const processes: ChildProcess[] = [];
// Compiled, because Node 20 runs no TypeScript.
const script = fileURLToPath(new URL('../../dist/test/workflows/worker-process.js', import.meta.url));

beforeAll(async () => {
  rig = await openRig();
});

afterAll(async () => {
  for (const child of processes) child.kill('SIGKILL');
  await rig?.close();
});

function startWorkerProcess(log: string): ChildProcess {
  if (!existsSync(script)) throw new Error(`${script} is missing: build with "node deploy/setup.mjs build".`);
  const child = spawn(process.execPath, [script, rig.server.address, rig.storeFolder, rig.bundlePath, log], {
    stdio: 'inherit',
  });
  processes.push(child);
  return child;
}

const startsIn = async (log: string) =>
  (await readFile(log, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '').length;

test('a step whose worker is killed runs again on the next one, and that is no failure of the step', async () => {
  const log = join(rig.folder, 'killed.log');
  const handle = await rig.startRun('killed', { steps: [repeat('rounds', [activity('step', 'unsteady')])] });
  const first = startWorkerProcess(log);
  await eventually(async () => (await startsIn(log)) === 1);
  first.kill('SIGKILL');
  startWorkerProcess(log);
  expect(await handle.result()).toEqual({ state: 'done' });
  expect(await rig.step('killed', 'rounds[1].step')).toMatchObject({
    state: 'done',
    outputs: { value: 5 },
    attempts: [{ outcome: 'lost' }, { outcome: 'done' }],
  });
});

test('operations that were accepted hold, though the worker is killed at that moment', async () => {
  const log = join(rig.folder, 'operated.log');
  for (const child of processes.splice(0)) child.kill('SIGKILL');
  const names = ['pause', 'skip', 'cancel', 'reset', 'upgrade'] as const;
  const step = (name: string, id: string, needs: string[] = []) =>
    activity(id, 'unsteady', { needs, with: { name, id } });
  for (const name of names) {
    const second = name === 'pause' ? [step(name, 'b', ['a'])] : [];
    await rig.startRun(name, { steps: [step(name, 'a'), ...second] });
  }
  const handleOf = (name: (typeof names)[number]) => rig.client.workflow.getHandle(workflowIdOf(name));
  const first = startWorkerProcess(log);
  await eventually(async () => (await startsIn(log)) >= 3);
  const by = { by: 'ada', reason: 'a test' };
  const scope = { steps: [step('upgrade', 'a'), step('upgrade', 'b', ['a'])] };
  const plan: Plan = { format: 1, pipeline: 'test-pipeline', seed: 1, params: {}, root: scope };
  const planDigest = await rig.store.putObject(Buffer.from(canonicalJson(plan)));
  const file = { file: 'test.yaml', source: planDigest, params: {} };
  await Promise.all([
    handleOf('pause').executeUpdate('pause', { args: [by] }),
    handleOf('skip').executeUpdate('skip', { args: [{ ...by, path: 'a' }] }),
    handleOf('cancel').executeUpdate('cancel', { args: [by] }),
    handleOf('reset').executeUpdate('reset', { args: [{ ...by, path: 'a' }] }),
    handleOf('upgrade').executeUpdate('upgrade', {
      args: [{ ...by, planDigest, scope, file, changes: [], recorded: {} }],
    }),
  ]);
  first.kill('SIGKILL');
  const second = startWorkerProcess(log);
  expect(await handleOf('skip').result()).toEqual({ state: 'done' });
  expect(await handleOf('cancel').result()).toEqual({ state: 'cancelled' });
  expect(await handleOf('reset').result()).toEqual({ state: 'done' });
  expect(await handleOf('upgrade').result()).toEqual({ state: 'done' });
  expect(await rig.states('skip')).toEqual(['a: skipped']);
  expect(await rig.states('upgrade')).toEqual(['a: done', 'b: done']);
  // Whether its step had begun by then or not, it goes on only when it is resumed.
  await eventually(async () => (await readRun(rig.store, 'pause'))?.state.state === 'paused');
  await handleOf('pause').executeUpdate('resume', { args: [by] });
  second.kill('SIGKILL');
  startWorkerProcess(log);
  expect(await handleOf('pause').result()).toEqual({ state: 'done' });
  const recorded = async (name: string) => (await readOperations(rig.store, name)).map(({ operation }) => operation);
  for (const name of names) expect(await recorded(name)).toEqual(name === 'pause' ? [name, 'resume'] : [name]);
});

test('a worker that is shut down gives its step back at once', async () => {
  const log = join(rig.folder, 'stopped.log');
  for (const child of processes.splice(0)) child.kill('SIGKILL');
  const handle = await rig.startRun('stopped', { steps: [activity('step', 'unsteady', { heartbeatMs: 60_000 })] });
  const first = startWorkerProcess(log);
  await eventually(async () => (await startsIn(log)) === 1);
  const stopped = new Promise((resolve) => first.once('exit', resolve));
  first.kill('SIGTERM');
  expect(await stopped).toBe(0);
  startWorkerProcess(log);
  await handle.result();
  expect((await rig.step('stopped', 'step'))?.attempts).toMatchObject([{ outcome: 'stopped' }, { outcome: 'done' }]);
});

test('a step that reads a damaged object has it made again, also from another round', async () => {
  for (const child of processes.splice(0)) child.kill('SIGKILL');
  const made: string[] = [];
  const digests: string[] = [];
  const worker = await rig.startWorker({
    // Under the name of a shipped kind, because a step is made again as the kind's row says.
    mine: async ({ store, path }: StepContext) => {
      made.push(path);
      return { selection: await saveJson(store, 'selection', { images: [4, 5] }) };
    },
    harm: async (_: StepContext, { selection }: { selection: { digest: string } }) => {
      const { digest } = selection;
      digests.push(digest);
      await writeFile(join(rig.storeFolder, 'objects', digest.slice(0, 2), digest.slice(2)), 'dust');
      return {};
    },
    read: async ({ store }: StepContext, { selection }: { selection: never }) => ({
      images: (await loadJson(store, 'selection', selection)).images.length,
    }),
  });
  const handle = await rig.startRun('damaged', {
    steps: [
      activity('make', 'mine'),
      activity('harm', 'harm', { needs: ['make'], with: { selection: cel('steps.make.selection') } }),
      repeat('rounds', [activity('read', 'read', { with: { selection: cel('carry.selection') } })], {
        needs: ['make', 'harm'],
        carry: { selection: cel('steps.make.selection') },
      }),
    ],
  });
  await handle.result();
  expect(made).toEqual(['make', 'make']);
  expect((await rig.step('damaged', 'rounds[1].read'))?.outputs).toEqual({ images: 2 });
  expect(await rig.store.hasObject(digests[0]!)).toBe(true);
  await worker.shutdown();
});
