import { describe, expect, it } from 'vitest';
import { readYolo, writeYolo } from '../../../detection/formats/yolo.ts';
import { memoryFiles, writtenFiles } from './memory-files.ts';

const size = { width: 100, height: 80 };
const yaml = 'path: ../datasets/berries\ntrain: images/train\nval: images/val\nnames: {0: berry, 1: bud}\n';
const images = { 'images/train/a.jpg': size, 'images/train/b.jpg': size, 'images/val/c.jpg': size };

describe('readYolo', () => {
  it('reads boxes in pixels, class 0 as category 1, and images without labels as background', async () => {
    const dataset = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': yaml,
        'labels/train/a.txt': '1 0.5 0.5 0.2 0.25\n\n0 0.25 0.25 0.5 0.5\n',
        'labels/val/c.txt': '',
      }),
    );
    expect(dataset).toMatchObject({
      categories: [
        { id: 1, name: 'berry' },
        { id: 2, name: 'bud' },
      ],
      images: [
        { id: 1, fileName: 'images/train/a.jpg', split: 'train' },
        { id: 2, fileName: 'images/train/b.jpg', split: 'train' },
        { id: 3, fileName: 'images/val/c.jpg', split: 'val' },
      ],
      annotations: [
        { id: 'labels/train/a-1', imageId: 1, categoryId: 2, box: [40, 30, 60, 50] },
        { id: 'labels/train/a-3', imageId: 1, categoryId: 1, box: [0, 0, 50, 40] },
      ],
      splits: ['train', 'val'],
      coercions: [{ file: 'data.yaml', what: 'category ids begin at 1' }],
      problems: [],
    });
  });

  it('takes polygons as boxes and names every faulty line', async () => {
    const dataset = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': yaml,
        'labels/train/a.txt': [
          '0 0.1 0.1 0.5 0.1 0.5 0.5',
          '7 0.5 0.5 0.1 0.1',
          '0 0.5 0.5 0.1',
          '0 nan 0.5 0.1 0.1',
          '0 0.5 0.5 -0.1 0.1',
          '0 2 2 0.1 0.1',
          '0 0.5 0.5 0 0.1',
          '0 1 0.5 0.2 0.1',
        ].join('\n'),
      }),
    );
    expect(dataset.annotations.map(({ box }) => box.map((edge) => Math.round(edge * 1e6) / 1e6))).toEqual([
      [10, 8, 50, 40],
      [90, 36, 100, 44],
    ]);
    expect(dataset.coercions.slice(1).map(({ place, what }) => [place, what])).toEqual([
      ['line 1', 'polygon'],
      ['line 7', 'box without area'],
      ['line 8', 'box partly outside the image'],
    ]);
    expect(dataset.problems.map(({ place }) => place)).toEqual(['line 2', 'line 3', 'line 4', 'line 5', 'line 6']);
    expect(dataset.problems[0]!.message).toBe('Category "7" is unknown; known are 0 berry, 1 bud.');
  });

  it('says once that the categories have no names, not at every line', async () => {
    const dataset = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': 'train: images/train',
        'labels/train/a.txt': '0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1',
      }),
    );
    expect(dataset.problems.filter(({ place }) => place.startsWith('line'))).toEqual([]);
    expect(dataset.problems.map(({ message }) => message)).toContain(
      'The categories have no names. Write data.yaml with names: [first, second].',
    );
  });

  it('says where a split has no images, and which labels have no image', async () => {
    const dataset = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': `${yaml}test: images/test\n`,
        'labels/train/lost.txt': '0 0.5 0.5 0.1 0.1',
      }),
    );
    expect(dataset.problems.map(({ severity, place, message }) => [severity, place, message])).toEqual([
      ['error', 'test', 'Folder "images/test" holds no image. Correct the path, or remove the split.'],
      ['warning', '', '1 label file has no image in a split, and is left out (this is the first).'],
      ['error', 'test', 'Split "test" has no image. Give it images, or remove it from the folder.'],
    ]);
  });

  it('reads lists of images, and folders as Roboflow names them', async () => {
    const byList = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': 'train: train.txt\nnames: [berry]\n',
        'train.txt': './images/train/a.jpg\n',
      }),
    );
    expect(byList.images.map(({ fileName }) => fileName)).toEqual(['images/train/a.jpg']);
    const roboflow = await readYolo(
      memoryFiles({
        'data.yaml': 'train: ../train/images\nval: ../valid/images\nnames: [berry]\n',
        'train/images/a.jpg': size,
        'train/labels/a.txt': '0 0.5 0.5 0.1 0.1',
        'valid/images/b.jpg': size,
      }),
    );
    expect(roboflow.problems).toEqual([]);
    expect(roboflow.images.map(({ split }) => split)).toEqual(['train', 'val']);
    expect(roboflow.annotations).toHaveLength(1);
  });

  it('does without data.yaml where classes.txt names the categories', async () => {
    const dataset = await readYolo(
      memoryFiles({ 'images/a.jpg': size, 'labels/a.txt': '0 0.5 0.5 0.1 0.1', 'classes.txt': 'berry\n' }),
    );
    expect(dataset).toMatchObject({
      splits: [],
      problems: [],
      images: [{ split: null }],
      annotations: [{ categoryId: 1 }],
    });
  });
});

describe('writeYolo', () => {
  it('writes what reads the same, to nine decimals', async () => {
    const first = await readYolo(
      memoryFiles({
        ...images,
        'data.yaml': yaml,
        'labels/train/a.txt': '1 0.5 0.5 0.2 0.25',
        'labels/train/b.txt': '',
      }),
    );
    const second = await readYolo(writtenFiles(writeYolo(first)));
    expect(second.images).toEqual(first.images);
    expect(second.categories).toEqual(first.categories);
    expect(second.annotations).toEqual(first.annotations);
  });
});
