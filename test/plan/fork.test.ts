import { expect, test } from 'vitest';
import { forkScope, isForkPlace } from '../../plan/fork.ts';
import { bodyOfRound } from '../../plan/loop-body.ts';
import { innerPath, innerScope, parsePath, scopeOfLeg, stepPath } from '../../plan/paths.ts';
import type { Plan, PlannedScope, RepeatStep } from '../../plan/types.ts';
import { fanOut } from '../small-plans.ts';
import { planOf, stepOf } from './compile-text.ts';

const yaml = `
  name: forked
  params: { epochs: { type: integer, default: 10 }, rounds: { type: integer, default: 3 } }
  steps:
    data: { uses: synthesize, with: { images: 20 } }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
    other: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
    loop:
      repeat: { max: "\${{ params.rounds }}", carry: { model: "\${{ steps.model.model }}" } }
      steps:
        mine: { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
        train: { uses: train, needs: [mine], with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
      next: { model: "\${{ steps.train.model }}" }
    merge: { uses: merge, with: { models: "\${{ steps.loop.all.map(r, r.model) }}" } }`;

const before = planOf(yaml);
const now = planOf(yaml, { params: { epochs: '30', rounds: '4' } });
const fork = (from: string): Plan => ({ ...now, root: forkScope(before.root, now.root, parsePath(from)!, 'salt') });

/** `path epochs`, with a star where the step runs anew. */
function stepsOf(scope: PlannedScope, within = ''): string[] {
  return scope.steps.flatMap((step) => {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    if (inner !== null) return stepsOf(inner, innerPath(step, path));
    if ('scope' in step || step.type === 'approve') return [];
    return [`${path}${step.fresh === 'salt' ? '*' : ''} ${String(step.with.epochs ?? '')}`.trim()];
  });
}

test('the step and what depends on it are new and have the new params; all else is as it was', () => {
  expect(stepsOf(fork('model').root)).toEqual([
    'data',
    'model* 30',
    'other 10',
    'loop[].mine*',
    'loop[].train* 30',
    'merge*',
  ]);
  expect(stepsOf(fork('other').root)).toEqual([
    'data',
    'model 10',
    'other* 30',
    'loop[].mine',
    'loop[].train 10',
    'merge',
  ]);
});

test('inside a round, earlier rounds stay, the round is new from the step on, and later rounds are wholly new', () => {
  const loop = stepOf(fork('loop[2].train'), 'loop') as RepeatStep;
  const rounds = [1, 2, 3, 4].map((index) => stepsOf(bodyOfRound(loop, index).scope).join(', '));
  expect(rounds).toEqual(['mine, train 10', 'mine, train* 30', 'mine*, train* 30', 'mine*, train* 30']);
  expect(loop.max).toBe(4);
  expect(stepsOf(fork('loop[2].train').root)).toContain('merge*');
  expect(stepsOf(fork('loop[2].train').root)).toContain('model 10');
});

test('a whole round can be forked from', () => {
  const loop = stepOf(fork('loop[2]'), 'loop') as RepeatStep;
  expect([1, 2].map((index) => stepsOf(bodyOfRound(loop, index).scope).join(', '))).toEqual([
    'mine, train 10',
    'mine*, train* 30',
  ]);
});

test('a leg can be forked from, alone or from a step inside', () => {
  const legs = { matrix: [1, 2].map((lr) => ({ name: `lr=${lr}`, values: { lr } })) };
  const [was, is] = [before, now].map(({ root }) => ({ steps: [fanOut('tune', root.steps.slice(0, 2), { legs })] }));
  const forked = forkScope(was!, is!, parsePath('tune[lr=2].model')!, 'salt').steps[0]!;
  if (forked.type !== 'fan-out') throw new Error(forked.type);
  expect(stepsOf(forked.scope)).toEqual(['data', 'model 10']);
  expect(forked.forked).toMatchObject([{ leg: 'lr=2' }]);
  expect(stepsOf(scopeOfLeg(forked, 'lr=2'))).toEqual(['data', 'model* 30']);
});

test('a fork of a fork within another leg keeps the first one, and within the same leg takes its place', () => {
  const legs = { matrix: [1, 2].map((lr) => ({ name: `lr=${lr}`, values: { lr } })) };
  const [was, is, later] = [before, now, planOf(yaml, { params: { epochs: '50' } })].map(({ root }) => ({
    steps: [fanOut('tune', root.steps.slice(0, 2), { legs })],
  }));
  const first = forkScope(was!, is!, parsePath('tune[lr=2].model')!, 'first');
  const legsOf = (from: string) => {
    const [tune] = forkScope(first, later!, parsePath(from)!, 'salt').steps;
    if (tune?.type !== 'fan-out') throw new Error(tune?.type);
    return [tune, ...[1, 2].map((lr) => ({ scope: scopeOfLeg(tune, `lr=${lr}`) }))].map(({ scope }) =>
      stepsOf(scope).at(-1),
    );
  };
  expect(legsOf('tune[lr=1].model')).toEqual(['model 10', 'model* 50', 'model 30']);
  expect(legsOf('tune[lr=2].model')).toEqual(['model 10', 'model 10', 'model* 50']);
});

test('places are steps, rounds and legs of the plan, and nothing else', () => {
  const places = [
    'model',
    'loop',
    'loop[2]',
    'loop[2].train',
    'modle',
    'loop.train',
    'loop[0]',
    'loop[2].x',
    'model[1]',
  ];
  expect(places.filter((place) => isForkPlace(before.root, parsePath(place)!))).toEqual([
    'model',
    'loop',
    'loop[2]',
    'loop[2].train',
  ]);
});
