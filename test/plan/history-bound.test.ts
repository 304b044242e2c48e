/** The bounds against the histories that the real interpreter makes, counted as Temporal's server counts them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readTestFile } from '../../cli/test-file.ts';
import { historyBounds } from '../../plan/history-bound.ts';
import { eventsMax } from '../../plan/limits.ts';
import { plannedScope } from '../../plan/parts.ts';
import type { Plan, PlannedStep } from '../../plan/types.ts';
import { simulatePlan } from '../../simulate/run-plan.ts';
import { activity, cel, fanOut, repeat, search } from '../small-plans.ts';
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

const plan = (steps: readonly PlannedStep[]): Plan => ({
  format: 1,
  pipeline: 'wide',
  seed: 1,
  params: {},
  root: plannedScope(steps),
});

test('scopes of lists and loops of any length, of very many steps, and large searches have no long history', () => {
  const list = (id: string) => fanOut(id, [activity('', 'note')], { legs: { forEach: cel('steps.a.list') } });
  const open = (id: string) => repeat(id, [activity('a', 'note')], { max: cel('steps.a.value') });
  const sizes = { depth: Array.from({ length: 50 }, (_, i) => i), width: Array.from({ length: 20 }, (_, i) => i) };
  const wide = plan([
    activity('a', 'note'),
    ...Array.from({ length: 8 }, (_, i) => list(`list${i}`)),
    ...Array.from({ length: 8 }, (_, i) => open(`loop${i}`)),
    ...Array.from({ length: 1_200 }, (_, i) => activity(`s${i}`, 'note')),
    search('search', { with: sizes }),
  ]);
  const bounds = historyBounds(wide);
  expect(Math.max(...bounds.map(({ events }) => events))).toBeLessThan(eventsMax);
  const words = bounds.map(({ workflow, runs }) => `${workflow} ${runs}`);
  expect(words).toEqual(expect.arrayContaining(['#2 part', 'list7[all] fan-out', 'list7[..] legs']));
});

test('a search goes on in new histories', async () => {
  const sizes = { depth: Array.from({ length: 12 }, (_, i) => i), width: Array.from({ length: 10 }, (_, i) => i) };
  const whole = plan([search('search', { with: sizes, renewAfter: 150 })]);
  const mockOf = () => ({ outputs: { AP: 0.5, flops: 1, parameters: 1, trainingLoss: 1, AP50: 0.5, seconds: 1 } });
  const { state, steps, histories } = await simulatePlan(bundle, whole, { mockOf, answers: [], retries: [] });
  expect(state).toBe('done');
  expect(steps.filter(({ path, state: its }) => path.startsWith('search.trial[') && its === 'done')).toHaveLength(120);
  // In one history the trials would have taken six events each, and more.
  expect([histories.get('search')! > 150, histories.get('search')! < 120 * 6]).toEqual([true, true]);
}, 60_000);
