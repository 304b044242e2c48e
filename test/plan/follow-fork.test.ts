/** A fork whose file is edited: which of its steps, rounds and legs the edit reaches, and which of them run anew. */

import { expect, test } from 'vitest';
import { canonicalJson } from '../../plan/canonical.ts';
import { followFork } from '../../plan/follow-fork.ts';
import { forkScope } from '../../plan/fork.ts';
import { bodyOfRound } from '../../plan/loop-body.ts';
import { innerPath, innerScope, parsePath, scopeOfLeg, stepPath } from '../../plan/paths.ts';
import type { Plan, PlannedScope, RepeatStep } from '../../plan/types.ts';
import { upgradedScope } from '../../plan/upgrade.ts';
import { activity, fanOut } from '../small-plans.ts';
import { planOf, stepOf } from './compile-text.ts';

interface Edit {
  readonly images?: number;
  readonly batch?: number;
  readonly timeout?: string;
  readonly more?: string;
  /** Of the rounds. */
  readonly lr?: number;
  readonly max?: number;
  readonly without?: boolean;
}

const yaml = ({
  images = 20,
  batch = 16,
  timeout = '1h',
  more = '',
  lr = 0.01,
  max = 3,
  without = false,
}: Edit = {}) => `
  name: forked
  params: { epochs: { type: integer, default: 10 } }
  steps:
    data: { uses: synthesize, with: { images: ${images} } }
    model: { uses: train, timeout: ${timeout}, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}", batchSize: ${batch} } }
    ${without ? '' : 'other: { uses: train, with: { dataset: "${{ steps.data.dataset }}", epochs: "${{ params.epochs }}" } }'}
    loop:
      repeat: { max: ${max}, carry: { model: "\${{ steps.model.model }}" } }
      steps:
        mine: { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
        train: { uses: train, needs: [mine], with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}", learningRate: ${lr} } }
      next: { model: "\${{ steps.train.model }}" }
    merge: { uses: merge, with: { models: "\${{ steps.loop.all.map(r, r.model) }}" } }
    ${more}`;

const origin = planOf(yaml());
const planFor = (edit: Edit): Plan => planOf(yaml(edit), { params: { epochs: '30' } });
const fork = (from: string): PlannedScope => forkScope(origin.root, planFor({}).root, parsePath(from)!, 'salt');
const follow = (from: string, edit: Edit, own = fork(from), was: Edit = {}): PlannedScope =>
  followFork(own, { was: planFor(was).root, is: planFor(edit).root }, { from: parsePath(from)!, salt: 'salt' });

/** `path images epochs batchSize learningRate`, with a star where the step runs anew. */
function stepsOf(scope: PlannedScope, within = ''): string[] {
  return scope.steps.flatMap((step) => {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    if (inner !== null) return stepsOf(inner, innerPath(step, path));
    if ('scope' in step || step.type === 'approve') return [];
    const values = ['images', 'epochs', 'batchSize', 'learningRate'].map((name) => step.with[name]);
    const shown =
      step.kind === 'train' || step.kind === 'synthesize' ? values.filter((value) => value !== undefined) : [];
    return [[`${path}${step.fresh === 'salt' ? '*' : ''}`, ...shown].join(' ')];
  });
}

const roundsOf = (scope: PlannedScope): string[] => {
  const loop = scope.steps.find(({ id }) => id === 'loop') as RepeatStep;
  return [1, 2, 3, 4].map((index) => stepsOf(bodyOfRound(loop, index).scope).join(', '));
};

test('a file that is as it was changes nothing in a fork', () => {
  for (const from of ['data', 'model', 'loop', 'loop[2]', 'loop[2].train', 'merge']) {
    expect(canonicalJson(follow(from, {})), from).toBe(canonicalJson(fork(from)));
  }
});

test('an edit reaches the step that it is about; what the fork runs anew stays marked, and what it kept keeps its params', () => {
  expect(stepsOf(follow('model', { batch: 32 }))).toEqual([
    'data 20',
    'model* 30 32',
    'other 10 16',
    'loop[].mine*',
    'loop[].train* 30 16 0.01',
    'merge*',
  ]);
  // Of a step that the fork reuses, the edit changes what it is about, and not the param that the fork left alone.
  const later = follow('merge', { timeout: '2h', batch: 32 });
  expect(later.steps.find(({ id }) => id === 'model')).toMatchObject({
    timeoutMs: 7_200_000,
    with: { epochs: 10, batchSize: 32 },
  });
  expect(later.steps.find(({ id }) => id === 'model')).not.toHaveProperty('fresh');
});

test('steps are added and removed as in the file, marked where they come after what the fork runs anew', () => {
  const more = `last: { uses: evaluate, with: { models: "\${{ [steps.model.model] }}", dataset: "\${{ steps.data.dataset }}" } }
    beside: { uses: synthesize, with: { images: 5 } }`;
  const changed = stepsOf(follow('model', { more, without: true }));
  expect(changed).toContain('last*');
  expect(changed).toContain('beside 5');
  expect(changed.some((step) => step.startsWith('other'))).toBe(false);
});

