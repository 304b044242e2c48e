import { describe, expect, it } from 'vitest';
import { readVoc, writeVoc } from '../../../detection/formats/voc.ts';
import { dataFolder, hasData } from '../oracles.ts';
import { folderFiles, memoryFiles, writtenFiles } from './memory-files.ts';

const size = { width: 100, height: 80 };

function xml(objects: string, filename = 'a.jpg'): string {
  return `<?xml version="1.0"?>
<annotation><filename>${filename}</filename><size><width>100</width><height>80</height></size>${objects}</annotation>`;
}

function object(name: string, edges: readonly (number | string)[], more = ''): string {
  const [xmin, ymin, xmax, ymax] = edges;
  return `<object><name>${name}</name>${more}<bndbox><xmin>${xmin}</xmin><ymin>${ymin}</ymin><xmax>${xmax}</xmax><ymax>${ymax}</ymax></bndbox></object>`;
}

describe('readVoc', () => {
  it('reads boxes, difficult ones as ignore regions, and splits', async () => {
    const dataset = await readVoc(
      memoryFiles({
        'Annotations/a.xml': xml(
          object('WBC', [10, 20, 40, 60]) + object('R &amp; B', [1, 1, 5, 5], '<difficult>1</difficult>'),
        ),
        'Annotations/b.xml': xml('', 'b.jpg'),
        'Annotations/c.xml': xml('', 'c.jpg'),
        'JPEGImages/a.jpg': size,
        'JPEGImages/b.jpg': size,
        'JPEGImages/c.jpg': size,
        'ImageSets/Main/train.txt': 'a\n',
        'ImageSets/Main/test.txt': 'b\n',
        'ImageSets/Main/trainval.txt': 'a\nc\n',
      }),
    );
    expect(dataset).toMatchObject({
      categories: [
        { id: 1, name: 'R & B' },
        { id: 2, name: 'WBC' },
      ],
      images: [
        { id: 1, fileName: 'JPEGImages/a.jpg', split: 'train' },
        { id: 2, fileName: 'JPEGImages/b.jpg', split: 'test' },
      ],
      annotations: [
        { id: 'a-1', imageId: 1, categoryId: 2, box: [10, 20, 40, 60] },
        { id: 'a-2', imageId: 1, categoryId: 1, box: [1, 1, 5, 5], ignore: true },
      ],
      splits: ['train', 'test'],
      coercions: [],
    });
    // c is in no list that counts
    expect(dataset.problems).toMatchObject([{ severity: 'warning', file: 'Annotations/c.xml' }]);
  });

  it('names every fault with its place', async () => {
    const dataset = await readVoc(
      memoryFiles({
        'Annotations/a.xml': xml(
          object('berry', [10, 10, 5, 20]) +
            object('berry', [1, 1, '', 5]) +
            object('', [1, 1, 5, 5]) +
            object('berry', [3, 3, 3, 3]),
        ),
        'Annotations/bad.xml': '<annotation><size></annotation>',
        'Annotations/bomb.xml': '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation>&a;</annotation>',
        'Annotations/lost.xml': xml('', 'lost.jpg'),
        'JPEGImages/a.jpg': size,
        'ImageSets/Main/train.txt': 'a\nbad\nbomb\nlost\nnobody\n',
      }),
    );
    expect(dataset.problems.map(({ file, place }) => `${file} ${place}`)).toEqual([
      'ImageSets/Main/train.txt line 5',
      'Annotations/bad.xml line 1, column 19',
      'Annotations/bomb.xml ',
      'Annotations/a.xml object[0].bndbox',
      'Annotations/a.xml object[1].bndbox',
      'Annotations/a.xml object[2].name',
      'Annotations/lost.xml filename',
    ]);
    expect(dataset.coercions).toMatchObject([{ place: 'object[3].bndbox', what: 'box without area' }]);
    expect(dataset.annotations).toEqual([]);
  });

  it('refuses an image in two splits', async () => {
    const dataset = await readVoc(
      memoryFiles({
        'Annotations/a.xml': xml(''),
        'JPEGImages/a.jpg': size,
        'ImageSets/Main/train.txt': 'a',
        'ImageSets/Main/val.txt': 'a',
      }),
    );
    expect(dataset.problems.map(({ message }) => message)).toEqual([
      '"a" is in split "val" and in "train". Keep one of them.',
      'Split "val" has no image. Give it images, or remove it from the folder.',
    ]);
  });

  it('finds the image by the name of the XML file where the XML is wrong', async () => {
    const dataset = await readVoc(memoryFiles({ 'Annotations/a.xml': xml('', 'old.jpg'), 'JPEGImages/a.png': size }));
    expect(dataset.images[0]!.fileName).toBe('JPEGImages/a.png');
    expect(dataset.coercions).toMatchObject([{ was: 'old.jpg', became: 'a.png' }]);
    expect(dataset.splits).toEqual([]);
  });

  it.skipIf(!hasData)('reads the blood cells as their page describes them', async () => {
    const dataset = await readVoc(folderFiles(`${dataFolder}bccd`, { width: 640, height: 480 }));
    expect(dataset.problems).toEqual([]);
    expect(dataset.categories.map(({ name }) => name)).toEqual(['Platelets', 'RBC', 'WBC']);
    const count = (split: string) => dataset.images.filter((image) => image.split === split).length;
    expect([count('train'), count('val'), count('test')]).toEqual([205, 87, 72]);
    expect(dataset.annotations).toHaveLength(4888 - 2);
    expect(dataset.coercions.map(({ file, what }) => [file, what])).toEqual([
      ['Annotations/BloodImage_00338.xml', 'box without area'],
      ['Annotations/BloodImage_00343.xml', 'box without area'],
    ]);
  });
});

describe('writeVoc', () => {
  it('writes what reads the same', async () => {
    const objects = object('R &amp; B', [10.25, 20, 40, 60]) + object('WBC', [1, 1, 5, 5], '<difficult>1</difficult>');
    const first = await readVoc(
      memoryFiles({ 'Annotations/a.xml': xml(objects), 'JPEGImages/a.jpg': size, 'ImageSets/Main/val.txt': 'a\n' }),
    );
    expect(first.problems).toEqual([]);
    expect(await readVoc(writtenFiles(writeVoc(first)))).toEqual(first);
  });

  it('says that crowds become difficult', () => {
    const written = writeVoc({
      categories: [{ id: 1, name: 'berry' }],
      images: [{ id: 1, fileName: 'x/a.jpg', ...size, split: 'train', group: 'a' }],
      annotations: [{ id: '1', imageId: 1, categoryId: 1, box: [0, 0, 9, 9], crowd: true }],
    });
    expect(written.coercions).toMatchObject([{ file: 'x/a.jpg', was: 'crowd', became: 'difficult' }]);
    expect(written.images).toEqual([{ from: 'x/a.jpg', to: 'JPEGImages/a.jpg' }]);
  });
});
