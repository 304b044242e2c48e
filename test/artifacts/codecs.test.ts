import { describe, expect, it } from 'vitest';
import {
  loadDataset,
  loadDetections,
  loadJson,
  loadLabels,
  loadModel,
  MissingArtifactError,
  saveDataset,
  saveDetections,
  saveJson,
  saveLabels,
  saveModel,
} from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import type { Model } from '../../artifacts/types.ts';
import type { Annotation, Dataset, Detections, ImageEntry } from '../../detection/types.ts';
import { createMemoryStore } from './memory-store.ts';

const image = (id: number): ImageEntry => ({
  id,
  fileName: `images/${id}.png`,
  width: 64,
  height: 48,
  digest: sha256Hex(`image ${id}`),
  split: 'train',
  group: `photo ${id}`,
});
const annotation = (id: string, imageId: number): Annotation => ({
  id,
  imageId,
  categoryId: 1,
  box: [1.5, 2, 3, 4.25],
});
const dataset: Dataset = {
  categories: [{ id: 1, name: 'cherry' }],
  images: [image(1), image(2)],
  labels: {
    parent: null,
    author: 'import',
    note: '',
    annotations: [annotation('a', 1), annotation('b', 1), annotation('c', 2)],
  },
};

const model: Model = {
  architecture: {
    depth: 0.33,
    width: 0.125,
    strides: [8],
    anchors: [[[10, 13]]],
    activation: 'leaky',
    imageSize: 64,
    categories: [{ id: 1, name: 'cherry' }],
  },
  weights: [
    { name: 'stem/kernel', shape: [2, 3], data: Float32Array.from([1, -2, 0.1, 3e-30, -0, 65504]) },
    // Not in alphabetical order, and without extent: both must stay as they are.
    { name: 'a/bias', shape: [], data: Float32Array.from([7]) },
    { name: '10', shape: [0, 4], data: new Float32Array(0) },
    { name: '9', shape: [1], data: Float32Array.from([9]) },
  ],
  training: { steps: 10, stepsInAll: 20, images: 5, seed: 1, parameters: 8 },
};

describe('Artifacts as bytes', () => {
  it('gives equal JSON artifacts equal digests, whatever the order of their keys', async () => {
    const store = createMemoryStore();
    const one = await saveJson(store, 'ensemble', { models: [], method: 'nms', iou: 0.5 });
    const other = await saveJson(store, 'ensemble', { iou: 0.5, method: 'nms', models: [] });
    expect(other).toEqual(one);
    expect(one).toEqual({
      artifact: 'ensemble',
      digest: sha256Hex('{"iou":0.5,"method":"nms","models":[]}'),
      bytes: 38,
    });
    expect(await loadJson(store, 'ensemble', one)).toEqual({ models: [], method: 'nms', iou: 0.5 });
  });

  it('refuses numbers that JSON cannot hold, naming the place', async () => {
    const selection = { images: [1, Number.NaN] };
    await expect(saveJson(createMemoryStore(), 'selection', selection)).rejects.toThrow('$.images[1] is NaN');
  });

  it('gives back a dataset with the digests of its parts', async () => {
    const store = createMemoryStore();
    const loaded = await loadDataset(store, await saveDataset(store, dataset));
    const { manifest, ...rest } = loaded;
    expect(rest).toEqual(dataset);
    expect(manifest.labels).toBe((await saveLabels(store, dataset.labels)).digest);
  });

  it('puts images and labels in order, so that equal datasets are one', async () => {
    const store = createMemoryStore();
    const turned: Dataset = {
      ...dataset,
      images: dataset.images.toReversed(),
      labels: { ...dataset.labels, annotations: dataset.labels.annotations.toReversed() },
    };
    expect(await saveDataset(store, turned)).toEqual(await saveDataset(store, dataset));
  });

  it('lets two label versions share the images', async () => {
    const store = createMemoryStore();
    const first = await loadDataset(store, await saveDataset(store, dataset));
    const labels = { ...dataset.labels, parent: first.manifest.labels, author: 'review', annotations: [] };
    const second = await loadDataset(store, await saveDataset(store, { ...dataset, labels }));
    expect(second.manifest.images).toBe(first.manifest.images);
    expect(second.manifest.labels).not.toBe(first.manifest.labels);
    expect(second.labels.parent).toBe(first.manifest.labels);
  });

  it('gives back labels alone', async () => {
    const store = createMemoryStore();
    expect(await loadLabels(store, await saveLabels(store, dataset.labels))).toEqual(dataset.labels);
  });

  it('gives back every weight bit by bit, in order', async () => {
    const store = createMemoryStore();
    const ref = await saveModel(store, model);
    const loaded = await loadModel(store, ref);
    expect(loaded.weights.map(({ name }) => name)).toEqual(['stem/kernel', 'a/bias', '10', '9']);
    expect(loaded).toEqual(model);
    expect(Object.is(loaded.weights[0]!.data[4], -0)).toBe(true);
    expect(await saveModel(store, loaded)).toEqual(ref);
  });

  it('writes a model as a safetensors file', async () => {
    const store = createMemoryStore();
    const bytes = store.objects.get((await saveModel(store, model)).digest)!;
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
    expect(headerBytes % 8).toBe(0);
    expect(header['a/bias']).toEqual({ dtype: 'F32', shape: [], data_offsets: [24, 28] });
    expect(bytes.readFloatLE(8 + headerBytes + 24)).toBe(7);
    expect(header.__metadata__.format).toBe('hardcase model 1');
  });

  it('gives back detections, and images without any', async () => {
    const store = createMemoryStore();
    const detections: Detections = {
      imageIds: [1, 2, 3],
      image: Int32Array.from([1, 3]),
      category: Int32Array.from([1, 1]),
      box: Float64Array.from([0.1, 0.2, 10.3, 10.4, 1, 2, 3, 4]),
      score: Float64Array.from([0.9, 1 / 3]),
    };
    expect(await loadDetections(store, await saveDetections(store, detections))).toEqual(detections);
    const none: Detections = {
      imageIds: [],
      image: new Int32Array(0),
      category: new Int32Array(0),
      box: new Float64Array(0),
      score: new Float64Array(0),
    };
    expect(await loadDetections(store, await saveDetections(store, none))).toEqual(none);
  });

  it('names kind, digest and store of what is missing', async () => {
    const store = createMemoryStore();
    const digest = 'f'.repeat(64);
    const error = await loadModel(store, { artifact: 'model', digest, bytes: 1 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MissingArtifactError);
    expect((error as Error).message).toContain(`The model ${digest} is not in the store memory.`);
  });

  it('refuses an artifact of another kind', async () => {
    const ref = await saveLabels(createMemoryStore(), dataset.labels);
    await expect(loadModel(createMemoryStore(), ref)).rejects.toThrow('expected an artifact of kind model, got labels');
  });
});
