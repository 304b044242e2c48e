import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ImportDatasetParameters, importDataset } from '../../activities/import-dataset.ts';
import { loadDataset, loadJson } from '../../artifacts/codecs.ts';
import { ingestTree } from '../../artifacts/tree.ts';
import { createRandom } from '../../detection/random.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { stepContext } from './step-rig.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'import-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function put(name: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), content);
}

/** A picture like no other: coarse noise from the seed. */
async function picture(seed: number, width = 64, height = 48): Promise<Buffer> {
  const random = createRandom(seed);
  const coarse = Uint8Array.from({ length: 12 * 9 * 3 }, () => random.int(256));
  const raw = { width: 12, height: 9, channels: 3 as const };
  return sharp(await sharp(coarse, { raw }).png().toBuffer())
    .resize(width, height, { fit: 'fill' })
    .jpeg()
    .toBuffer();
}

/** COCO with `count` pictures of two to a photo, one box each, and changes to what is written. */
async function putCoco(count: number, changes: { [imageId: number]: object } = {}): Promise<void> {
  const images = [];
  const annotations = [];
  for (let id = 1; id <= count; id++) {
    const photo = Math.ceil(id / 2);
    await put(`images/p${photo}_${id}.jpg`, await picture(id));
    images.push({ id, file_name: `p${photo}_${id}.jpg`, width: 64, height: 48, photo });
    annotations.push({ id, image_id: id, category_id: 1, bbox: [4, 4, 10, 8], area: 80, iscrowd: 0, ...changes[id] });
  }
  // NaN as Python writes it.
  const text = JSON.stringify({ images, annotations, categories: [{ id: 1, name: 'apple' }] }).replaceAll(
    '"NaN"',
    'NaN',
  );
  await put('annotations/instances.json', text);
}

const third = { train: 0.5, val: 0.25, test: 0.25 };

async function run(changes: Partial<ImportDatasetParameters> = {}) {
  const store = createMemoryStore();
  const context = stepContext(store);
  const source = await ingestTree(store, folder);
  const split = { keep: true, else: third };
  const outputs = await importDataset(context, { source, format: 'auto', split, onInvalid: 'error', ...changes });
  const dataset = await loadDataset(store, outputs.dataset);
  const { items } = await loadJson(store, 'coercions', outputs.coercions);
  return { outputs, dataset, items, notices: context.said.notices, store };
}

