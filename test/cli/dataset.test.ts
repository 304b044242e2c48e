import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runDatasetCheck, runDatasetConvert, runDatasetStats } from '../../cli/dataset.ts';
import { dataFolder, hasData } from '../detection/oracles.ts';
import { captureOutput } from './capture.ts';

let root: string;
let folder: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'hardcase-dataset-'));
  folder = join(root, 'set');
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});

async function put(name: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), content);
}

async function picture(red: number, orientation = 1): Promise<Buffer> {
  const noise = Buffer.from(Array.from({ length: 64 * 48 * 3 }, (_, i) => (i * 7919 + red) % 256));
  return sharp(noise, { raw: { width: 64, height: 48, channels: 3 } })
    .withMetadata({ orientation })
    .jpeg()
    .toBuffer();
}

function instances(images: readonly string[], ...bboxes: number[][]): string {
  return JSON.stringify({
    images: images.map((file_name, i) => ({ id: i + 1, file_name, width: 64, height: 48 })),
    annotations: bboxes.map((bbox, i) => ({ id: i + 1, image_id: 1, category_id: 1, bbox })),
    categories: [{ id: 1, name: 'berry' }],
  });
}

const options = { format: 'auto', json: false };

async function run(command: () => Promise<number>) {
  const output = captureOutput();
  const code = await command();
  return { code, ...output() };
}

describe('hardcase dataset check', () => {
  it('is content with a good folder', async () => {
    await put('annotations/instances_train.json', instances(['a.jpg'], [1, 2, 10, 10]));
    await put('images/a.jpg', await picture(1));
    const { code, out } = await run(() => runDatasetCheck(folder, options));
    expect(out).toBe(`${folder}: coco, 1 image, 1 box, 1 category\nNothing to report.\n`);
    expect(code).toBe(0);
  });

  it('lists errors, warnings and coercions, and ends with 1', async () => {
    const whole = await picture(1);
    await put(
      'annotations/instances_train.json',
      instances(['a.jpg', 'cut.jpg', 'gone.jpg'], [60, 40, 10, 10], [90, 1, 2, 2]),
    );
    await put('annotations/instances_test.json', instances(['b.jpg']).replaceAll('"id":1,"file', '"id":9,"file'));
    await put('images/a.jpg', whole);
    await put('images/b.jpg', whole);
    await put('images/cut.jpg', (await picture(2)).subarray(0, -1000));
    const { code, out } = await run(() => runDatasetCheck(folder, options));
    expect(code).toBe(1);
    const lines = out.split('\n');
    expect(lines).toContain('3 errors');
    expect(out).toContain('images/cut.jpg: Image cannot be read: ');
    expect(out).toContain('images[2].file_name: Image "gone.jpg" is not in the folder.');
    expect(out).toContain('annotations[1].bbox: Box [90, 1, 92, 3] lies wholly outside its image of 64 x 48 pixels');
    expect(out).toContain('  images/a.jpg (train): Same bytes as images/b.jpg (test). An image in two splits spoils');
    expect(out).toContain('box partly outside the image: [60, 40, 70, 50] -> [60, 40, 64, 48]');

    const json = JSON.parse((await run(() => runDatasetCheck(folder, { ...options, json: true }))).out);
    expect(json).toMatchObject({ format: 'coco', images: 2, annotations: 1, splits: ['train', 'test'] });
    expect(json.problems).toHaveLength(4);
    expect(json.coercions).toHaveLength(1);
  });

  it('takes sizes after EXIF rotation', async () => {
    await put('annotations/instances_train.json', instances(['a.jpg'], [1, 2, 10, 10]));
    await put('images/a.jpg', await picture(1, 6));
    const { code, out } = await run(() => runDatasetCheck(folder, options));
    expect(code).toBe(1);
    expect(out).toContain('Labels are for 64 x 48 pixels, but images/a.jpg has 48 x 64 after EXIF rotation.');
  });

  it('says what a folder should be', async () => {
    await expect(runDatasetCheck(join(root, 'none'), options)).rejects.toMatchObject({
      exitCode: 1,
      message: `${root}/none is not there; expected a folder in COCO, Pascal VOC or YOLO layout.`,
    });
    await put('readme.txt', 'nothing');
    await expect(runDatasetCheck(folder, options)).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining('None of the 1 files shows a format. Expected COCO'),
    });
    await expect(runDatasetCheck(folder, { ...options, format: 'csv' })).rejects.toMatchObject({ exitCode: 2 });
  });
});

