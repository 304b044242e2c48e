import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AskedGate, boxesInQuestion, decisionsFromFile, type ToolFile } from '../../detection/round-trip/boxes.ts';
import { readCocoBoxes, writeCocoBoxes } from '../../detection/round-trip/coco.ts';
import { readCvatBoxes, writeCvatBoxes } from '../../detection/round-trip/cvat.ts';
import { readLabelStudioBoxes, writeLabelStudioBoxes } from '../../detection/round-trip/label-studio.ts';
import { readYoloBoxes, writeYoloBoxes } from '../../detection/round-trip/yolo.ts';
import type { Decision } from '../../detection/types.ts';
import { gate } from './round-trip-gate.ts';

const names = gate.categories.map(({ name }) => name);
type Writer = (of: AskedGate, all?: boolean) => string;

const formats: Record<string, { write: Writer; read: (text: string) => ToolFile }> = {
  coco: {
    write: (of, all) => writeCocoBoxes(boxesInQuestion(of, all), of.categories),
    read: (text) => readCocoBoxes('f', JSON.parse(text)),
  },
  cvat: {
    write: (of, all) => writeCvatBoxes(boxesInQuestion(of, all), of.categories),
    read: (text) => readCvatBoxes('f', text),
  },
  'label-studio': {
    write: (of, all) => writeLabelStudioBoxes(boxesInQuestion(of, all), 'm'),
    read: (text) => readLabelStudioBoxes('f', JSON.parse(text), { submitted: false }),
  },
  yolo: {
    write: (of, all) => JSON.stringify(writeYoloBoxes(boxesInQuestion(of, all), of.categories)),
    read: (text) => readYoloBoxes(JSON.parse(text), gate.images, names),
  },
};

const judge = (file: ToolFile, of = gate, orientation = 1) => decisionsFromFile(of, 'f', file, () => orientation);
const spoken = (decisions: readonly Decision[]) =>
  decisions
    .map(({ candidateId, verdict, box }) => `${candidateId.slice(-1)} ${verdict}${box ? ` ${box.join(' ')}` : ''}`)
    .sort();
const decidedBy = (decisions: readonly Decision[]): AskedGate => ({
  ...gate,
  decided: new Map(decisions.map((decision) => [decision.candidateId, decision])),
});

describe.each(Object.entries(formats))('a round trip through %s', (name, { write, read }) => {
  it('keeps what was left alone: the boxes that are there are right', () => {
    const { decisions, left, coercions } = judge(read(write(gate)));
    expect(spoken(decisions)).toEqual(['1 accept', '2 reject', '3 reject', '4 reject', '5 reject']);
    expect(left).toEqual([]);
    expect(coercions).toEqual([]);
  });

  it('is stable: exporting what was imported gives the same file', () => {
    const first = write(gate);
    const { decisions } = judge(read(first));
    expect(write(decidedBy(decisions), true)).toBe(first);
  });

  it('is stable for every verdict that a file can say', () => {
    const given: Decision[] = [
      { candidateId: 'aaaa000000000001', verdict: 'edit', box: [11.37, 12.41, 33.13, 30.29], categoryId: 7 },
      { candidateId: 'aaaa000000000002', verdict: 'accept' },
      { candidateId: 'aaaa000000000003', verdict: 'accept' },
      { candidateId: 'bbbb000000000004', verdict: 'accept' },
      { candidateId: 'bbbb000000000005', verdict: 'edit', box: [7.77, 5.01, 25, 27.5], categoryId: 1 },
    ];
    const file = write(decidedBy(given), true);
    const { decisions, left } = judge(read(file));
    expect(left).toEqual([]);
    expect(spoken(decisions)).toEqual(spoken(given));
    expect(write(decidedBy(decisions), true)).toBe(file);
  });

  it('leaves out what is decided, and images without a question', () => {
    const decided = decidedBy(
      gate.candidates.slice(0, 3).map(({ id }): Decision => ({ candidateId: id, verdict: 'ignore' })),
    );
    const { images } = read(write(decided));
    expect(images.map(({ fileName }) => fileName)).toEqual(['two.png']);
    expect(read(write(decided, true)).images.map(({ fileName }) => fileName)).toEqual(['two.png']);
    expect(name).toBeTruthy();
  });
});