test('a step that comes after a marked one is marked also where the file has the forked step no more', () => {
  const step = (id: string, ...needs: string[]) => activity(id, 'note', { needs });
  const was = { steps: [step('a'), step('b', 'a')] };
  const place = { from: parsePath('a')!, salt: 'salt' };
  const is = { steps: [step('b'), step('c', 'b'), step('d')] };
  const { steps } = followFork(forkScope(was, was, place.from, place.salt), { was, is }, place);
  expect(steps).toMatchObject([{ id: 'b', fresh: 'salt' }, { id: 'c', fresh: 'salt' }, { id: 'd' }]);
  expect(steps[2]).not.toHaveProperty('fresh');
});

test('in a loop that was forked within, rounds before the fork stay, and later ones follow the file', () => {
  expect(roundsOf(follow('loop[2].train', { lr: 0.02, max: 4 }))).toEqual([
    'mine, train 10 16 0.01',
    'mine, train* 30 16 0.02',
    'mine*, train* 30 16 0.02',
    'mine*, train* 30 16 0.02',
  ]);
  expect(follow('loop[2].train', { max: 4 }).steps.find(({ id }) => id === 'loop')).toMatchObject({ max: 4 });
});

test('of a forked loop that has begun, the rounds that have not begun follow, in the order of the bodies', () => {
  const was = fork('loop[2].train');
  const upgraded = (from: number) =>
    roundsOf(upgradedScope(was, follow('loop[2].train', { lr: 0.02 }), () => true, { loop: from }));
  const [one, two, three] = ['mine, train 10 16 0.01', 'mine, train* 30 16 0.01', 'mine*, train* 30 16 0.01'];
  const anew = 'mine*, train* 30 16 0.02';
  expect(upgraded(2)).toEqual([one, 'mine, train* 30 16 0.02', anew, anew]);
  expect(upgraded(3)).toEqual([one, two, anew, anew]);
  expect(upgraded(4)).toEqual([one, two, three, anew]);
});

test('a second edit is made in what the first one left', () => {
  const first = follow('loop[2].train', { lr: 0.02 });
  expect(roundsOf(follow('loop[2].train', { lr: 0.02, max: 4 }, first, { lr: 0.02 }))).toEqual(roundsOf(first));
  const second = follow('loop[2].train', { lr: 0.03 }, first, { lr: 0.02 });
  expect(roundsOf(second).slice(1, 3)).toEqual(['mine, train* 30 16 0.03', 'mine*, train* 30 16 0.03']);
});

test('a leg that was forked follows with all others, and stays apart', () => {
  const legs = { matrix: [1, 2].map((lr) => ({ name: `lr=${lr}`, values: { lr } })) };
  const legsOf = ({ root }: Plan): PlannedScope => ({ steps: [fanOut('tune', root.steps.slice(0, 2), { legs })] });
  const place = { from: parsePath('tune[lr=2].model')!, salt: 'salt' };
  const [was, is] = [planFor({}), planFor({ batch: 32 })].map(legsOf) as [PlannedScope, PlannedScope];
  const own = forkScope(legsOf(origin), was, place.from, 'salt');
  const tune = followFork(own, { was, is }, place).steps[0]!;
  if (tune.type !== 'fan-out') throw new Error(tune.type);
  expect(stepsOf(tune.scope)).toEqual(['data 20', 'model 10 32']);
  expect(stepsOf(scopeOfLeg(tune, 'lr=2'))).toEqual(['data 20', 'model* 30 32']);
});

test('legs that two forks left follow an edit both, each with its own params', () => {
  const legs = { matrix: [1, 2].map((lr) => ({ name: `lr=${lr}`, values: { lr } })) };
  const legsOf = ({ root }: Plan): PlannedScope => ({ steps: [fanOut('tune', root.steps.slice(0, 2), { legs })] });
  const place = { from: parsePath('tune[lr=2].model')!, salt: 'salt' };
  const first = forkScope(
    legsOf(origin),
    legsOf(planOf(yaml(), { params: { epochs: '50' } })),
    parsePath('tune[lr=1].model')!,
    'first',
  );
  const [was, is] = [planFor({}), planFor({ batch: 32 })].map(legsOf) as [PlannedScope, PlannedScope];
  const tune = followFork(forkScope(first, was, place.from, 'salt'), { was, is }, place).steps[0]!;
  if (tune.type !== 'fan-out') throw new Error(tune.type);
  const models = [tune.scope, scopeOfLeg(tune, 'lr=1'), scopeOfLeg(tune, 'lr=2')].map((scope) => scope.steps[1]);
  expect(models).toMatchObject([
    { with: { epochs: 10, batchSize: 32 } },
    { with: { epochs: 50, batchSize: 32 }, fresh: 'first' },
    { with: { epochs: 30, batchSize: 32 }, fresh: 'salt' },
  ]);
});

test('a fork of a run that followed a changed file has its rounds as they were', () => {
  const from = upgradedScope(origin.root, planOf(yaml({ lr: 0.05 })).root, () => true, { loop: 2 });
  const forked = { ...origin, root: forkScope(from, planFor({ lr: 0.05 }).root, parsePath('loop[3].train')!, 'salt') };
  expect(roundsOf(forked.root)).toEqual([
    'mine, train 10 16 0.01',
    'mine, train 10 16 0.05',
    'mine, train* 30 16 0.05',
    'mine*, train* 30 16 0.05',
  ]);
  expect(stepOf(forked, 'loop')).toMatchObject({ bodies: [{ from: 2 }, { from: 3 }, { from: 4 }] });
});
