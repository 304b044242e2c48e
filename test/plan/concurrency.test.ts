/** Concurrency groups at compile time: of the pipeline, of steps, and beside the bound on legs. */

import { expect, test } from 'vitest';
import { planOf, problemsOf, stepOf } from './compile-text.ts';

test('a pipeline names its group from params alone', () => {
  const plan = (concurrency: string) =>
    planOf(`
      name: alone
      params: { card: { type: integer, default: 3 } }
      concurrency: ${concurrency}
      steps: { a: { uses: synthesize } }
    `).root.concurrency;
  expect(plan('{ group: "gpu-${{ params.card }}" }')).toEqual({ group: 'gpu-3', cancelInProgress: false });
  expect(plan('{ group: nightly, cancelInProgress: true }')).toEqual({ group: 'nightly', cancelInProgress: true });
});

test('a step names its group from what it may read', () => {
  const plan = planOf(`
    name: alone
    steps:
      data: { uses: synthesize, concurrency: { group: disk } }
      model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" }, concurrency: { group: "gpu-\${{ size([1, 2]) }}" } }
      legs:
        uses: synthesize
        matrix: { images: [12, 24] }
        with: { images: "\${{ matrix.images }}" }
        concurrency: { group: "disk-\${{ matrix.images }}" }
      other: { activity: a, queue: q, concurrency: { group: hub } }
  `);
  expect(stepOf(plan, 'data')).toMatchObject({ group: 'disk' });
  expect(stepOf(plan, 'model')).toMatchObject({ group: 'gpu-2' });
  expect(stepOf(plan, 'other')).toMatchObject({ type: 'foreign', group: 'hub' });
  const legs = stepOf(plan, 'legs');
  expect(legs).toMatchObject({ type: 'fan-out', concurrency: 100 });
  expect('scope' in legs && legs.scope.steps[0]).toMatchObject({ group: { $text: ['disk-', { $: 'matrix.images' }] } });
});

test('a group that is no name, or in a place without one, is a problem', () => {
  expect(
    problemsOf(`
      name: alone
      concurrency: { group: "\${{ steps.a.dataset }}", cancelInProgres: true }
      steps:
        a: { uses: synthesize, concurrency: { group: "\${{ [1] }}" } }
        b: { uses: synthesize, concurrency: 3 }
        c: { uses: synthesize, concurrency: { group: g, cancelInProgress: true } }
        d: { approve: {}, concurrency: { group: g } }
    `),
  ).toEqual([
    '2 EXPRESSION_TYPE ${{ steps.a.dataset }}',
    '2 UNKNOWN_KEY cancelInProgres',
    '4 EXPRESSION_TYPE ${{ [1] }}',
    '5 UNKNOWN_KEY concurrency',
    '6 UNKNOWN_KEY cancelInProgress',
    '7 UNKNOWN_KEY concurrency',
  ]);
});
