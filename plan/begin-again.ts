/**
 * Legs, and the steps of another file, run in children of their own. Where steps in them change that have not begun, or
 * later rounds of their loops, the whole begins again with the new ones and finds what is finished.
 */

import { identityOf, placesOf, presentOf, presentScope, same } from './compare-steps.ts';
import { fixedOf, withLaterRounds } from './later-rounds.ts';
import { innerPath, type PathPart, parsePath, stepPath, stepsOf } from './paths.ts';
import type { FanOutStep, PipelineStep, PlannedLeg, PlannedScope, PlannedStep, RepeatStep } from './types.ts';
import type { RunSoFar } from './upgrade.ts';

type Holder = FanOutStep | PipelineStep;

interface Problem {
  readonly why: string;
  readonly places: readonly string[];
  /** Of the step within that has begun. */
  readonly path?: string;
}

/** Whether what is within the step differs, and it can begin again for that. */
export function mayBeginAgain(was: PlannedStep, is: PlannedStep): is is Holder {
  if (!isHolder(was) || !isHolder(is) || was.type !== is.type) return false;
  const within = (step: Holder) => [
    ...scopesOf(step, '').map(({ scope }) => presentScope(scope)),
    step.outputs ?? null,
    legsOf(step),
  ];
  return !same(within(was), within(is));
}

/** What is done within it, with the path that steps have there: `tune[]` in all legs, but `tune[lr=1]` where a fork has its own. */
function scopesOf(step: Holder, path: string): { readonly within: string; readonly scope: PlannedScope }[] {
  const own = { within: innerPath(step, path), scope: step.scope };
  const forked = step.type === 'fan-out' ? (step.forked ?? []) : [];
  return [own, ...forked.map(({ leg, scope }) => ({ within: `${path}[${leg}]`, scope }))];
}

const isHolder = (step: PlannedStep): step is Holder => step.type === 'fan-out' || step.type === 'pipeline';

/** Why a step that has begun cannot begin again with what is within it now; null where it can. */
export function problemOfBeginning(was: PlannedStep, is: Holder, soFar: RunSoFar): Problem | null {
  const { id } = was;
  const places = placesOf(aroundOf(was as Holder), aroundOf(is));
  if (places.length > 0) return { why: `has begun, and its ${places.join(', ')} changed`, places };
  const open = is.needs.filter((need) => !was.needs.includes(need) && !soFar.hasEnded(need));
  if (open.length > 0) {
    return { why: `has begun, and would read ${open.join(', ')}, which has not ended`, places: ['steps'] };
  }
  const names = new Set(legsOf(is).map(({ name }) => name));
  const gone = legsOf(was as Holder).find(({ name }) => !names.has(name) && begunAt(soFar, `${id}[${name}]`) !== null);
  if (gone !== undefined) {
    return {
      why: `has begun, and so has its leg ${gone.name}, which the changed file has no more`,
      places: ['matrix'],
    };
  }
  const problems = problemsInside(was as Holder, is, id, soFar);
  if (problems.length === 0) return null;
  return {
    why: `has begun, and in it ${problems.map(({ why }) => why).join('; ')}`,
    places: problems.flatMap(({ places }) => places),
    path: problems[0]!.path,
  };
}

/** What decides over the whole of it. How many legs run at once does not. */
function aroundOf(step: Holder): object {
  const { scope: _, outputs: __, needs: ___, ...around } = step;
  if (around.type === 'pipeline') return around;
  const { concurrency: ____, perBatch: _____, legs, forked = [], ...rest } = around;
  return { ...rest, legs: 'matrix' in legs ? 'matrix' : legs, forked: forked.map(({ leg }) => leg) };
}

const legsOf = (step: Holder): readonly PlannedLeg[] =>
  step.type === 'fan-out' && 'matrix' in step.legs ? step.legs.matrix : [];

/** Of two that are the same around. */
function problemsInside(was: Holder, is: Holder, path: string, soFar: RunSoFar): Problem[] {
  const now = scopesOf(is, path);
  return scopesOf(was, path).flatMap(({ scope, within }, at) => {
    const problem = problemOfEnd(scope, now[at]!.scope, within, soFar);
    return problem === null ? problemsWithin(scope, now[at]!.scope, within, soFar) : [problem];
  });
}

/** What a `finally` has followed is over: steps that would run behind it come too late. */
function problemOfEnd(was: PlannedScope, is: PlannedScope, within: string, soFar: RunSoFar): Problem | null {
  const begun = (was.finally ?? []).flatMap(({ id }) => begunAt(soFar, stepPath(within, id)) ?? [])[0];
  const places = begun === undefined ? [] : placesOf(presentScope(was), presentScope(is));
  if (begun === undefined || places.length === 0) return null;
  return { why: `the finally of a file has begun with ${begun}`, places, path: begun };
}

/** Steps that have begun by the record, in whichever leg, must make what they made. `within`: `tune[]`. */
function problemsWithin(was: PlannedScope, is: PlannedScope, within: string, soFar: RunSoFar): Problem[] {
  return stepsOf(was).flatMap((old) => {
    const begun = begunAt(soFar, stepPath(within, old.id));
    if (begun === null) return [];
    const now = stepsOf(is).find(({ id }) => id === old.id);
    const place = old.id === '' ? '' : `steps.${old.id}`;
    if (now === undefined)
      return [{ why: `${begun} has, which the changed file has no more`, places: [place], path: begun }];
    if (isHolder(old) && isHolder(now) && same(aroundOf(old), aroundOf(now))) {
      return problemsInside(old, now, stepPath(within, old.id), soFar);
    }
    const isOpenLoop = old.type === 'repeat' && now.type === 'repeat' && !hasEnded(soFar, stepPath(within, old.id));
    const [why, places] = isOpenLoop
      ? problemOfLoop(old, now, stepPath(within, old.id), soFar)
      : changesOf(placesOf(identityOf(old), identityOf(now)));
    if (why === null) return [];
    const at = places.map((each) => (place === '' ? each : `${place}.${each}`));
    return [{ why: `${begun} has, ${why}`, places: at, path: begun }];
  });
}

