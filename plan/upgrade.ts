/** A changed plan for a run that goes on: whether the change lies in its future, and the plan that the run follows then. */

import { begunAgain, type FirstRounds, firstRoundsWithin, mayBeginAgain, problemOfBeginning } from './begin-again.ts';
import { identityOf, placesOf, presentOf, same } from './compare-steps.ts';
import { changesRounds, fixedOf, withLaterRounds } from './later-rounds.ts';
import { stepsOf } from './paths.ts';
import type { PlannedScope, PlannedStep } from './types.ts';

/** How far a run is, as its root knows it. */
export interface RunSoFar {
  /** Of a step of the root. One that waits for the end of a pause has not begun. */
  hasBegun(id: string): boolean;
  hasEnded(id: string): boolean;
  /** Paths that have begun, by the run's record. Absent in the workflow, which does not know what is within its children. */
  readonly recorded?: readonly string[];
  /** Those of them that have ended. */
  readonly ended?: readonly string[];
}

export interface UpgradeProblem {
  /** Id of a step of the root; empty where the whole run is meant. */
  readonly step: string;
  /** A clause: `has begun, and its with.epochs changed`. */
  readonly why: string;
  /** Where in the step: `with.epochs`. */
  readonly places: readonly string[];
  /** Of the step within it that has begun: `tune[lr=0.1].train`. */
  readonly path?: string;
}

/** Why the run cannot follow the changed plan: all reasons, in the order of the steps. */
export function problemsOfUpgrade(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): UpgradeProblem[] {
  if (before.parts !== undefined || after.parts !== undefined) {
    const why = 'has so many steps that they run in parts, and parts that run cannot be changed';
    return [{ step: '', why, places: [] }];
  }
  const problems: UpgradeProblem[] = [];
  if (!same(before.concurrency, after.concurrency)) {
    const why = 'has entered its concurrency group, which cannot be changed any more';
    problems.push({ step: '', why, places: [] });
  }
  for (const was of stepsOf(before)) {
    if (!soFar.hasBegun(was.id)) continue;
    const problem = problemOfStep(was, stepOf(after, was.id), soFar);
    if (problem !== null) problems.push({ step: was.id, places: [], ...problem });
  }
  return problems;
}

/** A step that has begun, with what the changed plan has in its place. */
function problemOfStep(
  was: PlannedStep,
  is: PlannedStep | undefined,
  soFar: RunSoFar,
): (Pick<UpgradeProblem, 'why' | 'path'> & Partial<UpgradeProblem>) | null {
  const ended = soFar.hasEnded(was.id);
  const begun = ended ? 'has ended' : 'has begun';
  if (is === undefined) return { why: `${begun}, and the changed file has it no more` };
  if (!ended && mayBeginAgain(was, is)) return problemOfBeginning(was, is, soFar);
  if (was.type === 'repeat' && is.type === 'repeat' && !ended) {
    const places = placesOf(fixedOf(was), fixedOf(is));
    if (places.length > 0) {
      return { why: `${begun}, and its ${places.join(', ')} changed; only what later rounds do can`, places };
    }
    const open = is.needs.filter((id) => !was.needs.includes(id) && !soFar.hasEnded(id));
    if (open.length === 0) return null;
    return { why: `${begun}, and later rounds would read ${open.join(', ')}, which has not ended`, places: ['next'] };
  }
  // How an ended step waited, or was tried again, is history.
  const places = ended ? placesOf(identityOf(was), identityOf(is)) : placesOf(presentOf(was), presentOf(is));
  return places.length === 0 ? null : { why: `${begun}, and its ${places.join(', ')} changed`, places };
}

/**
 * The plan that the run follows from now on: what has begun stays as it was, but loops do something else from the round
 * that `from` names on, those within legs and files that begin again (`tune[].rounds`) too.
 */
export function upgradedScope(
  before: PlannedScope,
  after: PlannedScope,
  hasBegun: (id: string) => boolean,
  from: FirstRounds,
): PlannedScope {
  const follow = (is: PlannedStep): PlannedStep => {
    const was = stepOf(before, is.id);
    if (was === undefined) return is;
    if (!hasBegun(is.id)) return begunAgain(was, is, from);
    if (was.type !== 'repeat' || is.type !== 'repeat' || same(presentOf(was), presentOf(is))) return was;
    return withLaterRounds(was, is, from[is.id]);
  };
  const atEnd = after.finally?.map(follow);
  return { ...after, steps: after.steps.map(follow), ...(atEnd === undefined ? {} : { finally: atEnd }) };
}

/** Loops that have begun and not ended whose later rounds do something else. */
export function changedLoops(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): string[] {
  return after.steps.flatMap((is) => {
    const was = stepOf(before, is.id);
    if (was?.type !== 'repeat' || is.type !== 'repeat') return [];
    if (!soFar.hasBegun(is.id) || soFar.hasEnded(is.id)) return [];
    return changesRounds(was, is) || !same(was.max, is.max) ? [is.id] : [];
  });
}

/** Steps that have begun and not ended, and begin again, because what is within them changes. */
export function stepsBegunAgain(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): string[] {
  return stepsOf(before).flatMap((was) => {
    const is = stepOf(after, was.id);
    const isOpen = is !== undefined && soFar.hasBegun(was.id) && !soFar.hasEnded(was.id);
    return isOpen && mayBeginAgain(was, is) ? [was.id] : [];
  });
}

/** The first round that changes, of loops that have begun within steps that begin again, by the record. */
export function roundsWithin(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): FirstRounds {
  const again = stepsBegunAgain(before, after, soFar);
  return Object.assign({}, ...again.map((id) => firstRoundsWithin(stepOf(before, id)!, stepOf(after, id)!, soFar)));
}

/** Ids of steps of the root that the change adds, removes or gives other work. */
export function changedSteps(before: PlannedScope, after: PlannedScope): string[] {
  const ids = new Set([...stepsOf(before), ...stepsOf(after)].map(({ id }) => id));
  return [...ids].filter((id) => {
    const [was, is] = [stepOf(before, id), stepOf(after, id)];
    return was === undefined || is === undefined || !same(presentOf(was), presentOf(is));
  });
}

const stepOf = (scope: PlannedScope, id: string): PlannedStep | undefined =>
  stepsOf(scope).find((step) => step.id === id);
