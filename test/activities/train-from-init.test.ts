/** Training that goes on from a model: crops, weights, replayed kinds, the lower rate, and going back towards the old weights. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { bestShare, weightsBetween } from '../../activities/interpolate.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import { loadJson, loadModel, saveJson } from '../../artifacts/codecs.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

let rig: StepRig;
let dataset: ArtifactRef;
let init: ArtifactRef;
let all: ArtifactRef;
const short = { steps: 4, batchSize: 4, evaluateEvery: 100 };

/** Each training has checkpoints of its own. */
let trainings = 0;
const trained = (parameters: object) => {
  const fingerprint = String(++trainings).padStart(64, '0');
  return train(stepContext(rig.store, { fingerprint }), { dataset, ...short, ...parameters });
};

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  ({ ref: dataset } = await squaresDataset(rig.store, { train: 12, val: 4, test: 0 }));
  all = await saveJson(rig.store, 'selection', { images: Array.from({ length: 12 }, (_, i) => i + 1) });
  ({ model: init } = await trained({ imageSize: 64, depth: 0.33, width: 0.0625, strides: [8, 16] }));
});

afterAll(async () => {
  await rig.close();
});

test('crops are trained on with whole images replayed beside them, and a lower rate than from scratch', async () => {
  const select = await saveJson(rig.store, 'selection', {
    images: [1, 2],
    crops: [1, 2].flatMap((image) => [
      { image, window: [0, 0, 32, 32] as const },
      { image, window: [32, 32, 64, 64] as const },
    ]),
    weights: { '1-0': 1.5, '2-0': 0.5 },
  });
  const replay = { from: all, share: 0.5, stratify: 'targets' };
  const outputs = await trained({ init, select, replay });
  const curves = await loadJson(rig.store, 'curves', outputs.curves);
  expect(curves.options.learningRate).toBe(0.0018);
  expect(curves.interpolation).toBeUndefined();
  expect(outputs.newShare).toBe(1);
  expect((await loadModel(rig.store, outputs.model)).training).toMatchObject({ images: 2, steps: 4, stepsInAll: 8 });
  // the weights of the selection reach the loss
  const { weights: _, ...unweighted } = await loadJson(rig.store, 'selection', select);
  const plain = await trained({ init, select: await saveJson(rig.store, 'selection', unweighted), replay });
  expect((await loadModel(rig.store, plain.model)).weights[0]!.data).not.toEqual(
    (await loadModel(rig.store, outputs.model)).weights[0]!.data,
  );
});

test('the full rate holds for all images, and where it is given', async () => {
  const rate = async (parameters: object) =>
    (await loadJson(rig.store, 'curves', (await trained({ steps: 1, init, ...parameters })).curves)).options
      .learningRate;
  expect(await rate({})).toBe(0.006);
  expect(await rate({ select: all, learningRate: 0.004 })).toBe(0.004);
});

test('`interpolate: auto` takes the share of the new weights that is best on validation, and tells the curve', async () => {
  const outputs = await trained({ init, interpolate: 'auto' });
  const { interpolation } = await loadJson(rig.store, 'curves', outputs.curves);
  expect(interpolation?.tried.map(({ newShare }) => newShare)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect(outputs.newShare).toBe(interpolation?.newShare);
  const best = Math.max(...interpolation!.tried.map(({ AP }) => AP));
  expect(outputs.AP).toBe(best);
});

test('a share of 0 is the old model, to the bit', async () => {
  const { model, newShare } = await trained({ init, interpolate: 0 });
  expect(newShare).toBe(0);
  expect((await loadModel(rig.store, model)).weights).toEqual((await loadModel(rig.store, init)).weights);
});

test('what cannot be interpolated or told apart says so before the training', async () => {
  await expect(trained({ imageSize: 64, strides: [8, 16], interpolate: 0.5 })).rejects.toThrow('has no `init`');
  const { ref: blind } = await squaresDataset(rig.store, { train: 4, val: 0, test: 0 });
  await expect(trained({ dataset: blind, init, interpolate: 'auto' })).rejects.toThrow('chooses on validation');
  const select = await saveJson(rig.store, 'selection', { images: [1] });
  const scratch = { imageSize: 64, width: 0.0625, strides: [8, 16] };
  const replay = { from: all, stratify: 'difficulty' };
  await expect(trained({ ...scratch, select, replay })).rejects.toThrow('goes by the loss under `init`');
});

test('ordinary images can be drawn by their difficulty under the model', async () => {
  const select = await saveJson(rig.store, 'selection', { images: [1, 2, 3] });
  const outputs = await trained({ init, select, replay: { from: all, share: 0.5, stratify: 'difficulty' } });
  expect(outputs.steps).toBe(4);
});

test('weights lie on the line from old to new, and must be of one shape', () => {
  const tensor = (...values: number[]) => [{ name: 'w', shape: [values.length], data: Float32Array.from(values) }];
  expect(weightsBetween(tensor(1, 2), tensor(3, 6), 0.25)).toEqual(tensor(1.5, 3));
  expect(weightsBetween(tensor(1, 2), tensor(3, 6), 1)).toEqual(tensor(3, 6));
  expect(() => weightsBetween(tensor(1), tensor(3, 6), 0.5)).toThrow('"w" has 2 values in the new one and 1 in `init`');
});

test('of equal shares the one nearest to what was trained is taken', () => {
  const tried = [0, 0.5, 1].map((newShare) => ({ newShare, AP: newShare < 1 ? 0.4 : 0.3, AP50: 0 }));
  expect(bestShare(tried)).toBe(0.5);
});
