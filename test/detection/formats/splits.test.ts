import { describe, expect, it } from 'vitest';
import { detectFormat } from '../../../detection/formats/index.ts';
import { assignSplits } from '../../../detection/formats/splits.ts';

const shares = { train: 0.8, val: 0.1, test: 0.1 };

function images(count: number, perGroup: number) {
  return Array.from({ length: count }, (_, i) => ({ id: i + 1, group: `g${Math.floor(i / perGroup)}` }));
}

describe('assignSplits', () => {
  it('puts no group into two splits and comes near the shares', () => {
    const all = images(300, 3);
    const splits = assignSplits(all, shares, 1);
    for (const { id, group } of all) {
      const first = all.find((other) => other.group === group)!;
      expect(splits.get(id)).toBe(splits.get(first.id));
    }
    const count = (split: string) => [...splits.values()].filter((own) => own === split).length;
    expect([count('train'), count('val'), count('test')]).toEqual([240, 30, 30]);
  });

  it('is the same for the same seed, in any order of images, and another for another seed', () => {
    const all = images(50, 2);
    const sorted = (map: Map<number, string>) => [...map].sort(([a], [b]) => a - b);
    expect(sorted(assignSplits([...all].reverse(), shares, 1))).toEqual(sorted(assignSplits(all, shares, 1)));
    expect(sorted(assignSplits(all, shares, 2))).not.toEqual(sorted(assignSplits(all, shares, 1)));
  });

  it('leaves no wanted split empty, and refuses where it must', () => {
    expect(new Set(assignSplits(images(30, 10), shares, 1).values()).size).toBe(3);
    expect(() => assignSplits(images(10, 5), shares, 1)).toThrow('2 groups of images cannot fill 3 splits');
    expect(() => assignSplits(images(10, 1), { train: 0.5 }, 1)).toThrow('sum to 0.5, expected 1');
    expect(assignSplits([], shares, 1).size).toBe(0);
  });
});

describe('detectFormat', () => {
  it.each([
    ['coco', ['annotations/instances_train.json', 'images/a.jpg']],
    ['coco', ['train/_annotations.coco.json', 'train/a.jpg']],
    ['voc', ['VOC2007/Annotations/a.xml', 'VOC2007/JPEGImages/a.jpg']],
    ['yolo', ['data.yaml', 'images/train/a.jpg', 'labels/train/a.txt']],
    ['yolo', ['data.yaml', 'images/train/a.jpg']],
    [null, ['a.jpg', 'README.md']],
  ])('finds %s', (format, names) => {
    expect(detectFormat(names)).toBe(format);
  });
});
