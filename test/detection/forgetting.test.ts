import { describe, expect, it } from 'vitest';
import { detectionsFromRows } from '../../detection/detections.ts';
import { fateOf, historiesOf, transitionsOf, worstForgotten } from '../../detection/forgetting.ts';
import { matchDetections } from '../../detection/match.ts';
import type { Annotation, Box } from '../../detection/types.ts';

const boxes: Record<string, Box> = {
  a: [0, 0, 10, 10],
  b: [20, 0, 30, 10],
  c: [40, 0, 50, 10],
  d: [60, 0, 70, 10],
  e: [80, 0, 90, 10],
};
const annotations = Object.entries(boxes).map(([id, box]): Annotation => ({ id, imageId: 1, categoryId: 1, box }));

/** A model that finds these labels, with these scores. */
function modelThatFinds(scores: Record<string, number>) {
  const rows = Object.entries(scores).map(([id, score]) => ({ imageId: 1, categoryId: 1, box: boxes[id]!, score }));
  const detections = detectionsFromRows([1], rows);
  const groundTruth = { categories: [{ id: 1, name: 'berry' }], imageIds: [1], annotations };
  return { detections, matches: matchDetections(groundTruth, detections, { confidence: 0.3, iou: 0.5 }) };
}

/**
 *            model 1  2   3
 *     a      found  found found    kept
 *     b      -      found found    learnt
 *     c      found  found -        forgotten
 *     d      found  -     found    relearnt
 *     e      -      -     -        never (0.2 is below the confidence)
 */
const histories = historiesOf([
  modelThatFinds({ a: 0.9, c: 0.8, d: 0.7, e: 0.2 }),
  modelThatFinds({ a: 0.9, b: 0.6, c: 0.95 }),
  modelThatFinds({ a: 0.9, b: 0.6, d: 0.5 }),
]);

describe('the ledger of forgetting', () => {
  it('says of every ground truth what became of it', () => {
    expect(Object.fromEntries(histories.map((history) => [history.annotationId, fateOf(history)]))).toEqual({
      a: 'kept',
      b: 'learnt',
      c: 'forgotten',
      d: 'relearnt',
      e: 'never',
    });
    expect(histories.find(({ annotationId }) => annotationId === 'c')?.scores).toEqual([0.8, 0.95, 0]);
  });

  it('counts what each model learnt and forgot against the one before', () => {
    expect(transitionsOf(histories)).toEqual([
      { from: 1, to: 2, learnt: 1, relearnt: 0, forgotten: 1, stillFound: 2, stillMissed: 1 },
      { from: 2, to: 3, learnt: 0, relearnt: 1, forgotten: 1, stillFound: 2, stillMissed: 1 },
    ]);
  });

  it('names first what was once found most surely', () => {
    const more = [...histories, { annotationId: 'f', imageId: 2, scores: [0.99, 0, 0] }];
    expect(worstForgotten(more, 5).map(({ annotationId }) => annotationId)).toEqual(['f', 'c']);
    expect(worstForgotten(more, 1)).toHaveLength(1);
  });

  it('has nothing to tell of one model, or of no labels', () => {
    expect(transitionsOf(historiesOf([modelThatFinds({ a: 0.9 })]))).toEqual([]);
    expect(transitionsOf([])).toEqual([]);
    expect(historiesOf([])).toEqual([]);
  });
});
