/** The table of AP, and what is compared with what, on detections made by hand. */

import { expect, test } from 'vitest';
import type { Trial } from '../../activities/capacity-trial.ts';
import { chooseTrial } from '../../activities/choose-capacity.ts';
import { compareModels } from '../../activities/compare-models.ts';
import { evaluate } from '../../activities/evaluate.ts';
import { loadJson, saveJson, saveLabels } from '../../artifacts/codecs.ts';
import type { Box } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { rigOfEachTest, stepContext } from './step-rig.ts';

const rig = rigOfEachTest();

const a: Box = [10, 10, 30, 30];
const b: Box = [50, 50, 80, 80];
const c: Box = [70, 10, 90, 30];

const ensemble = (models: readonly ArtifactRef[]) =>
  saveJson(rig.store, 'ensemble', { models, method: 'nms', iou: 0.5 });

/** Four test images with a and b; model 1 sees a, model 2 sees b, so that only both together see everything. */
async function twoModels() {
  const images = [1, 2, 3, 4].map(() => ({ split: 'test' as const, boxes: [a, b] }));
  const stored = await storeDataset(rig.store, images);
  const ids = [1, 2, 3, 4];
  const one = await modelThatSees(
    rig.store,
    'one',
    stored.dataset,
    ids.map((id) => [id, a, 0.9] as const),
  );
  const two = await modelThatSees(
    rig.store,
    'two',
    stored.dataset,
    ids.map((id) => [id, b, 0.8] as const),
  );
  return { ...stored, images, one, two };
}

test('merged predictions find what each model alone misses', async () => {
  const { ref, one, two } = await twoModels();
  const outputs = await evaluate(stepContext(rig.store), {
    models: [one, two],
    merged: [await ensemble([one, two])],
    dataset: ref,
    splits: ['test'],
    replicates: 20,
  });
  const metrics = await loadJson(rig.store, 'metrics', outputs.metrics);
  expect(metrics.rows.map(({ name, role }) => `${role}: ${name}`)).toEqual([
    'model: model 1',
    'model: model 2',
    'merged: models 1+2',
  ]);
  // Recall one half: precision 1 at 51 of 101 recall levels.
  expect(metrics.rows.map((row) => row.cells[0]!.AP.value)).toEqual(
    [51 / 101, 51 / 101, 1].map((v) => expect.closeTo(v, 9)),
  );
  expect(outputs).toMatchObject({ AP: expect.closeTo(1, 9), AP50: expect.closeTo(1, 9) });
  expect(metrics.images).toEqual([{ split: 'test', images: 4, groups: 4, boxes: 8 }]);
});

test('the merge is compared with the control first, then with model 1, then each model with the one before', async () => {
  const { ref, one, two } = await twoModels();
  const outputs = await evaluate(stepContext(rig.store), {
    baseline: one,
    models: [one, two],
    merged: [await ensemble([one, two])],
    control: [await ensemble([one, one])],
    dataset: ref,
    splits: ['test'],
    replicates: 20,
  });
  const { comparisons } = await loadJson(rig.store, 'metrics', outputs.metrics);
  expect(comparisons.map(({ name, against }) => `${name} - ${against}`)).toEqual([
    'models 1+2 - control 1+2',
    'models 1+2 - model 1',
    'model 2 - model 1',
    'model 1 - baseline',
  ]);
  expect(comparisons[0]!.AP.value).toBeCloseTo(50 / 101, 9);
  expect(comparisons[3]!.AP).toEqual({ value: 0, low: 0, high: 0 });
});

test('columns are the original labels, later versions that changed something, and the truth', async () => {
  const { dataset, ref, images, one } = await twoModels();
  // A reviewer adds c, and then takes b away; a review without changes is no version of its own.
  const second = await storeDataset(
    rig.store,
    images.map((image) => ({ ...image, boxes: [a, b, c] })),
    'review',
  );
  const third = await storeDataset(
    rig.store,
    images.map((image) => ({ ...image, boxes: [a] })),
    'review',
  );
  const truth = await saveLabels(rig.store, { ...third.dataset.labels, author: 'truth' });
  const outputs = await evaluate(stepContext(rig.store), {
    models: [one],
    dataset: ref,
    versions: [ref, second.ref, second.ref, third.ref],
    truth,
    splits: ['test'],
    replicates: 20,
  });
  const metrics = await loadJson(rig.store, 'metrics', outputs.metrics);
  expect(metrics.labelVersions.map(({ name, annotations }) => [name, annotations])).toEqual([
    ['original', 8],
    ['version 2', 12],
    ['final', 4],
    ['truth', 4],
  ]);
  // One of two, one of three, one of one; the outputs speak of the final version.
  const values = metrics.rows[0]!.cells.map((cell) => Math.round(cell.AP.value * 101));
  expect(values).toEqual([51, 34, 101, 101]);
  expect(outputs.AP).toBeCloseTo(1, 9);
  expect(dataset.images).toHaveLength(4);
});

