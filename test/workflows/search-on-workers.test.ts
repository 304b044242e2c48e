/** A whole capacity search with real networks on two train workers, of which one is killed in the middle of a trial. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadJson } from '../../artifacts/codecs.ts';
import { readProgress, readStepRecords } from '../../artifacts/run-record.ts';
import { type RunningWorker, startWorker } from '../../deploy/worker.ts';
import type { ArtifactRef, StepRecord } from '../../plan/types.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { squaresDataset } from '../activities/step-rig.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { search, testEnvironment, testQueuePrefix } from '../small-plans.ts';

let rig: Rig;
let interpreter: RunningWorker;
const processes: ChildProcess[] = [];
// Compiled, because Node 20 runs no TypeScript.
const script = fileURLToPath(new URL('../../dist/test/workflows/train-worker-process.js', import.meta.url));

beforeAll(async () => {
  rig = await openRig();
  interpreter = await startWorker({
    connection: { address: rig.server.address },
    namespace: 'default',
    store: rig.store,
    queuePrefix: testQueuePrefix,
    queues: ['workflows', 'cpu'],
    bundlePath: rig.bundlePath,
    describeEnvironment: async () => testEnvironment,
  });
});

afterAll(async () => {
  for (const child of processes) child.kill('SIGKILL');
  await interpreter?.shutdown();
  await rig?.close();
});

async function startTrainWorker(): Promise<ChildProcess> {
  if (!existsSync(script)) throw new Error(`${script} is missing: build with "node deploy/setup.mjs build".`);
  const child = spawn(process.execPath, [script, rig.server.address, rig.storeFolder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(child);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('exit', (code) => reject(new Error(`The worker ended with ${code} before it was ready.`)));
  });
  return child;
}

const isTrial = ({ path }: StepRecord): boolean => path.startsWith('capacity.trial[');

test('halving over two workers ends as it should, though one is killed in the middle of a trial', async () => {
  const { ref } = await squaresDataset(rig.store, { train: 12, val: 6, test: 0 });
  const [first] = await Promise.all([startTrainWorker(), startTrainWorker()]);
  const handle = await rig.startRun('search', {
    steps: [
      search('capacity', {
        version: 2,
        heartbeatMs: 5_000,
        // A trial takes seconds, and on a machine with much else to do minutes.
        timeoutMs: 600_000,
        with: {
          dataset: ref,
          depth: [0.33, 0.5],
          width: [0.0625, 0.125],
          imageSize: 64,
          strides: [8, 16],
          batchSize: 4,
          // Long enough to be killed in the middle, on a fast machine too.
          epochs: 220,
          evaluateEvery: 220,
          checkpointEvery: '200ms',
          strategy: 'halving',
          halving: { eta: 4, minEpochs: 200, finalists: 1 },
        },
      }),
    ],
  });
  const killed = await eventually(async () => {
    const trial = (await readStepRecords(rig.store, 'search')).filter(isTrial).find(({ attempts }) => {
      const last = attempts?.at(-1);
      return last?.outcome === undefined && last?.worker.startsWith(`${first.pid}@`);
    });
    if (trial === undefined) return undefined;
    const progress = (await readProgress(rig.store, 'search')).find(({ path }) => path === trial.path);
    return progress?.message.startsWith('epoch') ? trial : undefined;
  }, 120_000);
  first.kill('SIGKILL');
  await startTrainWorker();
  expect(await handle.result()).toEqual({ state: 'done' });

  const trials = (await readStepRecords(rig.store, 'search')).filter(isTrial);
  expect(trials.map(({ state }) => state)).toEqual(['done', 'done', 'done', 'done']);
  const lost = 'stopped at epoch 200 of 220: not among the best 1 of 4 there';
  expect(trials.flatMap(({ note }) => note ?? [])).toEqual([lost, lost, lost]);
  const attempts = trials.flatMap((trial) => trial.attempts ?? []);
  expect(attempts.filter(({ outcome }) => outcome === 'lost').length).toBeGreaterThanOrEqual(1);
  expect(trials.find(({ path }) => path === killed.path)?.attempts?.some(({ outcome }) => outcome === 'lost')).toBe(
    true,
  );
  // The winner went on from its rung's checkpoint: one epoch is three batches.
  const winner = trials.find(({ note }) => note === undefined)!;
  const resumed = winner.attempts!.flatMap(({ resumedFrom }) => resumedFrom ?? []);
  expect(resumed).toEqual(expect.arrayContaining([600]));
  // Two workers had a trial each at the same time.
  const overlap = attempts.some((a) =>
    attempts.some(
      (b) => a.worker !== b.worker && a.endedAt && b.endedAt && a.startedAt < b.endedAt && b.startedAt < a.endedAt,
    ),
  );
  expect(overlap).toBe(true);

  const { outputs } = (await rig.step('search', 'capacity'))!;
  const table = await loadJson(rig.store, 'trials', outputs!.trials as ArtifactRef);
  expect(table.trials).toHaveLength(1);
  expect(table.stopped?.map(({ epochs }) => epochs).sort()).toEqual([200, 200, 200]);
  expect(outputs).toMatchObject({ imageSize: 64, AP: table.trials[0]!.AP.value });

  const workflowId = workflowIdOf('search', 'capacity');
  const history = await rig.client.workflow.getHandle(workflowId).fetchHistory();
  await Worker.runReplayHistory(
    { workflowBundle: { code: await readFile(rig.bundlePath, 'utf8') } },
    history,
    workflowId,
  );
});
