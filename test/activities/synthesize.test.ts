import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../activities/image-files.ts';
import { type SynthesizeParameters, synthesize } from '../../activities/synthesize.ts';
import { loadDataset, loadJson, loadLabels } from '../../artifacts/codecs.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { stepContext } from './step-rig.ts';

const parameters: SynthesizeParameters = {
  images: 40,
  imageSize: 64,
  categories: 1,
  targets: 5,
  targetSize: 0.1,
  errors: { missing: 0.1, spurious: 0.05, shifted: 0.05, wrongClass: 0 },
  split: { train: 0.6, val: 0.2, test: 0.2 },
};

describe('synthesize', () => {
  it('puts no photo into two splits, and images into every split', async () => {
    const store = createMemoryStore();
    const { dataset } = await synthesize(stepContext(store), parameters);
    const { images } = await loadDataset(store, dataset);
    expect(images).toHaveLength(40);
    const splitsOfPhoto = new Map<string, Set<string>>();
    for (const { group, split } of images) {
      splitsOfPhoto.set(group, (splitsOfPhoto.get(group) ?? new Set()).add(split));
    }
    expect(Math.max(...[...splitsOfPhoto.values()].map((splits) => splits.size))).toBe(1);
    // Photos that several images are cut from are the reason.
    expect(splitsOfPhoto.size).toBeLessThan(images.length);
    const count = (split: string) => images.filter((image) => image.split === split).length;
    expect(count('train')).toBeGreaterThanOrEqual(21);
    expect(count('val')).toBeGreaterThanOrEqual(5);
    expect(count('test')).toBeGreaterThanOrEqual(5);
  });

  it('stores images that decode to what the table says', async () => {
    const store = createMemoryStore();
    const { dataset } = await synthesize(stepContext(store), { ...parameters, images: 10 });
    const { images } = await loadDataset(store, dataset);
    for (const image of images) {
      const { width, height } = await decodeImage((await store.getObject(image.digest))!);
      expect([width, height]).toEqual([image.width, image.height]);
    }
    expect(new Set(images.map(({ digest }) => digest)).size).toBe(10);
  });

  it('lists exactly the label errors by which the labels differ from the truth', async () => {
    const store = createMemoryStore();
    const { dataset, truth, planted } = await synthesize(stepContext(store), parameters);
    const { labels, images } = await loadDataset(store, dataset);
    const { annotations: right } = await loadLabels(store, truth);
    const { errors } = await loadJson(store, 'planted', planted);
    const given = new Map(labels.annotations.map((one) => [one.id, one]));
    const trueIds = new Set(right.map(({ id }) => id));
    const found = {
      missing: right.filter(({ id }) => !given.has(id)).length,
      shifted: right.filter(({ id, box }) => given.has(id) && String(given.get(id)?.box) !== String(box)).length,
      spurious: labels.annotations.filter(({ id }) => !trueIds.has(id)).length,
    };
    const listed = (type: string) => errors.filter((error) => error.type === type).length;
    expect(found).toEqual({ missing: listed('missing'), shifted: listed('shifted'), spurious: listed('spurious') });
    expect(found.missing).toBeGreaterThan(0);
    // The splits of erroneous images: errors are planted everywhere, not in training alone.
    const splits = new Map(images.map(({ id, split }) => [id, split]));
    expect(new Set(errors.map(({ imageId }) => splits.get(imageId)))).toEqual(new Set(['train', 'val', 'test']));
  });

  it('gives the same dataset for the same seed, and another for another', async () => {
    const small = { ...parameters, images: 10 };
    const one = await synthesize(stepContext(createMemoryStore()), small);
    expect(await synthesize(stepContext(createMemoryStore()), small)).toEqual(one);
    const other = await synthesize(stepContext(createMemoryStore(), { seed: 2 }), small);
    expect(other.dataset.digest).not.toBe(one.dataset.digest);
  });

  it('says that there are too few photos for the splits', async () => {
    const making = synthesize(stepContext(createMemoryStore()), { ...parameters, images: 2 });
    await expect(making).rejects.toMatchObject({
      type: 'BadData',
      nonRetryable: true,
      message: expect.stringMatching(/^step: .*cannot fill 3 splits/),
    });
  });

  it('ends soon after it is cancelled', async () => {
    const context = stepContext(createMemoryStore(), { signal: AbortSignal.abort() });
    await expect(synthesize(context, parameters)).rejects.toThrow('aborted');
    expect(context.said.progress).toEqual([]);
  });
});
