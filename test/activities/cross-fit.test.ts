/** Folds: what a training leaves out, and mining with models that have not seen the image. */

import { describe, expect, test } from 'vitest';
import { mine } from '../../activities/mine.ts';
import { selectedImages } from '../../activities/training-images.ts';
import { loadJson, saveJson, saveModel } from '../../artifacts/codecs.ts';
import { recordDetections } from '../../artifacts/stored-detections.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { type Fold, foldOf, foldUnseen } from '../../detection/folds.ts';
import type { Box, Dataset } from '../../detection/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { rigOfEachTest, stepContext } from './step-rig.ts';

const rig = rigOfEachTest();

const a: Box = [10, 10, 30, 30];
const b: Box = [50, 50, 80, 80];

/** Twelve train images with a label at a, in pairs of one group, and one validation image without labels. */
const scene = () =>
  storeDataset(rig.store, [
    ...Array.from({ length: 12 }, (_, i) => ({ split: 'train' as const, boxes: [a], group: `photo ${i >> 1}` })),
    { split: 'val' as const, boxes: [] },
  ]);

test('images of one group share a fold, and every fold has some', async () => {
  const { dataset } = await scene();
  const folds = dataset.images.map((image) => foldOf(image, 2));
  for (let i = 0; i < 12; i += 2) expect(folds[i]).toBe(folds[i + 1]);
  expect(new Set(folds)).toEqual(new Set([1, 2]));
  const many = Array.from({ length: 3000 }, (_, i) => foldOf({ group: `g${i}` }, 3));
  for (const fold of [1, 2, 3]) expect(many.filter((one) => one === fold).length).toBeGreaterThan(900);
});

test('a training leaves out its fold, of the replayed images too', async () => {
  const { dataset, ref } = await scene();
  const from = await saveJson(rig.store, 'selection', { images: [1, 2, 3, 4] });
  const seen = async (fold?: Fold) => {
    const selected = await selectedImages(stepContext(rig.store), dataset, { dataset: ref, fold, replay: { from } });
    return {
      select: selected.select.map(({ image }) => image),
      replay: selected.replay!.from.map(({ image }) => image),
    };
  };
  const inFold = (id: number) => foldOf(dataset.images[id - 1]!, 2) === 1;
  const all = await seen();
  const without = await seen({ without: 1, of: 2 });
  expect(all.select).toHaveLength(12);
  expect(without.select).toEqual(all.select.filter((id) => !inFold(id)));
  expect(without.replay).toEqual([1, 2, 3, 4].filter((id) => !inFold(id)));
  await expect(seen({ without: 3, of: 2 })).rejects.toThrow('leaves out fold 3 of 2; expected a number from 1 to 2');
});

test('a model has not seen a fold only where the one that it began with has not either', () => {
  const fold = { without: 1, of: 2 };
  expect(foldUnseen(fold, null)).toEqual(fold);
  expect(foldUnseen(fold, { fold })).toEqual(fold);
  expect(foldUnseen(fold, {})).toBeUndefined();
  expect(foldUnseen(fold, { fold: { without: 1, of: 3 } })).toBeUndefined();
  expect(foldUnseen(undefined, { fold })).toBeUndefined();
});

describe('mining', () => {
  /** A model that sees the box in all images; its weights tell it from others. */
  async function foldModel(dataset: Dataset, box: Box, fold: Fold | undefined, weight: number) {
    const ref = await saveModel(rig.store, {
      architecture: {
        depth: 1,
        width: 1,
        strides: [8],
        anchors: [[[8, 8]]],
        activation: 'leaky',
        imageSize: 64,
        categories: dataset.categories,
      },
      weights: [{ name: 'w', shape: [1], data: Float32Array.of(weight) }],
      training: { steps: 1, stepsInAll: 1, images: 1, seed: 1, parameters: 1, ...(fold ? { fold } : {}) },
    });
    const rows = dataset.images.map(({ id }) => ({ imageId: id, categoryId: 1, box, score: 0.9 }));
    const found = detectionsFromRows(
      dataset.images.map(({ id }) => id),
      rows,
    );
    await recordDetections(rig.store, ref, dataset.images, found);
    return ref;
  }

  test('asks the model that has not seen the image, and counts hard cases as `model` sees them', async () => {
    const { dataset, ref } = await scene();
    // the model agrees with every label, as one does that has memorised them; that of fold 1 too, that of fold 2 does not
    const all = dataset.images.filter(({ split }) => split === 'train');
    const model = await modelThatSees(
      rig.store,
      'all',
      dataset,
      all.map(({ id }) => [id, a, 0.9] as const),
    );
    const crossFit = [
      await foldModel(dataset, a, { without: 1, of: 2 }, 1),
      await foldModel(dataset, b, { without: 2, of: 2 }, 2),
    ];
    const outputs = await mine(stepContext(rig.store), { model, crossFit, dataset: ref, splits: ['train', 'val'] });
    const candidates = await loadJson(rig.store, 'candidates', outputs.candidates);
    const asked = [...new Set(candidates.map(({ imageId }) => imageId))].sort((x, y) => x - y);
    expect(asked).toEqual(all.filter((image) => foldOf(image, 2) === 2).map(({ id }) => id));
    expect(new Set(candidates.map(({ type }) => type))).toEqual(new Set(['missing', 'spurious']));
    expect(outputs).toMatchObject({ truePositives: 12, falsePositives: 0, falseNegatives: 0, hardShare: 0 });
  });

  test('refuses models that have seen the images they are to be asked about', async () => {
    const { dataset, ref } = await scene();
    const model = await modelThatSees(rig.store, 'all', dataset, []);
    const first = await foldModel(dataset, a, { without: 1, of: 2 }, 1);
    const second = await foldModel(dataset, a, { without: 2, of: 2 }, 2);
    const whole = await foldModel(dataset, a, undefined, 3);
    const mined = (crossFit: (typeof model)[]) => mine(stepContext(rig.store), { model, crossFit, dataset: ref });
    await expect(mined([second, first])).rejects.toThrow(
      'Model 1 of the 2 in `crossFit` was trained without fold 2 of 2, expected without fold 1 of 2.',
    );
    await expect(mined([first, whole])).rejects.toThrow(
      'Model 2 of the 2 in `crossFit` was trained on all of its folds',
    );
    await expect(mined([first, second, whole])).rejects.toThrow('without fold 1 of 2, expected without fold 1 of 3');
  });
});
