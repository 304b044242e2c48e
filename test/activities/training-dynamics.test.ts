/** `train` with dynamics: what it records, threshold boxes, and boxes in quarantine. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { quarantine } from '../../activities/quarantine.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import type { TrainParameters } from '../../activities/training-parameters.ts';
import { loadDataset, loadDynamics, loadJson, saveDataset } from '../../artifacts/codecs.ts';
import type { Dataset } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

let rig: StepRig;
let dataset: Dataset;
let ref: ArtifactRef;
let shared: TrainParameters;

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  ({ dataset, ref } = await squaresDataset(rig.store, { train: 8, val: 4, test: 0 }));
  shared = { dataset: ref, epochs: 3, batchSize: 4, imageSize: 64, strides: [8, 16], width: 0.125 };
});

afterAll(async () => {
  await rig.close();
});

const trainTargets = () => dataset.labels.annotations.filter(({ imageId }) => imageId <= 8);

test('a training records its images at the stride, and the last epoch; without the parameter it records nothing', async () => {
  const outputs = await train(stepContext(rig.store, { fingerprint: 'a'.repeat(64) }), {
    ...shared,
    dynamics: { every: 2 },
  });
  const dynamics = await loadDynamics(rig.store, outputs.dynamics!);
  expect(dynamics.epochs).toEqual([2, 3]);
  expect(dynamics.targets.map(({ annotationId }) => annotationId)).toEqual(trainTargets().map(({ id }) => id));
  expect(dynamics.targets.some(({ planted }) => planted)).toBe(false);
  expect(dynamics.series.total.every((loss) => loss > 0)).toBe(true);
  const silent = await train(stepContext(rig.store, { fingerprint: 'b'.repeat(64) }), shared);
  expect(silent).not.toHaveProperty('dynamics');
  // Looking on changes nothing.
  expect(silent.model).toEqual(outputs.model);
});

test('threshold boxes are targets of that training alone', async () => {
  const outputs = await train(stepContext(rig.store, { fingerprint: 'c'.repeat(64) }), {
    ...shared,
    dynamics: { planted: 0.5 },
  });
  const { targets } = await loadDynamics(rig.store, outputs.dynamics!);
  const planted = targets.filter((target) => target.planted);
  expect(planted.length).toBeGreaterThan(0);
  expect(targets.length - planted.length).toBe(trainTargets().length);
  expect(planted.every(({ imageId }) => imageId <= 8)).toBe(true);
  const held = await quarantine(stepContext(rig.store), { dataset: ref, dynamics: outputs.dynamics!, by: 'aum' });
  const { labels } = await loadDataset(rig.store, held.dataset);
  expect(labels.annotations.map(({ id }) => id)).toEqual(
    (await loadDataset(rig.store, ref)).labels.annotations.map(({ id }) => id),
  );
});

test('boxes in quarantine are recorded too, and the curves say how many there were', async () => {
  const [first] = trainTargets();
  const annotations = dataset.labels.annotations.map((one) =>
    one === first ? { ...one, ignore: true, quarantine: 'a test' } : one,
  );
  const held = await saveDataset(rig.store, { ...dataset, labels: { ...dataset.labels, annotations } });
  const outputs = await train(stepContext(rig.store, { fingerprint: 'd'.repeat(64) }), {
    ...shared,
    dataset: held,
    dynamics: {},
  });
  const { targets } = await loadDynamics(rig.store, outputs.dynamics!);
  expect(targets.map(({ annotationId }) => annotationId)).toContain(first!.id);
  expect((await loadJson(rig.store, 'curves', outputs.curves)).quarantined).toBe(1);
});