test('images of one group are resampled together', async () => {
  const images = [1, 2, 3, 4].map((i) => ({ split: 'test' as const, boxes: [a], group: i < 3 ? 'left' : 'right' }));
  const { dataset, ref } = await storeDataset(rig.store, images);
  const model = await modelThatSees(rig.store, 'one', dataset, [
    [1, a, 0.9],
    [2, a, 0.9],
  ]);
  const outputs = await evaluate(stepContext(rig.store), {
    models: [model],
    dataset: ref,
    splits: ['test'],
    replicates: 50,
  });
  const metrics = await loadJson(rig.store, 'metrics', outputs.metrics);
  expect(metrics.images[0]!.groups).toBe(2);
  // Only three draws exist: both groups, or one of them twice.
  expect(metrics.rows[0]!.cells[0]!.AP).toMatchObject({ low: 0, high: expect.closeTo(1, 9) });
});

test('a split without images is left out with a notice, and without any it is an error', async () => {
  const { ref, one } = await twoModels();
  const context = stepContext(rig.store);
  await evaluate(context, { models: [one], dataset: ref, replicates: 5 });
  expect(context.said.notices[0]).toContain('the split val has no images');
  await expect(evaluate(context, { models: [one], dataset: ref, splits: ['train'] })).rejects.toMatchObject({
    nonRetryable: true,
  });
});

test('the gain of a round is the paired difference on validation', async () => {
  const images = [1, 2, 3, 4].map(() => ({ split: 'val' as const, boxes: [a, b] }));
  const { dataset, ref } = await storeDataset(rig.store, images);
  const half = await modelThatSees(
    rig.store,
    'half',
    dataset,
    [1, 2, 3, 4].map((id) => [id, a, 0.9] as const),
  );
  const whole = await modelThatSees(
    rig.store,
    'whole',
    dataset,
    [1, 2, 3, 4].flatMap((id) => [[id, a, 0.9] as const, [id, b, 0.8] as const]),
  );
  const gain = await compareModels(stepContext(rig.store), { old: half, new: whole, dataset: ref });
  expect(gain.value).toBeCloseTo(50 / 101, 9);
  expect(gain.low).toBeGreaterThan(0);
});

test('one-se takes the smallest model within one standard error of the best, `best` the best', () => {
  const row = (width: number, parameters: number, AP: number): Trial => ({
    depth: 0.33,
    width,
    parameters,
    trainingLoss: 1,
    AP: { value: AP, low: AP - 0.1, high: AP + 0.1 },
    AP50: AP,
    seconds: 1,
    model: { artifact: 'model', digest: String(width), bytes: 0 },
  });
  const rows = [row(0.125, 1_000, 0.3), row(0.25, 4_000, 0.48), row(0.5, 16_000, 0.5)];
  const errors = [0.05, 0.03, 0];
  expect(chooseTrial(rows, errors, 'best').chosen.width).toBe(0.5);
  const near = chooseTrial(rows, errors, 'one-se');
  expect(near.chosen.width).toBe(0.25);
  expect(near.reason).toContain('2.00 points lower, within one standard error (3.00)');
  const clear = chooseTrial(rows, [0.05, 0.01, 0], 'one-se');
  expect(clear.chosen.width).toBe(0.5);
  expect(clear.reason).toContain('the 2 smaller ones are worse by more than one standard error');
});

test('smaller is what does less work on an image, so the same weights on a smaller image win', () => {
  const row = (imageSize: number, parameters: number, AP: number): Trial => ({
    depth: 0.33,
    width: 0.25,
    imageSize,
    anchors: 3,
    parameters,
    flops: parameters * imageSize ** 2,
    trainingLoss: 1,
    AP: { value: AP, low: AP - 0.1, high: AP + 0.1 },
    AP50: AP,
    seconds: 1,
    model: { artifact: 'model', digest: String(imageSize), bytes: 0 },
  });
  const rows = [row(640, 1_000, 0.5), row(320, 3_000, 0.48), row(320, 3_500, 0.49)];
  const { chosen, reason } = chooseTrial(rows, [0, 0.03, 0.03], 'one-se');
  expect(chosen).toBe(rows[1]);
  expect(reason).toMatch(/^Depth 0\.33, width 0\.25, 320 px \(3,000 parameters\) is the smallest of 3 models/);
  // Of equals the cheaper, also by `best`.
  expect(chooseTrial([row(640, 1_000, 0.5), row(320, 3_000, 0.5)], [0, 0], 'best').chosen.imageSize).toBe(320);
});
