/** Training as a step: its outputs, its checkpoints, and that no kill changes a byte of the weights. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { train } from '../../activities/train.ts';
import { scheduleOf, type TrainParameters } from '../../activities/training-parameters.ts';
import { loadJson, loadModel } from '../../artifacts/codecs.ts';
import { brokenLink } from '../../detection/model/training-chain.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext, testEnvironment } from './step-rig.ts';

let rig: StepRig;
let dataset: ArtifactRef;
let parameters: TrainParameters;
/** Of a training that was never disturbed. */
let undisturbed: ArtifactRef;
let undisturbedChain: ArtifactRef;

// Enough that a kill after the first few always comes before the end.
const steps = 40;

beforeAll(async () => {
  rig = await openRig();
  ({ ref: dataset } = await squaresDataset(rig.store, { train: 12, val: 4, test: 0 }));
  parameters = {
    dataset,
    steps,
    batchSize: 4,
    imageSize: 64,
    depth: 0.33,
    width: 0.125,
    strides: [8, 16],
    evaluateEvery: 4,
    // What has a state of its own, for a kill to lose: gathered gradients, running norms.
    accumulate: 3,
    clip: { by: 'per-target', when: { share: 0.1 } },
    // After every step, so that there always is one to go on from.
    checkpointEvery: 0,
  };
});

afterAll(async () => {
  await rig.close();
});

const fingerprint = (letter: string): string => letter.repeat(64);
const checkpointKeys = (of: string) => rig.store.listRecords(`checkpoints/${of}/`);

async function untilCheckpoints(of: string, count: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while ((await checkpointKeys(of)).length < count) {
    if (Date.now() > deadline) throw new Error(`No ${count} checkpoints within 30 s.`);
    await sleep(5);
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

test('a training gives a model, its curves, its steps and its AP', async () => {
  const context = stepContext(rig.store, { fingerprint: fingerprint('a') });
  const outputs = await train(context, parameters);
  undisturbed = outputs.model;
  undisturbedChain = outputs.chain;
  const model = await loadModel(rig.store, outputs.model);
  const curves = await loadJson(rig.store, 'curves', outputs.curves);
  expect(outputs.steps).toBe(steps);
  expect(model.training).toMatchObject({ steps, stepsInAll: steps, images: 12, seed: 7 });
  expect(model.architecture).toMatchObject({ imageSize: 64, width: 0.125, strides: [8, 16] });
  expect(curves.epochs.at(-1)!.validation!.AP).toBe(outputs.AP);
  expect(curves.options.batchSize).toBe(4);
  const chain = await loadJson(rig.store, 'chain', outputs.chain);
  const { labels } = await loadJson(rig.store, 'dataset', dataset);
  expect(chain).toMatchObject({ steps, since: 0, dataset: dataset.digest, labels, init: null });
  expect(chain.epochs.map(({ step }) => step)).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]);
  expect(chain.model).toBe(outputs.model.digest);
  expect(brokenLink(chain.epochs)).toBeNull();
  for (const { waited } of curves.epochs) {
    expect(waited).toBeGreaterThanOrEqual(0);
    expect(waited).toBeLessThan(1);
  }
  expect(context.said.resumed).toEqual([]);
  expect(
    (await Promise.all([...(await checkpointKeys(context.fingerprint))].map(objectIsThere))).filter(Boolean),
  ).toEqual([true]);
});

async function objectIsThere(key: string): Promise<boolean> {
  const record = JSON.parse((await rig.store.readRecord(key))!.toString()) as { object: string };
  return rig.store.hasObject(record.object);
}

