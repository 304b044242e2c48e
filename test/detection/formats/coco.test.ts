import { describe, expect, it } from 'vitest';
import { readCoco, writeCoco } from '../../../detection/formats/coco.ts';
import { dataFolder, hasData } from '../oracles.ts';
import { folderFiles, memoryFiles, writtenFiles } from './memory-files.ts';

const size = { width: 100, height: 80 };

function instances(more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    images: [{ id: 1, file_name: 'a.jpg', ...size }],
    annotations: [],
    categories: [{ id: 3, name: 'berry' }],
    ...more,
  });
}

function boxes(...bboxes: unknown[]): string {
  const annotations = bboxes.map((bbox, i) => ({ id: i + 1, image_id: 1, category_id: 3, bbox }));
  // as Python writes what is no number
  return instances({ annotations }).replaceAll('"NaN"', 'NaN');
}

const read = (text: string, options = {}) =>
  readCoco(memoryFiles({ 'annotations/instances_train.json': text, 'images/a.jpg': size }), options);

describe('readCoco', () => {
  it('reads images, boxes, categories and the split', async () => {
    const dataset = await read(
      instances({
        annotations: [
          { id: 7, image_id: 1, category_id: 3, bbox: [10, 20, 30, 40], area: 1200 },
          { id: 8, image_id: 1, category_id: 3, bbox: [0, 0, 100, 80], area: 500, iscrowd: 1, segmentation: {} },
        ],
      }),
    );
    expect(dataset).toEqual({
      format: 'coco',
      categories: [{ id: 3, name: 'berry' }],
      images: [{ id: 1, fileName: 'images/a.jpg', ...size, split: 'train', group: 'images/a.jpg' }],
      annotations: [
        { id: '7', imageId: 1, categoryId: 3, box: [10, 20, 40, 60] },
        { id: '8', imageId: 1, categoryId: 3, box: [0, 0, 100, 80], crowd: true, area: 500 },
      ],
      splits: ['train'],
      coercions: [],
      problems: [],
    });
  });

  it('drops boxes without area, clips boxes partly outside, and lists both', async () => {
    const dataset = await read(boxes([10, 10, 0, 5], [90, 70, 20, 20], [50, 50, 50.001, 10]));
    expect(dataset.annotations.map(({ box }) => box)).toEqual([
      [90, 70, 100, 80],
      [50, 50, 100, 60],
    ]);
    expect(dataset.coercions).toEqual([
      {
        file: 'annotations/instances_train.json',
        place: 'annotations[0].bbox',
        what: 'box without area',
        was: '[10, 10, 0, 5]',
        became: 'dropped',
      },
      {
        file: 'annotations/instances_train.json',
        place: 'annotations[1].bbox',
        what: 'box partly outside the image',
        was: '[90, 70, 110, 90]',
        became: '[90, 70, 100, 80]',
      },
    ]);
    expect(dataset.problems).toEqual([]);
  });

  it('names every faulty box, and keeps the good ones', async () => {
    const dataset = await read(
      boxes([200, 10, 5, 5], ['NaN', 10, 5, 5], [10, 10, -5, 5], [1, 2, 3], [5, 5, 5, 5], [100, 0, 5, 5]),
    );
    expect(dataset.annotations.map(({ id }) => id)).toEqual(['5']);
    expect(dataset.problems.map(({ place, message }) => `${place}: ${message}`)).toEqual([
      'annotations[0].bbox: Box [200, 10, 205, 15] lies wholly outside its image of 100 x 80 pixels; correct or remove it.',
      'annotations[1].bbox: Expected [x, y, width, height] in finite numbers, found ["not a number (NaN or Infinity)",10,5,5].',
      'annotations[2].bbox: Box [10, 10, 5, 15] has negative size -5 x 5; expected a right edge beyond the left and a lower beyond the upper.',
      'annotations[3].bbox: Expected [x, y, width, height] in finite numbers, found [1,2,3].',
      'annotations[5].bbox: Box [100, 0, 105, 5] lies wholly outside its image of 100 x 80 pixels; correct or remove it.',
    ]);
  });

  it('names unknown categories and images, missing files and files that are no images', async () => {
    const text = instances({
      images: [
        { id: 1, file_name: 'a.jpg' },
        { id: 2, file_name: 'gone.jpg' },
        { id: 3, file_name: 'broken.jpg' },
      ],
      annotations: [
        { id: 1, image_id: 1, category_id: 9, bbox: [1, 1, 5, 5] },
        { id: 2, image_id: 9, category_id: 3, bbox: [1, 1, 5, 5] },
        { id: 3, image_id: 2, category_id: 3, bbox: [1, 1, 5, 5] },
      ],
    });
    const dataset = await readCoco(
      memoryFiles({ 'annotations/instances_val.json': text, 'images/a.jpg': size, 'images/broken.jpg': null }),
    );
    expect(dataset.images.map(({ id }) => id)).toEqual([1]);
    expect(dataset.annotations).toEqual([]);
    expect(dataset.problems.map(({ file, place, message }) => `${file} ${place}: ${message}`)).toEqual([
      'annotations/instances_val.json images[1].file_name: Image "gone.jpg" is not in the folder. Add the file, or remove its entry.',
      'images/broken.jpg : Image cannot be read: unsupported image format. Replace the file, or remove its entry in annotations/instances_val.json.',
      'annotations/instances_val.json annotations[0].category_id: Category 9 is unknown; known are 3 berry.',
      'annotations/instances_val.json annotations[1].image_id: Image 9 is not in this file.',
    ]);
  });

  it('says once that there are no categories, not at every annotation', async () => {
    const text = JSON.stringify({
      images: [{ id: 1, file_name: 'a.jpg' }],
      annotations: [
        { id: 1, image_id: 1, category_id: 1, bbox: [0, 0, 4, 4] },
        { id: 2, image_id: 1, category_id: 1, bbox: [4, 4, 4, 4] },
      ],
      categories: [],
    });
    const dataset = await readCoco(memoryFiles({ 'annotations/instances_val.json': text, 'images/a.jpg': size }));
    expect(dataset.problems.map(({ place, message }) => `${place}: ${message}`)).toEqual([
      'categories: There are no categories, but 2 annotations of them. Add each with its id and name.',
    ]);
  });

  it('gives ids that cannot stay new ones, and says which', async () => {
    const dataset = await read(
      JSON.stringify({
        images: [{ id: 0, file_name: 'a.jpg' }],
        annotations: [
          { id: 0, image_id: 0, category_id: 0, bbox: [1, 1, 5, 5] },
          { id: 4, image_id: 0, category_id: 2, bbox: [1, 1, 5, 5] },
        ],
        categories: [
          { id: 0, name: 'bud' },
          { id: 2, name: 'berry' },
        ],
      }),
    );
    expect(dataset.categories).toEqual([
      { id: 2, name: 'berry' },
      { id: 3, name: 'bud' },
    ]);
    expect(dataset.annotations.map(({ id, imageId, categoryId }) => [id, imageId, categoryId])).toEqual([
      ['4', 1, 2],
      ['5', 1, 3],
    ]);
    expect(dataset.coercions.map(({ place, was, became }) => [place, was, became])).toEqual([
      ['categories[0].id', '0', '3'],
      ['images[0].id', '0', '1'],
      ['annotations[0].id', '0', '5'],
    ]);
  });

  it('moves the ids of a second file up where they clash', async () => {
    const dataset = await readCoco(
      memoryFiles({
        'annotations/instances_train.json': boxes([1, 1, 5, 5], [2, 2, 5, 5]),
        'annotations/instances_val.json': boxes([1, 1, 5, 5]).replace('a.jpg', 'b.jpg'),
        'images/a.jpg': size,
        'images/b.jpg': size,
      }),
    );
    expect(dataset.images.map(({ id, fileName, split }) => [id, fileName, split])).toEqual([
      [1, 'images/a.jpg', 'train'],
      [2, 'images/b.jpg', 'val'],
    ]);
    expect(dataset.annotations.map(({ id, imageId }) => [id, imageId])).toEqual([
      ['1', 1],
      ['2', 1],
      ['3', 2],
    ]);
    expect(dataset.coercions.map(({ what, was, became }) => [what, was, became])).toEqual([
      ['ids that another file uses too renumbered (all 1)', '1', '2'],
      ['ids that another file uses too renumbered (all 1)', '1', '3'],
    ]);
    expect(dataset.splits).toEqual(['train', 'val']);
  });

  it('groups by a field, a pattern or the folder', async () => {
    const text = instances({ images: [{ id: 1, file_name: 'a.jpg', photo: 'p1' }] });
    const group = async (groupBy: string) => (await read(text, { groupBy })).images[0]!.group;
    expect(await group('photo')).toBe('p1');
    expect(await group('images/(.)')).toBe('a');
    expect(await group('folder')).toBe('images/');
    expect(await group('none')).toBe('images/a.jpg');
    const { problems } = await read(text, { groupBy: 'camera' });
    expect(problems).toMatchObject([{ severity: 'error', place: 'groupBy' }]);
  });

  it('points at what is not JSON', async () => {
    const messageOf = async (text: string) => (await read(text)).problems.map(({ message }) => message);
    expect(await messageOf('{"images": [\n,]}')).toEqual(['File is not JSON: unexpected "," at line 2, column 1.']);
    expect(await messageOf('{"images": [1, 2')).toEqual(['File is not JSON: it ends too early, at line 1, column 17.']);
    expect(await messageOf("{'images': []}")).toEqual(['File is not JSON: unexpected "\'" at line 1, column 2.']);
    expect(await messageOf('{"images": [NaN, nope]}')).toEqual([
      'File is not JSON: unexpected "NaN" at line 1, column 13.',
    ]);
    expect(await messageOf('[]')).toEqual([
      'Expected COCO instances; there is no array "images", "annotations", "categories".',
    ]);
  });

  it('refuses an empty split and labels of a turned image, and believes the file where sizes differ', async () => {
    const empty = await read(instances({ images: [] }));
    expect(empty.problems.map(({ message }) => message)).toEqual([
      'Split "train" has no image. Give it images, or remove it from the folder.',
    ]);
    const turned = await read(instances({ images: [{ id: 1, file_name: 'a.jpg', width: 80, height: 100 }] }));
    expect(turned.problems[0]!.message).toBe(
      'Labels are for 80 x 100 pixels, but images/a.jpg has 100 x 80 after EXIF rotation. Turn the image or the boxes.',
    );
    const other = await read(instances({ images: [{ id: 1, file_name: 'a.jpg', width: 99, height: 80 }] }));
    expect(other.images[0]).toMatchObject(size);
    expect(other.coercions).toMatchObject([{ was: '99 x 80', became: '100 x 80' }]);
  });

  it('warns of a group in two splits', async () => {
    const dataset = await readCoco(
      memoryFiles({
        'annotations/instances_train.json': instances(),
        'annotations/instances_test.json': instances({ images: [{ id: 2, file_name: 'b.jpg' }] }),
        'images/a.jpg': size,
        'images/b.jpg': size,
      }),
      { groupBy: 'folder' },
    );
    expect(dataset.problems).toMatchObject([{ severity: 'warning', place: 'splits' }]);
  });

  it.skipIf(!hasData)('reads the cherries as their page describes them', async () => {
    const files = folderFiles(`${dataFolder}cherry-bbch81`, { width: 640, height: 640 });
    const dataset = await readCoco(files, { groupBy: 'photo' });
    expect(dataset.problems).toEqual([]);
    const count = (split: string) => dataset.images.filter((image) => image.split === split).length;
    expect([count('train'), count('val'), count('test')]).toEqual([450, 59, 54]);
    expect(dataset.annotations).toHaveLength(2879 - 1);
    expect(dataset.coercions.filter(({ what }) => what === 'box without area')).toHaveLength(1);
    expect(new Set(dataset.images.map(({ group }) => group)).size).toBe(92 + 12 + 12);
  });
});

describe('writeCoco', () => {
  it('writes what reads the same', async () => {
    const first = await read(boxes([10, 20, 30.5, 40], [0, 0, 10.1, 10.3]));
    const written = writeCoco(first);
    const second = await readCoco(writtenFiles(written), { groupBy: 'photo' });
    expect(second).toEqual(first);
    expect(written.images).toEqual([{ from: 'images/a.jpg', to: 'images/a.jpg' }]);
  });

  it('numbers labels whose ids are no numbers', async () => {
    const dataset = await read(boxes([10, 20, 30, 40]));
    const written = writeCoco({ ...dataset, annotations: [{ ...dataset.annotations[0]!, id: 'new-abc' }] });
    expect(JSON.parse(written.files[0]!.text).annotations[0].id).toBe(1);
    expect(written.coercions).toMatchObject([{ was: 'new-abc', became: '1' }]);
  });
});
