import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exportFiles } from '../../activities/export.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { saveDataset, saveModel } from '../../artifacts/codecs.ts';
import { openTree } from '../../artifacts/tree.ts';
import { initialWeights } from '../../detection/model/network.ts';
import { tf } from '../../detection/model/tf.ts';
import type { Architecture, Dataset } from '../../detection/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { stepContext } from './step-rig.ts';

const architecture: Architecture = {
  depth: 0.1,
  width: 0.125,
  strides: [8, 16],
  anchors: [[[8, 8]], [[16, 16]]],
  activation: 'leaky',
  imageSize: 32,
  categories: [{ id: 1, name: 'cherry' }],
};

const dataset: Dataset = {
  categories: [{ id: 1, name: 'cherry' }],
  images: [
    { id: 1, fileName: 'images/1.png', width: 64, height: 48, digest: 'a'.repeat(64), split: 'train', group: '1' },
    { id: 2, fileName: 'images/2.png', width: 64, height: 48, digest: 'b'.repeat(64), split: 'val', group: '2' },
  ],
  labels: {
    parent: null,
    author: 'import',
    note: '',
    annotations: [{ id: 'x', imageId: 1, categoryId: 1, box: [1, 2, 11, 22] }],
  },
};

let folder: string;

beforeEach(async () => {
  enterTfProcess();
  folder = await mkdtemp(join(tmpdir(), 'export-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

it('export writes a dataset as COCO, into the store and the folder', async () => {
  const store = createMemoryStore();
  const ref = await saveDataset(store, dataset);
  const to = join(folder, 'out');
  const { files } = await exportFiles(stepContext(store), { dataset: ref, to });
  const { tree, read } = await openTree(store, files);
  const labels = await Promise.all(
    tree.files
      .filter(({ name }) => name.endsWith('.json'))
      .map(async ({ name }) => JSON.parse((await read(name)).toString())),
  );
  expect(labels.flatMap(({ annotations }) => annotations).map(({ bbox }) => bbox)).toEqual([[1, 2, 10, 20]]);
  for (const { name } of tree.files) expect(await readFile(join(to, name))).toEqual(await read(name));
});

it('export writes a model that TensorFlow.js loads', async () => {
  const store = createMemoryStore();
  const training = { steps: 1, stepsInAll: 1, images: 1, seed: 1, parameters: 1 };
  const model = await saveModel(store, { architecture, weights: initialWeights(architecture, 1), training });
  await exportFiles(stepContext(store), { model, to: folder });
  expect((await readdir(join(folder, 'model'))).sort()).toEqual(['detect.js', 'model.json', 'weights.bin']);
  const loaded = await tf.loadGraphModel(tf.io.fileSystem(join(folder, 'model', 'model.json')));
  const answer = loaded.predict(tf.zeros([1, 32, 32, 3]));
  expect((Array.isArray(answer) ? answer[0]! : (answer as { shape: number[] })).shape).toEqual([1, 16 + 4, 6]);
});

it('export writes a model in the formats that are asked for', async () => {
  const store = createMemoryStore();
  const training = { steps: 1, stepsInAll: 1, images: 1, seed: 1, parameters: 1 };
  const model = await saveModel(store, { architecture, weights: initialWeights(architecture, 1), training });
  const { files } = await exportFiles(stepContext(store), { model, formats: ['onnx'] });
  const { tree, read } = await openTree(store, files);
  expect(tree.files.map(({ name }) => name)).toEqual(['model/model.onnx']);
  const session = await InferenceSession.create(await read('model/model.onnx'));
  expect([session.inputNames, session.outputNames]).toEqual([['images'], ['boxes', 'scores']]);
  await session.release();
});

it('export never writes over a file with other contents', async () => {
  const store = createMemoryStore();
  const ref = await saveDataset(store, dataset);
  await exportFiles(stepContext(store), { dataset: ref, to: folder });
  // The same again is no conflict.
  const { files } = await exportFiles(stepContext(store), { dataset: ref, to: folder });
  const { name } = (await openTree(store, files)).tree.files[0]!;
  await writeFile(join(folder, name), 'mine');
  await expect(exportFiles(stepContext(store), { dataset: ref, to: folder })).rejects.toMatchObject({
    type: 'FileInTheWay',
    nonRetryable: true,
    message: expect.stringContaining(`Would overwrite ${join(folder, name)}`),
  });
  expect(await readFile(join(folder, name), 'utf8')).toBe('mine');
});

it('export of nothing is an error', async () => {
  await expect(exportFiles(stepContext(createMemoryStore()), {})).rejects.toMatchObject({ type: 'BadData' });
});
