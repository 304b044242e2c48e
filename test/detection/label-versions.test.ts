import { describe, expect, it } from 'vitest';
import { diffLabels, mergeLabels } from '../../detection/label-versions.ts';
import type { Annotation, Box, Labels } from '../../detection/types.ts';

const label = (id: string, box: Box = [0, 0, 10, 10], more: Partial<Annotation> = {}): Annotation => ({
  id,
  imageId: 1,
  categoryId: 1,
  box,
  ...more,
});
const labels = (...annotations: Annotation[]): Labels => ({ parent: null, author: 'import', note: '', annotations });

describe('the difference of two label versions', () => {
  it('names what became of each box', () => {
    const before = [
      label('a'),
      label('b'),
      label('c'),
      label('d'),
      label('e'),
      label('f', [0, 0, 5, 5], { ignore: true }),
    ];
    const after = [
      label('a'),
      label('b', [1, 0, 10, 10], { categoryId: 2 }),
      label('c', [0, 0, 10, 10], { categoryId: 2 }),
      label('d', [0, 0, 10, 10], { ignore: true }),
      label('f', [0, 0, 5, 5]),
      label('g'),
    ];
    expect(diffLabels(before, after).map(({ id, what }) => `${id} ${what}`)).toEqual([
      'b moved',
      'c reclassed',
      'd ignored',
      'e removed',
      'f restored',
      'g added',
    ]);
    expect(diffLabels(before, before)).toEqual([]);
    expect(diffLabels([], [])).toEqual([]);
  });
});

describe('the merge of two label versions', () => {
  const base = labels(label('a'), label('b'), label('c'), label('d'));

  it('takes the changes of both', () => {
    const ours = labels(label('a', [2, 2, 9, 9]), label('b'), label('c'), label('d'), label('new-1'));
    const theirs = labels(label('a'), label('b', [0, 0, 10, 10], { categoryId: 2 }), label('d'), label('new-2'));
    const merged = mergeLabels(base, ours, theirs);
    expect(merged).toMatchObject({ conflicts: [], fromOurs: 2, fromTheirs: 3 });
    expect(merged.annotations).toEqual([
      label('a', [2, 2, 9, 9]),
      label('b', [0, 0, 10, 10], { categoryId: 2 }),
      label('d'),
      label('new-1'),
      label('new-2'),
    ]);
    // whoever comes first
    expect(mergeLabels(base, theirs, ours).annotations).toEqual(merged.annotations);
  });

  it('has no conflict where both made the same change, and one where they differ or one removed the box', () => {
    const ours = labels(label('a', [1, 1, 8, 8]), label('b', [1, 1, 8, 8]), label('d'));
    const theirs = labels(label('a', [1, 1, 8, 8]), label('b', [2, 2, 8, 8]), label('c', [3, 3, 8, 8]), label('d'));
    const merged = mergeLabels(base, ours, theirs);
    expect(merged.conflicts.map(({ id }) => id)).toEqual(['b', 'c']);
    expect(merged.annotations).toEqual([label('a', [1, 1, 8, 8]), label('b'), label('c'), label('d')]);
    expect(mergeLabels(base, ours, theirs, 'ours').annotations.map(({ id }) => id)).toEqual(['a', 'b', 'd']);
    expect(mergeLabels(base, ours, theirs, 'theirs').annotations[1]).toEqual(label('b', [2, 2, 8, 8]));
  });
});
