/** The plan of a fork: everything before a step as an earlier run planned it, the step and what depends on it anew. */

import { bodyOfRound } from './loop-body.ts';
import type { PathPart } from './paths.ts';
import { innerScope, isLegName, scopeOfLeg, stepsOf } from './paths.ts';
import type { LoopBody, PlannedScope, PlannedStep, RepeatStep } from './types.ts';

/**
 * `before` is the scope as the earlier run had it, `now` the same scope with the params of the fork. Steps behind the one
 * at `from` are taken from `now` and marked with `salt`, so that no record of other runs stands for them.
 */
export function forkScope(
  before: PlannedScope,
  now: PlannedScope,
  [part, ...rest]: readonly PathPart[],
  salt: string,
): PlannedScope {
  if (part === undefined) return freshScope(now, salt);
  const [only, old] = [now.steps[0], before.steps[0]];
  // A leg that is one step has the leg's own path, and what is inside of that step follows it.
  if (only?.id === '' && old !== undefined) {
    return { ...now, steps: [forkInside(old, only, null, [part, ...rest], salt)] };
  }
  const last = now.finally?.map((step) => freshStep(step, salt));
  const behind = stepsBehind(now, part.id);
  const kept = new Map(before.steps.map((step) => [step.id, step]));
  const steps = now.steps.map((step): PlannedStep => {
    if (behind.has(step.id)) return freshStep(step, salt);
    const old = kept.get(step.id) ?? step;
    if (step.id !== part.id) return old;
    if (part.leg === null && rest.length === 0) return freshStep(step, salt);
    return forkInside(old, step, part.leg, rest, salt);
  });
  // What runs when all else has ended tells of this run, and so runs in it.
  return last === undefined ? { ...now, steps } : { ...now, steps, finally: last };
}

/** Whether a run of the scope can have a step, a round or a leg at the path. */
export function isForkPlace(scope: PlannedScope, [part, ...rest]: readonly PathPart[]): boolean {
  if (part === undefined) return false;
  const [only] = scope.steps;
  if (only?.id === '') {
    const inner = innerScope(only);
    return inner !== null && isForkPlace(inner, [part, ...rest]);
  }
  const step = stepsOf(scope).find(({ id }) => id === part.id);
  if (step === undefined) return false;
  const inner = innerScope(step);
  const takesLeg = step.type === 'repeat' || step.type === 'fan-out';
  if (part.leg === null) return rest.length === 0 || (!takesLeg && inner !== null && isForkPlace(inner, rest));
  return takesLeg && isLegName(step, part.leg) && (rest.length === 0 || isForkPlace(step.scope, rest));
}

/** Ids of the steps that wait for a step, directly or through others. */
export function stepsBehind({ steps }: PlannedScope, id: string): ReadonlySet<string> {
  const behind = new Set<string>();
  // Topologically sorted: what a step needs stands before it.
  for (const step of steps) {
    if (step.needs.some((need) => need === id || behind.has(need))) behind.add(step.id);
  }
  return behind;
}

function forkInside(
  before: PlannedStep,
  now: PlannedStep,
  leg: string | null,
  rest: readonly PathPart[],
  salt: string,
): PlannedStep {
  if (before.type === 'repeat' && now.type === 'repeat' && leg !== null) {
    return forkLoop(before, now, Number(leg), rest, salt);
  }
  if (before.type === 'fan-out' && now.type === 'fan-out' && leg !== null) {
    // Other legs stay as the earlier run had them, also those that it forked itself.
    const others = before.forked?.filter((each) => each.leg !== leg) ?? [];
    const own = { leg, scope: forkScope(scopeOfLeg(before, leg), now.scope, rest, salt) };
    return { ...before, forked: [...others, own] };
  }
  const [inner, outer] = [innerScope(now), innerScope(before)];
  if (inner === null || outer === null) throw new Error(`Internal error: ${now.id} has no steps inside.`);
  return { ...now, scope: forkScope(outer, inner, rest, salt) } as PlannedStep;
}

/** Rounds before `index` as they were, that round in part anew, and the rounds behind it, which build on it, wholly. */
function forkLoop(
  before: RepeatStep,
  now: RepeatStep,
  index: number,
  rest: readonly PathPart[],
  salt: string,
): RepeatStep {
  const body = bodyOf(now);
  // The earlier run may have been a fork itself, or have followed a changed file.
  const stay = before.bodies?.filter(({ from }) => from < index) ?? [];
  return {
    ...before,
    max: now.max,
    bodies: [
      ...stay,
      { ...body, from: index, scope: forkScope(bodyOfRound(before, index).scope, now.scope, rest, salt) },
      { ...body, from: index + 1, scope: freshScope(now.scope, salt) },
    ],
  };
}

function bodyOf({ scope, next, until, plateau, budgetMs, gain, endWhenEmpty }: RepeatStep): Omit<LoopBody, 'from'> {
  return {
    scope,
    next,
    ...(until === undefined ? {} : { until }),
    ...(plateau === undefined ? {} : { plateau }),
    ...(budgetMs === undefined ? {} : { budgetMs }),
    ...(gain === undefined ? {} : { gain }),
    ...(endWhenEmpty === undefined ? {} : { endWhenEmpty }),
  };
}

export function freshScope(scope: PlannedScope, salt: string): PlannedScope {
  const fresh = (steps: readonly PlannedStep[]) => steps.map((step) => freshStep(step, salt));
  return { ...scope, steps: fresh(scope.steps), ...(scope.finally && { finally: fresh(scope.finally) }) };
}

export function freshStep(step: PlannedStep, salt: string): PlannedStep {
  const inner = innerScope(step);
  if (inner !== null) return { ...step, scope: freshScope(inner, salt) } as PlannedStep;
  return { ...step, fresh: salt } as PlannedStep;
}
