/** The steps around training, with a real network that has learnt next to nothing. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { capacityTrial } from '../../activities/capacity-trial.ts';
import { chooseCapacity } from '../../activities/choose-capacity.ts';
import { detectionsOf } from '../../activities/detections.ts';
import { profileLoss } from '../../activities/profile-loss.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import type { TrainParameters } from '../../activities/training-parameters.ts';
import { loadJson, loadModel } from '../../artifacts/codecs.ts';
import type { Dataset } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

let rig: StepRig;
let dataset: Dataset;
let ref: ArtifactRef;
let shared: TrainParameters;
let trials: Awaited<ReturnType<typeof capacityTrial>>[];

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  ({ dataset, ref } = await squaresDataset(rig.store, { train: 8, val: 4, test: 0 }));
  shared = { dataset: ref, steps: 4, batchSize: 4, imageSize: 64, strides: [8, 16] };
  trials = [];
  for (const width of [0.125, 0.25]) {
    const context = stepContext(rig.store, { fingerprint: sixtyFour(String(width * 8)) });
    trials.push(await capacityTrial(context, { ...shared, depth: 0.33, width }));
  }
});

afterAll(async () => {
  await rig.close();
});

const sixtyFour = (letter: string): string => letter.repeat(64);

test('a trial gives its row of the table, with an interval', () => {
  expect(trials.map(({ trial }) => [trial.depth, trial.width])).toEqual([
    [0.33, 0.125],
    [0.33, 0.25],
  ]);
  expect(trials[1]!.trial.parameters).toBeGreaterThan(2 * trials[0]!.trial.parameters);
  for (const { trial, AP, model } of trials) {
    expect(trial.model).toEqual(model);
    expect(trial.AP.value).toBe(AP);
    expect(trial.trainingLoss).toBeGreaterThan(0);
    expect(trial.AP.low).toBeLessThanOrEqual(trial.AP.high);
  }
});

test('the choice among trials marks one, and says why', async () => {
  const outputs = await chooseCapacity(stepContext(rig.store), { dataset: ref, trials });
  const table = await loadJson(rig.store, 'trials', outputs.trials);
  const chosen = table.trials.filter((trial) => trial.chosen);
  expect(chosen).toHaveLength(1);
  expect(outputs).toMatchObject({ depth: 0.33, width: chosen[0]!.width, model: chosen[0]!.model });
  expect(table.reason).toMatch(/^Depth 0\.33, width 0\.(125|25) \([\d,]+ parameters\) (has|is) the /);
});

test('an image is detected once, whatever asks for it later', async () => {
  const { model } = trials[0]!;
  const some = await detectionsOf(stepContext(rig.store), model, dataset, [1, 2, 3]);
  const before = await rig.store.listRecords('detections/');
  const more = await detectionsOf(stepContext(rig.store), model, dataset, [5, 3, 2]);
  const after = await rig.store.listRecords('detections/');
  expect(after.length).toBe(before.length + 1);
  expect(some.imageIds).toEqual([1, 2, 3]);
  expect(more.imageIds).toEqual([2, 3, 5]);
  await detectionsOf(stepContext(rig.store), model, dataset, [1, 2, 3, 5]);
  expect(await rig.store.listRecords('detections/')).toEqual(after);
});

test('every target has a loss under every model, -1 where it was missed', async () => {
  const models = trials.map(({ model }) => model);
  // So little training is sure of nothing.
  const blind = await profileLoss(stepContext(rig.store), { models, dataset: ref, confidence: 0.999 });
  const profile = await loadJson(rig.store, 'profile', blind.profile);
  const targets = dataset.labels.annotations.filter(({ imageId }) => imageId <= 8);
  expect(profile.targets.map(({ annotationId }) => annotationId)).toEqual(targets.map(({ id }) => id));
  expect(profile.targets.every(({ loss }) => loss[0] === -1 && loss[1] === -1)).toBe(true);
  // At no confidence at all, and any overlap, most are found, and have a loss.
  const lenient = await profileLoss(stepContext(rig.store), { models, dataset: ref, confidence: 0, iou: 0.1 });
  const found = (await loadJson(rig.store, 'profile', lenient.profile)).targets.flatMap(({ loss }) => loss);
  expect(found.filter((loss) => loss > 0).length).toBeGreaterThan(0);
});

test('finetuning keeps the architecture and counts the steps of both trainings', async () => {
  const { selection } = await selectionOf([1, 2, 3]);
  const replay = await selectionOf([1, 2, 3, 4, 5, 6, 7, 8]);
  const context = stepContext(rig.store, { fingerprint: sixtyFour('a') });
  const outputs = await train(context, {
    dataset: ref,
    init: trials[0]!.model,
    select: selection,
    replay: { from: replay.selection, share: 0.4 },
    steps: 3,
    batchSize: 4,
  });
  const model = await loadModel(rig.store, outputs.model);
  expect(model.training).toMatchObject({ steps: 3, stepsInAll: 7, images: 3 });
  expect(model.architecture).toEqual((await loadModel(rig.store, trials[0]!.model)).architecture);
});

async function selectionOf(images: readonly number[]): Promise<{ selection: ArtifactRef }> {
  const bytes = Buffer.from(JSON.stringify({ images }));
  const digest = await rig.store.putObject(bytes);
  return { selection: { artifact: 'selection', digest, bytes: bytes.length } };
}

test('an empty selection, and one of validation images, are errors that no retry mends', async () => {
  const empty = await selectionOf([]);
  await expect(train(stepContext(rig.store), { ...shared, select: empty.selection })).rejects.toMatchObject({
    nonRetryable: true,
    message: expect.stringContaining('The selection to train on is empty'),
  });
  const validation = await selectionOf([9]);
  await expect(train(stepContext(rig.store), { ...shared, select: validation.selection })).rejects.toMatchObject({
    nonRetryable: true,
    message: expect.stringContaining('are not in the train split'),
  });
});

test('a loss that is not a number ends the step with the terms named', async () => {
  const context = stepContext(rig.store, { fingerprint: sixtyFour('9') });
  await expect(train(context, { ...shared, learningRate: 1e30, warmupEpochs: 0 })).rejects.toMatchObject({
    nonRetryable: true,
    type: 'NonFiniteLoss',
    message: expect.stringMatching(/Step \d+: .* is (NaN|-?Infinity)/),
  });
});
