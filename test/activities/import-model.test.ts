import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { importModel } from '../../activities/import-model.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import { loadModel } from '../../artifacts/codecs.ts';
import { ingestTree } from '../../artifacts/tree.ts';
import { PUBLISHED } from '../../detection/model/darknet-networks.ts';
import { writeDarknetWeights } from '../../detection/model/darknet-weights.ts';
import { published, usedWeights } from '../detection/model/published.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

const structure = 'yolov4-tiny';
let rig: StepRig;
let folder: string;

beforeEach(async () => {
  enterTfProcess();
  rig = await openRig();
  folder = join(rig.folder, 'weights');
  await mkdir(folder);
});

afterEach(() => rig.close());

const kinds = (count: number) => Array.from({ length: count }, (_, i) => ({ id: i + 1, name: `category ${i + 1}` }));

async function sourceWith(categories: number): Promise<Awaited<ReturnType<typeof ingestTree>>> {
  const architecture = published(structure, 64, kinds(categories));
  await writeFile(join(folder, 'own.weights'), writeDarknetWeights(architecture, usedWeights(architecture)));
  return ingestTree(rig.store, folder);
}

it('import-model reads the weights, with the published anchors and numbered categories', async () => {
  const context = stepContext(rig.store);
  const source = await sourceWith(3);
  const { model } = await importModel(context, { source, structure, imageSize: 64 });
  const { architecture, weights, training } = await loadModel(rig.store, model);
  expect(architecture).toMatchObject({ structure, imageSize: 64, anchors: PUBLISHED[structure].anchors });
  expect(architecture.categories).toEqual(kinds(3));
  expect(training).toMatchObject({ steps: 0, stepsInAll: 0 });
  const own = usedWeights(published(structure, 64, kinds(3)));
  expect(weights.every(({ data }, i) => data.every((value, j) => value === own[i]!.data[j]))).toBe(true);
  expect(context.said.notices).toEqual([]);
});

it('import-model begins the heads anew for other categories, and says so', async () => {
  const context = stepContext(rig.store);
  const { model } = await importModel(context, { source: await sourceWith(80), structure, categories: ['cherry'] });
  const { architecture } = await loadModel(rig.store, model);
  expect(architecture.categories).toEqual([{ id: 1, name: 'cherry' }]);
  expect(architecture.imageSize).toBe(416);
  expect(context.said.notices).toEqual([
    'step: 2 layers start anew (head32/out to head16/out), because its heads are for 80 categories, and 1 are wanted ("own.weights"). Train before you detect.',
  ]);
});

it('train begins with a published network where `structure` asks for one', async () => {
  const { ref: dataset } = await squaresDataset(rig.store, { train: 4, val: 0, test: 0 });
  const parameters = { dataset, structure, imageSize: 64, steps: 2, batchSize: 2 } as const;
  const { model, steps } = await train(stepContext(rig.store), parameters);
  expect(steps).toBe(2);
  const { architecture } = await loadModel(rig.store, model);
  expect(architecture).toMatchObject({ structure, depth: 1, width: 1, strides: [16, 32], activation: 'leaky' });
});

it('import-model names what is wrong with the folder or the file', async () => {
  await writeFile(join(folder, 'readme.txt'), 'nothing here');
  const empty = await ingestTree(rig.store, folder);
  const context = stepContext(rig.store);
  await expect(importModel(context, { source: empty, structure })).rejects.toMatchObject({
    type: 'BadData',
    message: expect.stringContaining('the folder holds 0 weight files (none), expected one'),
  });
  await rm(join(folder, 'readme.txt'));
  await writeFile(join(folder, 'cut.weights'), Buffer.alloc(5000));
  const cut = await ingestTree(rig.store, folder);
  await expect(importModel(context, { source: cut, structure })).rejects.toMatchObject({
    type: 'BadData',
    message: expect.stringContaining('"cut.weights": The file has 5000 bytes'),
  });
});
