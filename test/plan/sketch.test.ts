/** The pipeline that the design sketches: it must compile as written. */

import { describe, expect, test } from 'vitest';
import { planOf, stepOf, withOf } from './compile-text.ts';

const sketch = `
name: hard-cases                 # also the Temporal workflow type, so that every pipeline shows under its own name
seed: 1                          # a step's seed is a hash of this and its path
params:
  data:   { type: path, description: "folder in COCO, VOC or YOLO layout" }     # path: digested by content, uploaded where the store is shared
  rounds: { type: integer, default: 2, minimum: 0 }
  expire: { type: duration, default: 7d }
steps:
  data:     { uses: import-dataset, with: { source: "\${{ params.data }}", split: { keep: true, else: { train: 0.8, val: 0.1, test: 0.1 } }, groupBy: photo } }
  capacity: { uses: search-capacity, with: { dataset: "\${{ steps.data.dataset }}", depth: [0.33, 0.67], width: [0.25, 0.5] } }
  errors:   { uses: mine, with: { model: "\${{ steps.capacity.model }}", dataset: "\${{ steps.data.dataset }}", splits: [train, val, test], confidence: 0.3, iou: 0.5 } }
  review:   { uses: review-labels, with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}", after: { remind: 4h, expire: { in: "\${{ params.expire }}", then: keep } } } }
  model1:   { uses: train, with: { init: "\${{ steps.capacity.model }}", dataset: "\${{ steps.review.dataset }}" } }
  rounds:
    repeat: { max: "\${{ params.rounds }}", until: round.gain.high < 0.002, carry: { model: "\${{ steps.model1.model }}", dataset: "\${{ steps.review.dataset }}", select: "\${{ steps.review.allImages }}" } }
    steps:                       # a sub-graph; inner names shadow outer ones, which stay visible
      mine:   { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ carry.dataset }}", select: "\${{ carry.select }}" } }
      review: { uses: review-labels, with: { dataset: "\${{ carry.dataset }}", candidates: "\${{ steps.mine.candidates }}", after: { expire: { in: "\${{ params.expire }}", then: keep } } } }
      train:  { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.review.dataset }}", select: "\${{ steps.mine.hardImages }}", replay: { from: "\${{ steps.review.allImages }}", share: 0.3 } } }
    next: { model: "\${{ steps.train.model }}", dataset: "\${{ steps.review.dataset }}", select: "\${{ steps.mine.hardImages }}" }
  merge:    { uses: merge, with: { models: "\${{ [steps.model1.model] + steps.rounds.all.map(r, r.model) }}", method: nms, iou: 0.5 } }
  table:    { uses: evaluate, with: { baseline: "\${{ steps.capacity.model }}", models: "\${{ steps.merge.models }}", merged: "\${{ steps.merge.prefixes }}", dataset: "\${{ steps.data.dataset }}", labels: all, splits: [val, test] } }
  report:   { uses: report, with: { tables: ["\${{ steps.table.metrics }}"] } }
`;

describe('the sketch of the design', () => {
  const plan = planOf(sketch);

  test('has its steps in an order in which each comes after those it reads', () => {
    expect(plan.root.steps.map(({ id }) => id)).toEqual([
      'data',
      'capacity',
      'errors',
      'review',
      'model1',
      'rounds',
      'merge',
      'table',
      'report',
    ]);
    expect(stepOf(plan, 'errors').needs).toEqual(['data', 'capacity']);
    expect(stepOf(plan, 'rounds').needs).toEqual(['review', 'model1']);
    expect(stepOf(plan, 'merge').needs).toEqual(['model1', 'rounds']);
    expect(stepOf(plan, 'rounds.train').needs).toEqual(['mine', 'review']);
  });

  test('marks the gate and the search', () => {
    expect(plan.root.steps.map(({ type }) => type)).toEqual([
      'activity',
      'search',
      'activity',
      'gate',
      'activity',
      'repeat',
      'activity',
      'activity',
      'activity',
    ]);
    expect(stepOf(plan, 'rounds.review').type).toBe('gate');
  });

  test('puts the values of params in their places', () => {
    expect(plan.params).toMatchObject({ rounds: 2, expire: '7d', data: { artifact: 'tree' } });
    expect(stepOf(plan, 'rounds')).toMatchObject({ max: 2 });
    expect(withOf(plan, 'data').source).toMatchObject({ artifact: 'tree' });
    expect(withOf(plan, 'rounds.review').after).toHaveProperty('expire.in', '7d');
  });

  test('says which name of carry ends the loop when nothing is left', () => {
    expect(stepOf(plan, 'rounds')).toMatchObject({ endWhenEmpty: 'select', until: 'round.gain.high < 0.002' });
  });

  test('compares the models of a round on the dataset with which the loop began, though a step inside has its name', () => {
    expect(stepOf(plan, 'rounds')).toMatchObject({
      gain: 'gain',
      carry: { gainDataset: { $: 'steps.review.dataset' } },
    });
    expect(stepOf(plan, 'rounds.gain')).toMatchObject({
      kind: 'compare-models',
      needs: ['train'],
      with: { old: { $: 'carry.model' }, new: { $: 'steps.train.model' }, dataset: { $: 'carry.gainDataset' } },
    });
  });

  test('evaluates at every label version that the run makes, in their order', () => {
    expect(withOf(plan, 'table').versions).toEqual({
      $: '[steps.review.dataset] + steps.rounds.all.map(r, r.dataset)',
    });
    expect(stepOf(plan, 'table').needs).toEqual(['data', 'capacity', 'review', 'rounds', 'merge']);
  });

  test('reports after everything else', () => {
    expect(stepOf(plan, 'report').needs).toEqual([
      'data',
      'capacity',
      'errors',
      'review',
      'model1',
      'rounds',
      'merge',
      'table',
    ]);
  });

  test('fills in defaults down to the last level', () => {
    expect(withOf(plan, 'rounds.mine')).toMatchObject({ splits: ['train'], confidence: 0.3, iou: 0.5 });
    expect(withOf(plan, 'capacity').clip).toMatchObject({ plateau: { improvement: 0.01, epochs: 3 } });
  });
});
