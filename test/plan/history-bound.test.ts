/** The bounds against the histories that the real interpreter makes, counted as Temporal's server counts them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readTestFile } from '../../cli/test-file.ts';
import { historyBounds } from '../../plan/history-bound.ts';
import { eventsMax } from '../../plan/limits.ts';
import { simulatePlan } from '../../simulate/run-plan.ts';
import { planOf } from './compile-text.ts';

const root = join(import.meta.dirname, '../..');
const bundle = join(root, 'dist/workflow-bundle.js');

/** `rounds[2]` is a `rounds[]`, `tune[1..3]` a `tune[..]`. */
const template = (path: string) =>
  path.replace(/\[([^\]]*)\]/g, (_, inner: string) => (/^\d+\.\.\d+$/.test(inner) ? '[..]' : '[]'));

test.each([
  'quickstart',
  'hard-cases',
  'examples/for-each',
  'examples/import',
  'examples/plateau',
  'examples/finally',
  'examples/approve',
  'examples/activity',
  'examples/concurrency',
])(
  'no workflow of %s has more events than its bound, and the bound is not far off',
  async (name) => {
    const file = join(root, 'pipelines', `${name}.test.yaml`);
    const { tests } = await readTestFile({ file, text: readFileSync(file, 'utf8') });
    const { plan, script } = tests![0]!;
    const { histories } = await simulatePlan(bundle, plan, script);
    const bounds = new Map(historyBounds(plan).map(({ workflow, events }) => [workflow, events]));
    for (const [path, events] of histories) {
      const bound = bounds.get(template(path));
      expect([path, bound !== undefined && bound >= events ? 'within' : `${events} of ${bound}`]).toEqual([
        path,
        'within',
      ]);
    }
    // Of a list that comes up in the run nobody knows how long it is.
    if (name !== 'examples/for-each') expect(histories.get('')! / bounds.get('')!).toBeGreaterThan(0.1);
    for (const [path, bound] of bounds) expect([path, bound < eventsMax]).toEqual([path, true]);
  },
  120_000,
);

const loop = (max: number) => `
  name: long
  steps:
    data: { uses: synthesize }
    first: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
    rounds:
      repeat: { max: ${max}, carry: { model: "\${{ steps.first.model }}" } }
      steps: { train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } } }
      next: { model: "\${{ steps.train.model }}" }`;

const boundsOf = (yaml: string) =>
  historyBounds(planOf(yaml)).map(({ workflow, runs, count }) => `${workflow} ${runs} x${count}`);

test('a short loop runs its rounds itself, a long one has them in batches, so that no history becomes long', () => {
  expect(boundsOf(loop(3))).toEqual([' run x1', 'rounds[] round x3']);
  expect(boundsOf(loop(250))).toEqual([' run x1', 'rounds[..] rounds x3', 'rounds[] round x100']);
  for (const { events } of historyBounds(planOf(loop(10_000)))) expect(events).toBeLessThan(eventsMax);
});