test('killed in the middle and run again, it ends with the same bytes', async () => {
  const first = stepContext(rig.store, { fingerprint: fingerprint('b') });
  const before = new Set(childrenOf(process.pid));
  const attempt = train(first, parameters);
  attempt.catch(() => {});
  await untilCheckpoints(first.fingerprint, 5);
  for (const pid of childrenOf(process.pid)) if (!before.has(pid)) process.kill(pid, 'SIGKILL');
  await expect(attempt).rejects.toThrow('was killed by SIGKILL');

  const second = stepContext(rig.store, { fingerprint: first.fingerprint });
  const { model, chain } = await train(second, parameters);
  expect(second.said.resumed).toHaveLength(1);
  expect(second.said.resumed[0]!.step).toBeGreaterThanOrEqual(5);
  expect(second.said.resumed[0]!.step).toBeLessThan(steps);
  expect(second.said.resumed[0]!.exact).toBe(true);
  expect(model.digest).toBe(undisturbed.digest);
  expect(chain).toEqual(undisturbedChain);
});

test('when its worker is killed, the TensorFlow process ends too, and another worker goes on to the same bytes', async () => {
  const of = fingerprint('c');
  const compiled = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;
  const script = join(rig.folder, 'worker.mjs');
  writeFileSync(
    script,
    `import { train } from ${JSON.stringify(compiled('activities/train.js'))};
     import { openStore } from ${JSON.stringify(compiled('artifacts/open-store.js'))};
     const store = await openStore(${JSON.stringify(rig.store.url)});
     await train({ store, run: 'test', path: 'step', seed: 7, fingerprint: ${JSON.stringify(of)},
       environment: ${JSON.stringify(testEnvironment)}, signal: new AbortController().signal,
       progress() {}, resumed() {}, async notice() {} }, ${JSON.stringify(parameters)});`,
  );
  // Beside the checkout's modules, which the compiled files import.
  const worker: ChildProcess = spawn(process.execPath, [script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: 'ignore',
    env: { ...process.env, CUDA_VISIBLE_DEVICES: '1' },
  });
  await untilCheckpoints(of, 4);
  const children = childrenOf(worker.pid!);
  expect(children).toHaveLength(1);
  // One worker for each GPU: what a worker may see is what its trainings see.
  expect(readFileSync(`/proc/${children[0]}/environ`, 'utf8').split('\0')).toContain('CUDA_VISIBLE_DEVICES=1');
  worker.kill('SIGKILL');
  const deadline = Date.now() + 10_000;
  while (existsSync(`/proc/${children[0]}`) && Date.now() < deadline) await sleep(20);
  expect(existsSync(`/proc/${children[0]}`)).toBe(false);

  const { model, chain } = await train(stepContext(rig.store, { fingerprint: of }), parameters);
  expect(model.digest).toBe(undisturbed.digest);
  expect(chain).toEqual(undisturbedChain);
});

test('told to stop, it saves a checkpoint at once, and goes on from there', async () => {
  const controller = new AbortController();
  const slow = { ...parameters, checkpointEvery: '1h', steps: 4_000 };
  const stopped = stepContext(rig.store, { fingerprint: fingerprint('d'), signal: controller.signal });
  const attempt = train(stopped, slow);
  attempt.catch(() => {});
  while (!stopped.said.progress.some((message) => message.startsWith('epoch'))) await sleep(10);
  controller.abort(new Error('The worker stops.'));
  await expect(attempt).rejects.toThrow('The worker stops.');
  // An interval of an hour writes none by itself, and an end none that stays.
  expect(await checkpointKeys(stopped.fingerprint)).toHaveLength(1);
});

test('`steps` is met exactly, in epochs as near as can be to one pass', () => {
  expect(scheduleOf(undefined, 30, 7)).toEqual({ epochs: 30, stepsPerEpoch: 7 });
  expect(scheduleOf(40, 30, 12)).toEqual({ epochs: 4, stepsPerEpoch: 10 });
  expect(scheduleOf(3, 30, 12)).toEqual({ epochs: 1, stepsPerEpoch: 3 });
  expect(scheduleOf(37, 30, 12)).toEqual({ epochs: 1, stepsPerEpoch: 37 });
});