describe('a corrected file', () => {
  const edit = (
    change: (coco: { images: object[]; annotations: { bbox: number[]; [key: string]: unknown }[] }) => void,
  ) => {
    const coco = JSON.parse(formats.coco!.write(gate));
    change(coco);
    return judge(readCocoBoxes('f', coco));
  };

  it('rejects a missing label that was deleted, and accepts that a spurious one goes', () => {
    const { decisions, left } = edit((coco) => {
      coco.annotations.splice(0, 2);
    });
    expect(spoken(decisions)).toEqual(['1 reject', '2 accept', '3 reject', '4 reject', '5 reject']);
    expect(left).toEqual([]);
  });

  it('lists what no decision can say, and sends nothing about it', () => {
    const { decisions, left } = edit((coco) => {
      coco.annotations = coco.annotations.filter(({ id }) => id !== 3);
      coco.annotations.push({ id: 9, image_id: 1, category_id: 1, bbox: [85, 60, 10, 10] });
    });
    expect(decisions.map(({ candidateId }) => candidateId)).not.toContain('aaaa000000000003');
    expect(left.map(({ what }) => what)).toEqual([
      expect.stringContaining('its label was removed, but the question (badly-located)'),
    ]);
  });

  it('adds a label where a new box lies on none, and tells where it lies on one that nobody asked about', () => {
    const labelled: AskedGate = {
      ...gate,
      labels: () => [{ id: 'z', imageId: 1, categoryId: 1, box: [84, 4, 96, 16] }],
    };
    const coco = JSON.parse(formats.coco!.write(gate));
    coco.annotations.push({ id: 8, image_id: 1, category_id: 1, bbox: [85, 60, 10, 10] });
    coco.annotations.push({ id: 9, image_id: 1, category_id: 1, bbox: [85, 5, 12, 12] });
    const { decisions, left } = decisionsFromFile(labelled, 'f', readCocoBoxes('f', coco), () => 1);
    expect(decisions.filter(({ verdict }) => verdict === 'add')).toEqual([
      {
        candidateId: expect.stringMatching(/^drawn-[0-9a-f]{16}$/),
        verdict: 'add',
        imageId: 1,
        box: [85, 60, 95, 70],
        categoryId: 1,
      },
    ]);
    expect(left.map(({ what }) => what)).toEqual([
      'the box [85, 5, 97, 17] lies on a label that nobody asked about; it changes nothing.',
    ]);
  });

  it.each(Object.keys(formats))('carries drawn boxes in %s, which are not added a second time', (name) => {
    const drawn = {
      candidateId: 'drawn-0123456789abcdef',
      verdict: 'add' as const,
      imageId: 1,
      box: [85, 60, 95, 70] as const,
      categoryId: 7,
    };
    const { write, read } = formats[name]!;
    const text = write({ ...gate, drawn: [drawn] });
    expect(text).not.toBe(write(gate));
    const again = decisionsFromFile({ ...gate, drawn: [drawn] }, 'f', read(text), () => 1);
    expect(again.decisions.filter(({ verdict }) => verdict === 'add')).toEqual([]);
    expect(decisionsFromFile(gate, 'f', read(text), () => 1).decisions).toContainEqual(
      expect.objectContaining({ verdict: 'add', imageId: 1, categoryId: 7 }),
    );
  });

  it('lists every box that was mended: negative size, beyond the edge, another scale', () => {
    const { decisions, coercions } = edit((coco) => {
      coco.annotations[1]!.bbox = [80, 70, -20, -20];
      coco.annotations[2]!.bbox = [90, 5, 30, 20];
      coco.images[1] = { id: 2, file_name: 'two.png', width: 120, height: 180 };
      coco.annotations[3]!.bbox = [20, 120, 40, 40];
      coco.annotations[4]!.bbox = [10, 10, 40, 40];
    });
    expect(coercions.map(({ what, became }) => `${what}: ${became}`)).toEqual([
      'negative size: [60, 50, 80, 70]',
      'box partly outside the image: [90, 5, 100, 25]',
      'image of 120 x 180 pixels: [10, 60, 30, 80]',
      'image of 120 x 180 pixels: [5, 5, 25, 25]',
    ]);
    expect(spoken(decisions)).toEqual(['1 accept', '2 reject', '3 edit 90 5 100 25', '4 reject', '5 reject']);
  });

  it.each([
    // the upright image has 60 x 90 pixels; the upright box [10, 60, 30, 80] as it is stored
    [6, [60, 30, 80, 50]],
    [8, [10, 10, 30, 30]],
    [5, [60, 10, 80, 30]],
    [7, [10, 30, 30, 50]],
  ] as const)('turns boxes of an image that was read without its EXIF rotation %i', (orientation, [x1, y1, x2, y2]) => {
    const file: ToolFile = {
      coercions: [],
      images: [
        {
          fileName: 'two.png',
          width: 90,
          height: 60,
          boxes: [{ candidate: 'bbbb000000000004', category: 'cherry', box: [x1, y1, x2, y2], place: 'box 1' }],
        },
      ],
    };
    const { decisions, coercions } = judge(file, gate, orientation);
    expect(coercions).toMatchObject([{ what: 'image without its EXIF rotation', became: '[10, 60, 30, 80]' }]);
    expect(spoken(decisions)).toContain('4 reject');
  });

  it('names unknown images and categories, and boxes without area', () => {
    const box = { category: 'cherry', box: [1, 1, 5, 5] as const, place: 'box 1' };
    const { left } = judge({
      coercions: [],
      images: [
        { fileName: 'nowhere.png', width: 10, height: 10, boxes: [] },
        {
          fileName: 'two.png',
          width: 60,
          height: 90,
          boxes: [
            { ...box, category: 'plum' },
            { ...box, box: [5, 5, 5, 9] },
          ],
        },
      ],
    });
    expect(left.slice(0, 3).map(({ what }) => what)).toEqual([
      'the gate asks about no image of this name.',
      'there is no category "plum"; known are cherry, leaf & stem.',
      'the box has no area inside the image.',
    ]);
  });

  it('is refused with its place where it is no such file', () => {
    expect(() => readCocoBoxes('f', [])).toThrow('f is a list; expected an object.');
    expect(() => readCocoBoxes('f', { categories: [], images: [], annotations: [{}] })).toThrow(
      'annotations[0].image_id',
    );
    expect(() => readCvatBoxes('f', '<annotations><image></annotations>')).toThrow(/f:1/);
    expect(() => readCvatBoxes('f', '<!DOCTYPE a><annotations/>')).toThrow('DOCTYPE');
    expect(() => readLabelStudioBoxes('f', {})).toThrow('f is an object; expected a list.');
    expect(() => readYoloBoxes([{ name: 'two.txt', text: '9 0.5 0.5 0.1 0.1' }], gate.images, names)).toThrow(
      'class 9',
    );
  });

  it('of Label Studio counts once it was submitted, and its turned boxes are made upright', () => {
    const tasks = JSON.parse(formats['label-studio']!.write(gate));
    expect(readLabelStudioBoxes('f', tasks).images).toEqual([]);
    const [region] = tasks[1].predictions[0].result;
    region.value = { ...region.value, x: 50, y: 50, width: 20, height: 10, rotation: 90 };
    tasks[1].annotations = [{ was_cancelled: true, result: [] }, { result: [region] }];
    const { images, coercions } = readLabelStudioBoxes('f', tasks);
    // turned about [30, 45]: 12 x 9 pixels become 9 x 12, to the left
    expect(images).toMatchObject([{ fileName: 'two.png', boxes: [{ box: [21, 45, 30, 57] }] }]);
    expect(coercions).toMatchObject([{ what: 'rotated box', was: '90 degrees' }]);
  });
});

