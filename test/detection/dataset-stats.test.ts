import { describe, expect, it } from 'vitest';
import { datasetStats, suggestInput } from '../../detection/dataset-stats.ts';

describe('suggestInput', () => {
  it('takes the smallest input in which three quarters of the targets have 16 pixels', () => {
    expect(suggestInput([640, 640], [[0.05, 0.05, 0.05]])).toMatchObject({ imageSize: 320, strides: [8, 16, 32] });
  });

  it('never enlarges images, and adds stride 4 where targets stay small', () => {
    expect(suggestInput([640], [[0.01]])).toMatchObject({ imageSize: 640, strides: [4, 8, 16, 32] });
    expect(suggestInput([4000], [[0.2]])).toMatchObject({ imageSize: 160 });
  });

  it('goes by the smallest category', () => {
    expect(suggestInput([640], [[0.4, 0.4, 0.4, 0.4], [0.1], []])).toEqual({
      imageSize: 160,
      strides: [8, 16, 32],
      reason:
        'At 160 px three quarters of the targets of the smallest category have a side of 16 px or more, which stride 8 resolves.',
    });
  });

  it('suggests nothing without targets', () => {
    expect(suggestInput([640], [[]])).toBeNull();
  });
});

describe('datasetStats', () => {
  it('counts ignore regions and crowds apart, and images of no split', () => {
    const image = { width: 100, height: 100, split: null, group: 'a' };
    const stats = datasetStats({
      categories: [{ id: 1, name: 'berry' }],
      images: [
        { id: 1, ...image },
        { id: 2, ...image },
      ],
      annotations: [
        { id: '1', imageId: 1, categoryId: 1, box: [0, 0, 10, 10] },
        { id: '2', imageId: 2, categoryId: 1, box: [0, 0, 10, 10], ignore: true },
      ],
    });
    expect(stats).toMatchObject({
      images: 2,
      groups: 1,
      boxes: 1,
      ignored: 1,
      imagesWithoutBox: 1,
      perSplit: [{ split: 'none', images: 2 }],
      relativeSide: [0.1, 0.1, 0.1, 0.1, 0.1],
    });
  });

  it('has no sizes in an empty dataset', () => {
    expect(datasetStats({ categories: [], images: [], annotations: [] })).toMatchObject({
      images: 0,
      relativeSide: null,
      suggestion: null,
    });
  });
});
