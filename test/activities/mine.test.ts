/** Mining with detections made by hand: they are found in the store, so no network runs. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { detect } from '../../activities/detect.ts';
import { mine } from '../../activities/mine.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { loadDetections, loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import type { Box } from '../../detection/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { openRig, type StepRig, stepContext } from './step-rig.ts';

let rig: StepRig;

beforeEach(async () => {
  // Nothing here needs TensorFlow, so nothing needs a process of its own.
  enterTfProcess();
  rig = await openRig();
});

afterEach(async () => {
  await rig.close();
});

const a: Box = [10, 10, 30, 30];
const b: Box = [50, 50, 80, 80];

/**
 *     image 1, train:  label a, seen                -> easy
 *     image 2, train:  label a, not seen            -> hard, candidate `spurious`
 *     image 3, train:  no label, b seen             -> hard, candidate `missing`
 *     image 4, val:    no label, b seen             -> candidate, but never a hard case
 *     image 5, train:  label a, seen at 0.2         -> hard at confidence 0.3
 *     image 6, train:  nothing                      -> easy
 */
async function scene() {
  const { dataset, ref } = await storeDataset(rig.store, [
    { split: 'train', boxes: [a] },
    { split: 'train', boxes: [a] },
    { split: 'train', boxes: [] },
    { split: 'val', boxes: [] },
    { split: 'train', boxes: [a] },
    { split: 'train', boxes: [] },
  ]);
  const model = await modelThatSees(rig.store, 'one', dataset, [
    [1, a, 0.9],
    [3, b, 0.8],
    [4, b, 0.8],
    [5, a, 0.2],
  ]);
  return { dataset: ref, model };
}

test('images with a false negative or a false positive are hard, from the train split alone', async () => {
  const { dataset, model } = await scene();
  const context = stepContext(rig.store);
  const outputs = await mine(context, { model, dataset, splits: ['train', 'val', 'test'] });
  expect((await loadJson(rig.store, 'selection', outputs.hardImages!)).images).toEqual([2, 3, 5]);
  expect(outputs).toMatchObject({ truePositives: 1, falsePositives: 2, falseNegatives: 2, hardShare: 3 / 5 });
  const candidates = await loadJson(rig.store, 'candidates', outputs.candidates);
  expect(candidates.map(({ type, imageId }) => `${type} ${imageId}`).sort()).toEqual([
    'missing 3',
    'missing 4',
    'spurious 2',
    'spurious 5',
  ]);
  expect(context.said.notices).toEqual([]);
});

test('a selection limits what is looked at, and a lower confidence finds more', async () => {
  const { dataset, model } = await scene();
  const select = await saveJson(rig.store, 'selection', { images: [1, 5] });
  const strict = await mine(stepContext(rig.store), { model, dataset, select });
  const lenient = await mine(stepContext(rig.store), { model, dataset, select, confidence: 0.1 });
  expect(strict).toMatchObject({ truePositives: 1, falseNegatives: 1, hardShare: 0.5 });
  expect(lenient).toMatchObject({ truePositives: 2, falseNegatives: 0, hardShare: 0 });
  // Where no image is hard there is no selection: who would train on it is skipped.
  expect(lenient.hardImages).toBeUndefined();
});

test('a selection that hardly selects is a notice that says what to do', async () => {
  const { dataset, model } = await scene();
  const select = await saveJson(rig.store, 'selection', { images: [2, 3] });
  const context = stepContext(rig.store, { path: 'rounds[1].mine' });
  await mine(context, { model, dataset, select });
  expect(context.said.notices).toHaveLength(1);
  expect(context.said.notices[0]).toContain('rounds[1].mine: 2 of 2 train images (100 %)');
  expect(context.said.notices[0]).toContain('crop');
});

test('crowds and ignore regions are neither missed nor wrong', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [{ split: 'train', boxes: [a] }]);
  const ignored = {
    ...dataset,
    labels: { ...dataset.labels, annotations: dataset.labels.annotations.map((one) => ({ ...one, ignore: true })) },
  };
  const model = await modelThatSees(rig.store, 'one', dataset, [[1, a, 0.9]]);
  expect(await mine(stepContext(rig.store), { model, dataset: ref })).toMatchObject({ truePositives: 1 });
  const outputs = await mine(stepContext(rig.store), { model, dataset: await saveDataset(rig.store, ignored) });
  expect(outputs).toMatchObject({ truePositives: 0, falsePositives: 0, falseNegatives: 0, hardShare: 0 });
});

test('`detect` answers from the same detections, cut at its own confidence and number', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [{ split: 'test', boxes: [] }]);
  const model = await modelThatSees(rig.store, 'one', dataset, [
    [1, a, 0.9],
    [1, b, 0.5],
    [1, [0, 0, 5, 5], 0.01],
  ]);
  const scores = async (parameters: object) => {
    const { detections } = await detect(stepContext(rig.store), { model, dataset: ref, ...parameters });
    return [...(await loadDetections(rig.store, detections)).score];
  };
  expect(await scores({})).toEqual([0.9, 0.5, 0.01]);
  expect(await scores({ confidence: 0.3 })).toEqual([0.9, 0.5]);
  expect(await scores({ maxPerImage: 1 })).toEqual([0.9]);
});
