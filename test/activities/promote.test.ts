/** The gate between an old model and a new one, with detections made by hand. */

import { expect, test } from 'vitest';
import { judgePromotion, promote } from '../../activities/promote.ts';
import type { Box } from '../../detection/types.ts';
import { type HandMadeImage, modelThatSees, storeDataset } from './hand-made.ts';
import { rigOfEachTest, stepContext } from './step-rig.ts';

const rig = rigOfEachTest();

const a: Box = [10, 10, 30, 30];
const b: Box = [50, 50, 80, 80];
const ids = Array.from({ length: 12 }, (_, i) => i + 1);
const images = ids.map((): HandMadeImage => ({ split: 'val', boxes: [a, b] }));

/** A model that sees `b` on all validation images, and `a` on these. */
async function modelThatFinds(name: string, found: readonly number[]) {
  const { dataset, ref } = await storeDataset(rig.store, images);
  const seen = ids.flatMap((id): [number, Box, number][] => [
    [id, b, 0.9],
    ...(found.includes(id) ? [[id, a, 0.8] as [number, Box, number]] : []),
  ]);
  return { dataset: ref, model: await modelThatSees(rig.store, name, dataset, seen) };
}

test('a model that is surely better on the hard validation images takes the place of the old one', async () => {
  const { dataset, model: old } = await modelThatFinds('old', [1, 2]);
  const { model: fresh } = await modelThatFinds('new', ids.slice(0, 10));
  const outputs = await promote(stepContext(rig.store), { old, new: fresh, dataset });
  expect(outputs).toMatchObject({ promoted: true, model: fresh, hardImages: 10 });
  expect(outputs.gainLow).toBeGreaterThan(0);
  expect(outputs.gain).toBeGreaterThan(outputs.change);
  expect(outputs.reason).toMatch(/^Promoted the new model: AP changed by [\d.]+ points on the 12 validation images/);
});

test('a model whose gain may be chance is not promoted, and the old one goes on', async () => {
  const { dataset, model: old } = await modelThatFinds('old', [1, 2, 3, 4, 5, 6]);
  const { model: fresh } = await modelThatFinds('new', [2, 3, 4, 5, 6, 7, 8]);
  const outputs = await promote(stepContext(rig.store), { old, new: fresh, dataset });
  expect(outputs).toMatchObject({ promoted: false, model: old });
  expect(outputs.gain).toBeGreaterThan(0);
  expect(outputs.reason).toContain('Kept the old model');
  expect(outputs.reason).toContain('the interval of the gain is not above 0.0');
  // a loss that is tolerated lets it pass
  expect(await promote(stepContext(rig.store), { old, new: fresh, dataset, minGain: -1 })).toMatchObject({
    promoted: true,
    model: fresh,
  });
});

test('which model is called new decides nothing but the sign: images in which either errs are hard', async () => {
  const { dataset, model: one } = await modelThatFinds('one', [1, 2, 3, 4]);
  const { model: other } = await modelThatFinds('other', [3, 4, 5, 6]);
  const forth = await promote(stepContext(rig.store), { old: one, new: other, dataset });
  const back = await promote(stepContext(rig.store), { old: other, new: one, dataset });
  expect([forth.promoted, back.promoted]).toEqual([false, false]);
  expect(forth.hardImages).toBe(back.hardImages);
  expect(forth.gain).toBeCloseTo(-back.gain, 12);
});

test('where neither errs there is nothing to gain', async () => {
  const { dataset, model: old } = await modelThatFinds('old', ids);
  const { model: fresh } = await modelThatFinds('new', ids);
  const outputs = await promote(stepContext(rig.store), { old, new: fresh, dataset });
  expect(outputs).toMatchObject({ promoted: false, hardImages: 0, change: 0, gain: 0 });
  expect(outputs.reason).toContain('neither model errs');
});

test('without labels on validation it says that it cannot decide', async () => {
  const { dataset, ref } = await storeDataset(rig.store, [{ split: 'train', boxes: [a] }]);
  const model = await modelThatSees(rig.store, 'any', dataset, []);
  await expect(promote(stepContext(rig.store), { old: model, new: model, dataset: ref })).rejects.toThrow(
    'decided on validation',
  );
});

test('a drop on all images weighs more than a gain on the hard ones', () => {
  const gain = { value: 0.05, low: 0.02, high: 0.08 };
  const measured = { change: { value: -0.02, low: -0.03, high: 0 }, gain, images: 40, hardImages: 12 };
  expect(judgePromotion(measured, {})).toEqual({
    promoted: false,
    reason:
      'Kept the old model: AP changed by −2.0 points on the 40 validation images and by 5.0 [2.0, 8.0] on the 12 hard ones; the drop is more than the 1.0 allowed.',
  });
  expect(judgePromotion(measured, { maxDrop: 0.03 }).promoted).toBe(true);
});