const changesOf = (places: readonly string[]): [string | null, readonly string[]] =>
  places.length === 0 ? [null, []] : [`whose ${places.join(', ')} changed`, places];

/** A loop within, under way: its later rounds may do something else, in all legs from the same one on. */
function problemOfLoop(
  was: RepeatStep,
  is: RepeatStep,
  path: string,
  soFar: RunSoFar,
): [string | null, readonly string[]] {
  const places = placesOf(fixedOf(was), fixedOf(is));
  if (places.length > 0) {
    return [`whose ${places.join(', ')} changed; only what later rounds do can`, places];
  }
  if (same(was.max, is.max)) return [null, []];
  return problemOfMax(is, path, soFar);
}

/** A loop begins again up to the newest round that has begun, at least. */
export function problemOfMax({ max }: RepeatStep, path: string, soFar: RunSoFar): [string | null, readonly string[]] {
  const newest = newestRound(soFar, path);
  if (typeof max !== 'number') return ['and its max changed to what only the run will know', ['max']];
  return max >= newest ? [null, []] : [`up to round ${newest}, and its max is ${max} now`, ['max']];
}

/**
 * The step as it begins again: rounds of loops within it as they were, up to the one that `from` names by the path of the
 * loop (`tune[].rounds`); all else as it is now.
 */
export const begunAgain = (was: PlannedStep, is: PlannedStep, from: FirstRounds): PlannedStep =>
  alongBefore(was, is, is.id, (before, now, path) => {
    const first = from[path];
    return first === undefined ? now : withLaterRounds(before, now, first);
  });

/** The first round that does something else, by the path of a loop. */
export interface FirstRounds {
  readonly [loop: string]: number;
}

/** Of the loops within a step that begins again, those that have begun by the record and change. */
export function firstRoundsWithin(was: PlannedStep, is: PlannedStep, soFar: RunSoFar): FirstRounds {
  const found: { [loop: string]: number } = {};
  alongBefore(was, is, is.id, (_, now, path) => {
    if (begunAt(soFar, path) !== null) found[path] = newestRound(soFar, path) + 1;
    return now;
  });
  return found;
}

/** The step as it is now: what does the same as before stays as it was, and loops are what `ofLoop` makes of them. */
function alongBefore(
  was: PlannedStep,
  is: PlannedStep,
  path: string,
  ofLoop: (was: RepeatStep, is: RepeatStep, path: string) => PlannedStep,
): PlannedStep {
  if (same(presentOf(was), presentOf(is))) return was;
  if (was.type === 'repeat' && is.type === 'repeat') return ofLoop(was, is, path);
  if (!isHolder(was) || !isHolder(is) || was.type !== is.type) return is;
  const old = scopesOf(was, path);
  const scopes = scopesOf(is, path).map(({ scope, within }) => {
    const before = old.find((each) => each.within === within)?.scope.steps;
    const steps = scope.steps.map((step) => {
      const own = before?.find(({ id }) => id === step.id);
      return own === undefined ? step : alongBefore(own, step, stepPath(within, step.id), ofLoop);
    });
    return { ...scope, steps };
  });
  const whole = { ...is, scope: scopes[0]! };
  if (whole.type !== 'fan-out' || whole.forked === undefined) return whole;
  return { ...whole, forked: whole.forked.map(({ leg }, at) => ({ leg, scope: scopes[at + 1]! })) };
}

/** The first path of the record that is the step, or within it. `tune[].last` is that step in whichever leg. */
function begunAt({ recorded = [] }: RunSoFar, step: string): string | null {
  const parts = parsePath(step)!;
  return recorded.find((path) => isWithin(parsePath(path) ?? [], parts)) ?? null;
}

/** The newest round that has begun, in whichever leg; 0 where there is none. `loop`: `tune[].rounds`. */
function newestRound({ recorded = [] }: RunSoFar, loop: string): number {
  const parts = parsePath(loop)!;
  return recorded.reduce((newest, path) => {
    const known = parsePath(path) ?? [];
    return isWithin(known, parts) ? Math.max(newest, Number(known[parts.length - 1]!.leg)) : newest;
  }, 0);
}

/** Whether it has in any leg. */
const hasEnded = ({ ended = [] }: RunSoFar, step: string): boolean => {
  const parts = parsePath(step)!;
  const isIt = (known: readonly PathPart[]) => known.length === parts.length && known.at(-1)?.leg === null;
  return ended.some((path) => {
    const known = parsePath(path) ?? [];
    return isIt(known) && isWithin(known, parts);
  });
};

/** Whether a path of the record is that of the step, or of something within it; a leg '' is whichever. */
const isWithin = (path: readonly PathPart[], step: readonly PathPart[]): boolean =>
  step.every(({ id, leg }, at) => {
    const known = path[at];
    if (known === undefined || known.id !== id) return false;
    if (leg === null) return at === step.length - 1 || known.leg === null;
    return leg === '' ? known.leg !== null : known.leg === leg;
  });
