/** A trial of a capacity search that stops at rungs: the same training as one that never stopped, and no epoch twice. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CapacityRungParameters, capacityRung, fingerprintOfTrial } from '../../activities/capacity-rung.ts';
import { capacityTrial, trainingSample } from '../../activities/capacity-trial.ts';
import type { StepContext } from '../../activities/context.ts';
import { fingerprintOfStep } from '../../activities/step-identity.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { loadModel, saveDataset } from '../../artifacts/codecs.ts';
import { stepSeed } from '../../artifacts/fingerprint.ts';
import type { Dataset } from '../../detection/types.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import type { ArtifactRef, StepRequest } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

let rig: StepRig;
let dataset: Dataset;
let ref: ArtifactRef;
let trial: Omit<CapacityRungParameters, 'until'>;

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  ({ dataset, ref } = await squaresDataset(rig.store, { train: 8, val: 4, test: 0 }));
  const size = { depth: 0.33, width: 0.125, imageSize: 64, anchors: 2 };
  trial = { dataset: ref, epochs: 6, batchSize: 4, strides: [8, 16], evaluateEvery: 3, ...size };
});

afterAll(async () => {
  await rig.close();
});

const path = 'capacity.trial[0.33,0.125,64,2]';
const seed = stepSeed(1, path);

/** As the ladder makes it, which gives a rung another fingerprint than the trial. */
function contextOf(kind: string, parameters: object, changes: Partial<StepContext> = {}) {
  const { version } = stepKinds.get('search-capacity')!;
  const request = { run: 'r', path, kind, version, with: parameters, seed: 1 } as unknown as StepRequest;
  return stepContext(rig.store, { path, seed, fingerprint: fingerprintOfStep(request), ...changes });
}

const rung = (until: number, changes: Partial<StepContext> = {}) => {
  const context = contextOf('capacity-rung', { ...trial, until }, changes);
  return { context, result: capacityRung(context, { ...trial, until }) };
};

test('a trial that stops at rungs, one of them cut short, ends with the weights of one that never stopped', async () => {
  const first = await rung(1).result;
  expect(first).toMatchObject({ epoch: 1, AP: expect.any(Number), trainingLoss: expect.any(Number) });

  const controller = new AbortController();
  const cut = rung(4, {
    signal: controller.signal,
    progress: (message) => message.startsWith('epoch') && controller.abort(new Error('cancelled')),
  });
  await expect(cut.result).rejects.toThrow('cancelled');
  const second = rung(4);
  expect((await second.result).epoch).toBe(4);
  const third = contextOf('capacity-trial', trial);
  const ended = await capacityTrial(third, trial);
  // Two batches an epoch: each went on where the one before had stopped.
  expect(second.context.said.resumed.map(({ step }) => step >= 2)).toEqual([true]);
  expect(third.said.resumed).toEqual([{ step: 8, exact: true }]);

  const apart = stepContext(rig.store, { path, seed, fingerprint: 'e'.repeat(64) });
  const straight = await capacityTrial(apart, trial);
  expect(apart.said.resumed).toEqual([]);
  const [one, other] = [await loadModel(rig.store, ended.model), await loadModel(rig.store, straight.model)];
  expect(one.weights).toEqual(other.weights);
  expect(one.architecture.anchors.map((sizes) => sizes.length)).toEqual([2, 2]);
});

test('a rung that the trial has passed is answered from its checkpoint', async () => {
  // Epoch 3 was validated on the way, because evaluateEvery says so.
  const { context, result } = rung(3);
  expect(await result).toMatchObject({ epoch: 3, AP: expect.any(Number), AP50: expect.any(Number) });
  expect(context.said.progress).toEqual([]);
});

test('a rung that the trial has passed without a look is trained apart from it', async () => {
  const { context, result } = rung(2);
  expect((await result).epoch).toBe(2);
  expect(context.said.resumed).toEqual([]);
  expect(await rig.store.listRecords(`checkpoints/${context.fingerprint}/`)).toHaveLength(1);
});

test('rungs share the fingerprint of their trial for its checkpoints', () => {
  const { fingerprint } = contextOf('capacity-trial', trial);
  expect(fingerprintOfTrial({ seed }, trial)).toBe(fingerprint);
  expect(fingerprintOfTrial({ seed }, { ...trial, checkpointEvery: '1s' })).toBe(fingerprint);
  expect(fingerprintOfTrial({ seed: 2 }, trial)).not.toBe(fingerprint);
});

test('a trial says how general it is, what it costs and how fast it was', async () => {
  const row = (await capacityTrial(contextOf('capacity-trial', trial), trial)).trial;
  expect(row).toMatchObject({ depth: 0.33, width: 0.125, imageSize: 64, anchors: 2, epochs: 6 });
  expect(row.gap!.value).toBeCloseTo(row.trainAP!.value - row.AP.value, 12);
  expect(row.gap!.low).toBeLessThanOrEqual(row.gap!.value);
  expect(row.flops).toBeGreaterThan(1e6);
  const { parameters, flops } = await rung(1).result;
  expect({ parameters, flops }).toEqual({ parameters: row.parameters, flops: row.flops });
  expect(row.trainingImagesPerSecond).toBeGreaterThan(0);
  expect(row.inferenceImagesPerSecond).toBeGreaterThan(0);
});

test('the sample of training images is the same whatever the seed, and as large as the validation split', () => {
  const sample = trainingSample(dataset, 4);
  expect(sample).toHaveLength(4);
  expect(sample.every((id) => id <= 8)).toBe(true);
  expect(trainingSample(dataset, 99)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test('without labelled validation images there is nothing to choose by', async () => {
  const annotations = dataset.labels.annotations.filter(({ imageId }) => imageId <= 8);
  const unlabelled = await saveDataset(rig.store, { ...dataset, labels: { ...dataset.labels, annotations } });
  await expect(capacityRung(stepContext(rig.store), { ...trial, dataset: unlabelled, until: 1 })).rejects.toMatchObject(
    {
      nonRetryable: true,
      message: expect.stringContaining('4 images and no labelled box'),
    },
  );
});