describe('hardcase dataset convert', () => {
  const convert = (to: string, more = {}) =>
    run(() => runDatasetConvert(folder, { ...options, to, out: join(root, to), onInvalid: 'error', ...more }));

  beforeEach(async () => {
    await put('annotations/instances_train.json', instances(['a.jpg'], [1, 2, 16, 12], [60, 40, 10, 10]));
    await put('images/a.jpg', await picture(1));
  });

  it.each(['coco', 'voc', 'yolo'])('writes %s that reads the same, images included', async (to) => {
    const { code, out } = await convert(to);
    expect(code).toBe(0);
    expect(out).toContain('1 coercion\n');
    const json = { ...options, json: true };
    const converted = JSON.parse((await run(() => runDatasetCheck(join(root, to), json))).out);
    expect(converted).toMatchObject({ format: to, images: 1, annotations: 2, splits: ['train'], problems: [] });
    const names = (await readdir(join(root, to), { recursive: true })).filter((name) => name.endsWith('a.jpg'));
    expect(names).toHaveLength(1);
    expect(await readFile(join(root, to, names[0]!))).toEqual(await readFile(join(folder, 'images/a.jpg')));
  });

  it('leaves nothing behind where it refuses, and goes on with drop', async () => {
    await put('annotations/instances_train.json', instances(['a.jpg'], [1, 2, 16, 12], [90, 40, 10, 10]));
    await expect(convert('yolo')).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining('Mend these, or convert with --on-invalid drop'),
    });
    vi.restoreAllMocks();
    expect(await readdir(root)).toEqual(['set']);
    const { out } = await convert('yolo', { onInvalid: 'drop' });
    expect(out).toContain('1 dropped\n');
    expect(await readFile(join(root, 'yolo/labels/train/a.txt'), 'utf8')).toBe('0 0.140625 0.166666667 0.25 0.25\n');
  });

  it('never writes into a folder that holds something, nor a format that is none', async () => {
    await expect(convert('voc', { out: folder })).rejects.toMatchObject({ exitCode: 2 });
    await expect(convert('csv')).rejects.toMatchObject({ exitCode: 2 });
  });
});

describe('hardcase dataset stats', () => {
  it('counts by split and category, and suggests an input', async () => {
    await put('annotations/instances_train.json', instances(['a.jpg', 'b.jpg'], [1, 2, 16, 12], [20, 20, 4, 4]));
    await put('images/a.jpg', await picture(1));
    await put('images/b.jpg', await picture(2));
    const json = { ...options, json: true };
    const stats = JSON.parse((await run(() => runDatasetStats(folder, json))).out);
    expect(stats).toMatchObject({
      images: 2,
      imagesWithoutBox: 1,
      boxes: 2,
      perSplit: [{ split: 'train', images: 2, boxes: 2, perCategory: { berry: 2 } }],
      suggestion: { imageSize: 64, strides: [4, 8, 16, 32] },
    });
    const { out } = await run(() => runDatasetStats(folder, options));
    expect(out).toContain('split  images  groups  boxes  berry\ntrain  2       2       2      2\n');
    expect(out).toContain('Suggested: imageSize: 64, strides: [4, 8, 16, 32]\n');
  });

  it.skipIf(!hasData)('knows the apples', async () => {
    const json = { ...options, groupBy: 'photo', json: true };
    const stats = JSON.parse((await run(() => runDatasetStats(`${dataFolder}apple-bbch81`, json))).out);
    expect(
      stats.perSplit.map(({ split, images, groups, boxes }: Record<string, unknown>) => [split, images, groups, boxes]),
    ).toEqual([
      ['train', 160, 40, 1247],
      ['val', 20, 5, 158],
      ['test', 20, 5, 156],
    ]);
    expect(stats.relativeSide[2]).toBeCloseTo(0.09, 2);
  });
});
