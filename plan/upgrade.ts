/** A changed plan for a run that goes on: whether the change lies in its future, and the plan that the run follows then. */

import {
  begunAgain,
  type FirstRounds,
  firstRoundsWithin,
  mayBeginAgain,
  problemOfBeginning,
  problemOfMax,
} from './begin-again.ts';
import { identityOf, placesOf, presentOf, same } from './compare-steps.ts';
import { changesRounds, fixedOf, withLaterRounds } from './later-rounds.ts';
import { hasEnd, stepsOf } from './paths.ts';
import { partsOfScope } from './step-events.ts';
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

type Problem = Pick<UpgradeProblem, 'why' | 'path'> & Partial<UpgradeProblem>;

/** Why the run cannot follow the changed plan: all reasons, in the order of the steps. */
export function problemsOfUpgrade(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): UpgradeProblem[] {
  const problems: UpgradeProblem[] = [];
  if (before.parts === undefined && after.parts !== undefined) {
    const why = 'would have so many steps that they run in parts, and has begun with all of them in one';
    problems.push({ step: '', why, places: [] });
  }
  const restarted = before.parts === undefined ? [] : stepsOfChangedParts(before, after);
  if (!same(before.concurrency, after.concurrency)) {
    const why = 'has entered its concurrency group, which cannot be changed any more';
    problems.push({ step: '', why, places: [] });
  }
  for (const was of stepsOf(before)) {
    if (!soFar.hasBegun(was.id)) continue;
    const is = stepOf(after, was.id);
    const problem =
      problemOfStep(was, is, soFar) ?? (restarted.includes(was.id) ? problemInPart(was, is!, soFar) : null);
    if (problem !== null) problems.push({ step: was.id, places: [], ...problem });
  }
  return problems;
}

/** What else speaks against a step that has begun in a part that begins again. */
function problemInPart(was: PlannedStep, is: PlannedStep, soFar: RunSoFar): Problem | null {
  if (soFar.hasEnded(was.id)) return null;
  if (hasEnd(was)) {
    return { why: 'has begun, and has a finally of its own, which would run, because its part begins again' };
  }
  if (was.type !== 'repeat' || is.type !== 'repeat' || same(was.max, is.max)) return null;
  const [why, places] = problemOfMax(is, is.id, soFar);
  return why === null ? null : { why: `has begun, ${why}`, places };
}

/** A step that has begun, with what the changed plan has in its place. */
function problemOfStep(was: PlannedStep, is: PlannedStep | undefined, soFar: RunSoFar): Problem | null {
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

/** Steps that have begun and not ended, and begin again, because what is within them changes, or a step of their part. */
export function stepsBegunAgain(before: PlannedScope, after: PlannedScope, soFar: RunSoFar): string[] {
  if (before.parts !== undefined) {
    return stepsOfChangedParts(before, after).filter((id) => soFar.hasBegun(id) && !soFar.hasEnded(id));
  }
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

/** Ids of the steps of all parts that the plan after does not have at the same place. Those that have begun begin again. */
export function stepsOfChangedParts(before: PlannedScope, after: PlannedScope): string[] {
  const now = partsOfScope(after);
  return partsOfScope(before).flatMap((part, at) => (samePart(part, now[at]) ? [] : part.map(({ id }) => id)));
}

/** Whether a part may go on, or stay as it ended. */
export const samePart = (was: readonly PlannedStep[], is: readonly PlannedStep[] | undefined): boolean =>
  is !== undefined && was.length === is.length && was.every((step, at) => same(presentOf(step), presentOf(is[at]!)));

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