describe('import-dataset', () => {
  it.each(['photo', '^images/(p[0-9]+)_'])('puts no photo into two splits, grouped by %s', async (groupBy) => {
    await putCoco(24);
    const { dataset, outputs } = await run({ groupBy });
    expect(outputs.images).toBe(24);
    const splitsOfPhoto = new Map<string, Set<string>>();
    for (const { group, split } of dataset.images) {
      splitsOfPhoto.set(group, (splitsOfPhoto.get(group) ?? new Set()).add(split));
    }
    expect(splitsOfPhoto.size).toBe(12);
    for (const splits of splitsOfPhoto.values()) expect(splits.size).toBe(1);
    expect(new Set(dataset.images.map(({ split }) => split))).toEqual(new Set(['train', 'val', 'test']));
  });

  it('keeps the bytes of the images, and boxes as they are', async () => {
    await putCoco(8);
    const { dataset, store, items } = await run();
    expect(dataset.categories).toEqual([{ id: 1, name: 'apple' }]);
    expect(dataset.images[0]).toMatchObject({ id: 1, fileName: 'images/p1_1.jpg', width: 64, height: 48 });
    expect(await store.getObject(dataset.images[0]!.digest)).toEqual(await picture(1));
    expect(dataset.labels.annotations[0]).toMatchObject({ imageId: 1, categoryId: 1, box: [4, 4, 14, 12] });
    expect(items).toEqual([]);
  });

  it('keeps the splits that the folder names', async () => {
    for (const [split, id] of [
      ['train', 1],
      ['valid', 2],
      ['test', 3],
    ] as const) {
      await put(`${split}/images/${id}.jpg`, await picture(id));
      await put(`${split}/labels/${id}.txt`, '0 0.5 0.5 0.25 0.25\n');
    }
    await put('data.yaml', 'train: train/images\nval: valid/images\ntest: test/images\nnames: [apple]\n');
    const { dataset } = await run();
    expect(dataset.images.map(({ fileName, split }) => `${fileName} ${split}`).sort()).toEqual([
      'test/images/3.jpg test',
      'train/images/1.jpg train',
      'valid/images/2.jpg val',
    ]);
    expect(dataset.labels.annotations.map(({ box }) => box)).toContainEqual([24, 18, 40, 30]);
  });

  it('says that there is no validation image where the folder names other splits only', async () => {
    for (const [split, id] of [
      ['train', 1],
      ['test', 3],
    ] as const) {
      await put(`${split}/images/${id}.jpg`, await picture(id));
      await put(`${split}/labels/${id}.txt`, '0 0.5 0.5 0.25 0.25\n');
    }
    await put('data.yaml', 'train: train/images\ntest: test/images\nnames: [apple]\n');
    await expect(run()).rejects.toMatchObject({
      type: 'BadData',
      message:
        'No image is in val (1 train, 0 val, 1 test images). The folder itself names the splits train, test: add images to val, or set "split.keep: false" to draw new splits.',
    });
  });

  it('lists every fault at once, with its place, and imports nothing', async () => {
    await putCoco(10, {
      1: { bbox: [100, 4, 10, 8] },
      2: { bbox: ['NaN', 4, 10, 8] },
      3: { bbox: [4, 4, -10, 8] },
      4: { category_id: 7 },
    });
    const whole = await picture(5);
    await put('images/p3_5.jpg', whole.subarray(0, whole.length / 2));
    await rm(join(folder, 'images/p3_6.jpg'));
    await put('images/p4_7.jpg', 'no image at all');
    const error = await run().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ type: 'BadData', nonRetryable: true });
    const { message } = error as Error;
    for (const part of [
      'annotations[0]',
      'wholly outside',
      'annotations[1]',
      'not a number',
      'annotations[2]',
      'negative',
      'annotations[3]',
      'category',
      'images/p3_5.jpg: Image cannot be read',
      'p3_6.jpg" is not in the folder',
      'images/p4_7.jpg: Image cannot be read',
      'set "onInvalid: drop"',
    ]) {
      expect(message).toContain(part);
    }
    expect(message).toMatch(/^The dataset has 7 errors:\n/);
  });

  it('leaves out what is faulty on request, and lists it', async () => {
    await putCoco(12, { 1: { bbox: [100, 4, 10, 8] }, 2: { bbox: [4, 4, 10, 0] }, 3: { bbox: [60, 4, 10, 8] } });
    const { dataset, items, notices } = await run({ onInvalid: 'drop' });
    expect(dataset.images).toHaveLength(12);
    expect(dataset.labels.annotations).toHaveLength(10);
    expect(items.map(({ what, became }) => `${what}: ${became}`).sort()).toEqual([
      'box partly outside the image: [60, 4, 64, 12]',
      'box without area: dropped',
      'invalid: dropped',
    ]);
    expect(notices).toEqual([
      '3 changes were made while importing: 1 x box partly outside the image, 1 x box without area, 1 x invalid. The step\'s "coercions" lists each.',
    ]);
  });

  it('takes sizes after EXIF rotation', async () => {
    await putCoco(8);
    const turned = await sharp(await picture(1, 48, 64))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    await put('images/p1_1.jpg', turned);
    const { dataset } = await run();
    expect(dataset.images[0]).toMatchObject({ width: 64, height: 48 });
  });

  it('reports images that are, or only look, the same across splits', async () => {
    const photos = {
      'train/1': await picture(1),
      'train/2': await picture(2),
      'valid/3': await picture(1),
      'valid/4': await picture(4),
    };
    for (const [name, bytes] of Object.entries(photos)) {
      const [split, id] = name.split('/');
      await put(`${split}/images/${id}.jpg`, bytes);
      await put(`${split}/labels/${id}.txt`, '');
    }
    await put(
      'test/images/5.jpg',
      await sharp(await picture(2))
        .resize(128, 96)
        .jpeg({ quality: 60 })
        .toBuffer(),
    );
    await put('test/labels/5.txt', '');
    await put('data.yaml', 'train: train/images\nval: valid/images\ntest: test/images\nnames: [apple]\n');
    const { notices } = await run();
    const notice = notices.find((one) => one.includes('another split'));
    expect(notice).toContain('2 images look like one in another split, 1 of them byte for byte');
    expect(notice).toContain('1.jpg');
    expect(notice).toContain('3.jpg');
    expect(notice).toContain('2.jpg');
    expect(notice).toContain('5.jpg');
    expect(notice).not.toContain('4.jpg');
  });

  it('says that even images are alike only where their bytes are', async () => {
    for (const [split, id, colour] of [
      ['train', 1, '#333'],
      ['valid', 2, '#444'],
      ['test', 3, '#555'],
    ] as const) {
      const even = sharp({ create: { width: 64, height: 48, channels: 3, background: colour } });
      await put(`${split}/images/${id}.jpg`, await even.jpeg().toBuffer());
      await put(`${split}/labels/${id}.txt`, '');
    }
    await put('data.yaml', 'train: train/images\nval: valid/images\ntest: test/images\nnames: [apple]\n');
    const { notices } = await run();
    expect(notices.filter((notice) => notice.includes('another split'))).toEqual([]);
  });

  it('says which layouts it knows where it finds none of them', async () => {
    await put('readme.txt', 'nothing here');
    await expect(run()).rejects.toMatchObject({ type: 'BadData', message: expect.stringContaining('Pascal VOC') });
  });

  it('says that too few photos cannot fill the splits', async () => {
    await putCoco(4);
    await expect(run({ groupBy: 'photo' })).rejects.toMatchObject({
      type: 'BadData',
      message: expect.stringContaining('2 groups of images cannot fill 3 splits'),
    });
  });

  it('draws new splits on request, whatever the folder names', async () => {
    for (let id = 1; id <= 12; id++) {
      const split = id === 1 ? 'valid' : 'train';
      await put(`${split}/images/${id}.jpg`, await picture(id));
      await put(`${split}/labels/${id}.txt`, '');
    }
    await put('data.yaml', 'train: train/images\nval: valid/images\nnames: [apple]\n');
    const { dataset } = await run({ split: { keep: false, else: third } });
    expect(new Set(dataset.images.map(({ split }) => split))).toEqual(new Set(['train', 'val', 'test']));
  });

  it('gives the same dataset for the same folder', async () => {
    await putCoco(8);
    expect((await run()).outputs).toEqual((await run()).outputs);
  });
});