describe('files that tools have written (test/fixtures/round-trip/make.py)', () => {
  const text = (name: string) => readFileSync(join(import.meta.dirname, '../fixtures/round-trip', name), 'utf8');
  const json = (name: string) => JSON.parse(text(name));
  const expected = ['2 accept', '3 reject', '4 accept', '5 reject'];
  const check = (file: ToolFile, moved: string) => {
    const { decisions, left } = judge(file);
    expect(left).toEqual([]);
    expect(spoken(decisions)).toEqual([`1 edit ${moved}`, ...expected]);
  };

  it('COCO of datumaro, which rounds to hundredths', () => {
    const file = readCocoBoxes('f', json('datumaro-coco.json'));
    expect(file.coercions).toEqual([]);
    check(file, '12.12 10.25 32.5 30.75');
  });

  it('CVAT of datumaro, which drops the ids of candidates', () => {
    expect(text('datumaro-cvat.xml')).not.toContain('aaaa');
    check(readCvatBoxes('f', text('datumaro-cvat.xml')), '12.12 10.25 32.5 30.75');
  });

  it('YOLO of datumaro, which knows no ids', () => {
    const files = ['tree/one.txt', 'two.txt'].map((name) => ({
      name,
      text: text(`datumaro-yolo/obj_train_data/${name}`),
    }));
    const classes = text('datumaro-yolo/obj.names').trim().split('\n');
    check(readYoloBoxes(files, gate.images, classes), '12.12 10.25 32.5 30.75');
  });

  it('COCO of Label Studio, whose ids begin at 0 and whose files are addresses', () => {
    const file = readCocoBoxes('f', json('label-studio-coco.json'));
    expect(file.coercions).toMatchObject([{ what: 'category id 0' }]);
    check(file, '12.1235 10.25 32.5 30.75');
  });

  it('tasks of Label Studio with submitted annotations', () => {
    check(readLabelStudioBoxes('f', json('label-studio-tasks.json')), '12.1235 10.25 32.5 30.75');
  });
});
