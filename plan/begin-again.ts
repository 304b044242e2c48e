/**
 * Legs, and the steps of another file, run in children of their own. Where steps in them change that have not begun, or
 * later rounds of their loops, the whole begins again with the new ones and finds what is finished.
 */

import { identityOf, placesOf, presentOf, presentScope, same } from './compare-steps.ts';
import { fixedOf, withLaterRounds } from './later-rounds.ts';
import { hasEnd, innerPath, parsePath, stepPath, stepsOf } from './paths.ts';
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
  const within = (step: Holder) => [presentScope(step.scope), step.outputs ?? null, legsOf(step)];
  return !same(within(was), within(is));
}

const isHolder = (step: PlannedStep): step is Holder => step.type === 'fan-out' || step.type === 'pipeline';

/** Why a step that has begun cannot begin again with what is within it now; null where it can. */
export function problemOfBeginning(was: PlannedStep, is: Holder, soFar: RunSoFar): Problem | null {
  const { id, scope } = was as Holder;
  const places = placesOf(aroundOf(was as Holder), aroundOf(is));
  if (places.length > 0) return { why: `has begun, and its ${places.join(', ')} changed`, places };
  if (hasEnd(was)) {
    const changed = placesOf(scope, is.scope);
    const why = `has begun, and its ${changed.join(', ')} changed; it cannot begin again for that, because it has a finally of its own, which would run`;
    return { why, places: changed };
  }
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
  const problems = problemsWithin(scope, is.scope, was.type === 'fan-out' ? `${id}[]` : id, soFar);
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
  const { concurrency: ____, perBatch: _____, legs, ...rest } = around;
  return { ...rest, legs: 'matrix' in legs ? 'matrix' : legs };
}

const legsOf = (step: Holder): readonly PlannedLeg[] =>
  step.type === 'fan-out' && 'matrix' in step.legs ? step.legs.matrix : [];

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
      return problemsWithin(old.scope, now.scope, innerPath(old, stepPath(within, old.id)), soFar);
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
  const newest = newestRound(soFar, path);
  if (typeof is.max !== 'number') return ['and its max changed to what only the run will know', ['max']];
  return is.max >= newest ? [null, []] : [`up to round ${newest}, and its max is ${is.max} now`, ['max']];
}

/**
 * The step as it begins again: rounds of loops within it as they were, up to the one that `from` names by the path of the
 * loop (`tune[].rounds`); all else as it is now.
 */
export function begunAgain(was: PlannedStep, is: PlannedStep, from: FirstRounds, path = is.id): PlannedStep {
  if (same(was, is) || same(presentOf(was), presentOf(is))) return was;
  if (was.type === 'repeat' && is.type === 'repeat') {
    const first = from[path];
    return first === undefined ? is : withLaterRounds(was, is, first);
  }
  if (!isHolder(was) || !isHolder(is) || was.type !== is.type) return is;
  const old = was.scope.steps;
  const steps = is.scope.steps.map((step) => {
    const before = old.find(({ id }) => id === step.id);
    return before === undefined ? step : begunAgain(before, step, from, stepPath(innerPath(is, path), step.id));
  });
  return { ...is, scope: { ...is.scope, steps } };
}

/** The first round that does something else, by the path of a loop. */
export interface FirstRounds {
  readonly [loop: string]: number;
}

/** Of the loops within a step that begins again, those that have begun by the record and change. */
export function firstRoundsWithin(was: PlannedStep, is: PlannedStep, soFar: RunSoFar, path = is.id): FirstRounds {
  if (same(presentOf(was), presentOf(is))) return {};
  if (was.type === 'repeat' && is.type === 'repeat') {
    return begunAt(soFar, path) === null ? {} : { [path]: newestRound(soFar, path) + 1 };
  }
  if (!isHolder(was) || !isHolder(is) || was.type !== is.type) return {};
  const found = is.scope.steps.map((step) => {
    const before = was.scope.steps.find(({ id }) => id === step.id);
    const own = stepPath(innerPath(is, path), step.id);
    return before === undefined ? {} : firstRoundsWithin(before, step, soFar, own);
  });
  return Object.assign({}, ...found);
}

/** The newest round that has begun, in whichever leg; 0 where there is none. `loop`: `tune[].rounds`. */
function newestRound({ recorded = [] }: RunSoFar, loop: string): number {
  const parts = parsePath(loop)!;
  const last = parts.length - 1;
  const rounds = recorded.map((path) => {
    const known = parsePath(path) ?? [];
    const isIts = parts.every(
      ({ id, leg }, at) => known[at]?.id === id && (at === last || (leg === null) === (known[at].leg === null)),
    );
    return isIts ? Number(known[last]!.leg) : 0;
  });
  return rounds.reduce((newest, round) => Math.max(newest, round), 0);
}

/** Whether it has in any leg. */
const hasEnded = ({ ended = [] }: RunSoFar, step: string): boolean =>
  ended.some((path) => path.replace(/\[[^\]]*\]/g, '[]') === step);

/** The first path of the record that is the step, or within it. `tune[].last` is that step in whichever leg. */
function begunAt({ recorded = [] }: RunSoFar, step: string): string | null {
  const exact = /\[[^\]]/.test(step);
  const found = recorded.find((path) => {
    const known = exact ? path : path.replace(/\[[^\]]*\]/g, '[]');
    return known === step || known.startsWith(`${step}.`) || known.startsWith(`${step}[`);
  });
  return found ?? null;
}
