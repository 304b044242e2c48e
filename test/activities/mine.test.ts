/** Mining with detections made by hand: they are found in the store, so no network runs. */

import { expect, test } from 'vitest';
import { detect } from '../../activities/detect.ts';
import { mine } from '../../activities/mine.ts';
import { loadDetections, loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import type { Box } from '../../detection/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { rigOfEachTest, stepContext } from './step-rig.ts';

const rig = rigOfEachTest();

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
  expect(context.said.notices[0]).toContain('`scope: crop` in this step');
});

test('crops are windows around the errors, and every error lies in one', async () => {
  const far: Box = [80, 80, 90, 90];
  const { dataset, ref } = await storeDataset(rig.store, [
    { split: 'train', boxes: [a, far] },
    { split: 'train', boxes: [a] },
    { split: 'val', boxes: [a] },
  ]);
  const model = await modelThatSees(rig.store, 'one', dataset, [[2, a, 0.9]]);
  const outputs = await mine(stepContext(rig.store), { model, dataset: ref, scope: 'crop', cropShare: 0.4 });
  expect(await loadJson(rig.store, 'selection', outputs.hardImages!)).toEqual({
    images: [1],
    crops: [
      { image: 1, window: [0, 0, 40, 40] },
      { image: 1, window: [60, 60, 100, 100] },
    ],
  });
  // two windows of 1,600 pixels of the 20,000 in both train images
  expect(outputs).toMatchObject({ crops: 2, hardShare: 0.16, falseNegatives: 2 });
});

test('of crops, only errors inside of them are hard cases of the next round', async () => {
  const far: Box = [80, 80, 90, 90];
  const { dataset, ref } = await storeDataset(rig.store, [{ split: 'train', boxes: [a, far] }]);
  const model = await modelThatSees(rig.store, 'one', dataset, []);
  const next = async (window: Box, scope: 'image' | 'crop') => {
    const select = await saveJson(rig.store, 'selection', { images: [1], crops: [{ image: 1, window }] });
    const outputs = await mine(stepContext(rig.store), { model, dataset: ref, select, scope, cropShare: 0.4 });
    return outputs.hardImages ? (await loadJson(rig.store, 'selection', outputs.hardImages)).crops : outputs.hardShare;
  };
  expect(await next([50, 50, 100, 100], 'crop')).toEqual([{ image: 1, window: [60, 60, 100, 100] }]);
  expect(await next([50, 0, 100, 50], 'crop')).toBe(0);
  expect(await next([50, 0, 100, 50], 'image')).toBe(0);
});

test('crops that cover nearly all are a notice that asks for smaller ones', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [{ split: 'train', boxes: [a, [70, 70, 95, 95]] }]);
  const model = await modelThatSees(rig.store, 'one', dataset, []);
  const context = stepContext(rig.store);
  await mine(context, { model, dataset: ref, scope: 'crop', cropShare: 1 });
  expect(context.said.notices).toHaveLength(1);
  expect(context.said.notices[0]).toContain('the crops around errors cover 100 % of 1 train images');
  expect(context.said.notices[0]).toContain('`cropShare` below 1');
});

test('weights by error are those of the targets in the hard images, with mean 1', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [
    { split: 'train', boxes: [a, b] },
    { split: 'train', boxes: [a] },
  ]);
  const model = await modelThatSees(rig.store, 'one', dataset, [
    [1, a, 0.9],
    [2, a, 0.9],
  ]);
  const weights = async (parameters: object) => {
    const { hardImages } = await mine(stepContext(rig.store), { model, dataset: ref, ...parameters });
    return (await loadJson(rig.store, 'selection', hardImages!)).weights;
  };
  expect(await weights({ errorWeights: { falseNegative: 3 } })).toEqual({ '1-0': 0.5, '1-1': 1.5 });
  // the crop holds the missed target alone
  expect(await weights({ errorWeights: { falseNegative: 3 }, scope: 'crop', cropShare: 0.3 })).toBeUndefined();
  expect(await weights({})).toBeUndefined();
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
