/** The ledger of what a chain of models found, with detections made by hand. */

import { expect, test } from 'vitest';
import { trackForgetting } from '../../activities/track-forgetting.ts';
import { loadJson } from '../../artifacts/codecs.ts';
import type { Box } from '../../detection/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { rigOfEachTest, stepContext } from './step-rig.ts';

const rig = rigOfEachTest();

const a: Box = [10, 10, 30, 30];
const b: Box = [50, 50, 80, 80];

test('every ground truth of train and validation has its history and its fate', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [
    { split: 'train', boxes: [a, b] },
    { split: 'val', boxes: [a] },
    { split: 'test', boxes: [a] },
  ]);
  const models = [
    await modelThatSees(rig.store, 'one', dataset, [
      [1, a, 0.9],
      [2, a, 0.2],
    ]),
    await modelThatSees(rig.store, 'two', dataset, [
      [1, b, 0.8],
      [2, a, 0.2],
    ]),
  ];
  const outputs = await trackForgetting(stepContext(rig.store), { models, dataset: ref });
  expect(outputs).toMatchObject({ learnt: 1, forgotten: 1, relearnt: 0, never: 1 });
  const { targets, ...rest } = await loadJson(rig.store, 'forgetting', outputs.ledger);
  expect(rest).toEqual({ models, confidence: 0.3, iou: 0.5 });
  expect(targets).toEqual([
    { annotationId: '1-0', imageId: 1, scores: [0.9, 0], fileName: '1.png', split: 'train', box: a, fate: 'forgotten' },
    { annotationId: '1-1', imageId: 1, scores: [0, 0.8], fileName: '1.png', split: 'train', box: b, fate: 'learnt' },
    { annotationId: '2-0', imageId: 2, scores: [0, 0], fileName: '2.png', split: 'val', box: a, fate: 'never' },
  ]);
  const lower = await trackForgetting(stepContext(rig.store), {
    models,
    dataset: ref,
    splits: ['val'],
    confidence: 0.1,
  });
  expect(lower).toMatchObject({ learnt: 0, forgotten: 0, never: 0 });
});

test('without a model there is nothing to track', async () => {
  const { ref } = await storeDataset(rig.store, [{ split: 'train', boxes: [a] }]);
  await expect(trackForgetting(stepContext(rig.store), { models: [], dataset: ref })).rejects.toThrow('no model');
});
