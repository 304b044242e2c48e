/** A changed plan for a run that goes on: whether the change lies in its future, and the plan that the run follows then. */

import { canonicalJson } from './canonical.ts';
import { bodyOfRound } from './loop-body.ts';
import { stepsOf } from './paths.ts';
import type { LoopBody, PlannedScope, PlannedStep, RepeatStep } from './types.ts';

/** How far a run is, as its root knows it. */
export interface RunSoFar {
  /** Of a step of the root. One that waits for the end of a pause has not begun. */
  hasBegun(id: string): boolean;
  hasEnded(id: string): boolean;
}

export interface UpgradeProblem {
  /** Id of a step of the root; empty where the whole run is meant. */
  readonly step: string;
  /** A clause: `has begun, and its with.epochs changed`. */
  readonly why: string;
  /** Where in the step: `with.epochs`. */
  readonly places: readonly string[];
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
): { readonly why: string; readonly places?: readonly string[] } | null {
  const ended = soFar.hasEnded(was.id);
  const begun = ended ? 'has ended' : 'has begun';
  if (is === undefined) return { why: `${begun}, and the changed file has it no more` };
  if (was.type === 'repeat' && is.type === 'repeat' && !ended) {
    const fixed = (step: RepeatStep) => ({ id: step.id, when: step.when, carry: step.carry });
    const places = placesOf(fixed(was), fixed(is));
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
 * that `from` names on.
 */
export function upgradedScope(
  before: PlannedScope,
  after: PlannedScope,
  hasBegun: (id: string) => boolean,
  from: { readonly [loop: string]: number },
): PlannedScope {
  const follow = (is: PlannedStep): PlannedStep => {
    const was = stepOf(before, is.id);
    if (was === undefined) return is;
    if (!hasBegun(is.id)) return same(was, is) ? was : is;
    if (was.type !== 'repeat' || is.type !== 'repeat' || same(presentOf(was), presentOf(is))) return was;
    const { max, needs, perBatch } = is;
    const next = { ...was, max, needs, ...(perBatch === undefined ? {} : { perBatch }) };
    const first = from[is.id];
    if (first === undefined || !changesRounds(was, is)) return next;
    return { ...next, bodies: [...(was.bodies ?? []), ...bodiesFrom(is, first)] };
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

const changesRounds = (was: RepeatStep, is: RepeatStep): boolean => !same(newestBody(was), newestBody(is), ['from']);

const newestBody = (step: RepeatStep): LoopBody => bodyOfRound(step, Number.POSITIVE_INFINITY);

/** What a loop does from a round on. The plan of a file has one body for all; that of a fork has others behind. */
const bodiesFrom = (step: RepeatStep, first: number): LoopBody[] => [
  { ...bodyOfRound(step, first), from: first },
  ...(step.bodies?.filter(({ from }) => from > first) ?? []),
];

/** A loop as its newest body has it: what a file says knows nothing of rounds before. */
function presentOf(step: PlannedStep): object {
  if (step.type !== 'repeat') return step;
  const { bodies: _, ...plain } = step;
  const { from: __, ...body } = newestBody(step);
  return { ...plain, ...body };
}

/** What says how a step waits, where it runs and how often it is tried: no part of what it makes. */
const waits = ['needs', 'timeoutMs', 'heartbeatMs', 'retry', 'queue', 'onFailure', 'group', 'concurrency', 'perBatch'];

/** What a step and the steps inside it make. */
function identityOf(step: PlannedStep): object {
  const plain: { [key: string]: unknown } = { ...presentOf(step) };
  for (const name of waits) delete plain[name];
  const scope = 'scope' in step ? (plain.scope as PlannedScope) : null;
  if (scope !== null) {
    const atEnd = scope.finally?.map(identityOf);
    plain.scope = { ...scope, steps: scope.steps.map(identityOf), ...(atEnd && { finally: atEnd }) };
  }
  return plain;
}

function same(a: unknown, b: unknown, without: readonly string[] = []): boolean {
  return placesOf(a, b).every((place) => without.includes(place));
}

/** Where two values differ: `with.epochs`, `scope.steps.train.with.epochs`; at most three places. */
function placesOf(a: unknown, b: unknown): string[] {
  const places: string[] = [];
  const compare = (was: unknown, is: unknown, place: string): void => {
    if (places.length > 3 || text(was) === text(is)) return;
    const [old, now] = [partsOf(was), partsOf(is)];
    if (old === null || now === null) {
      places.push(place);
      return;
    }
    for (const name of new Set([...old.keys(), ...now.keys()])) {
      compare(old.get(name), now.get(name), place === '' ? name : `${place}.${name}`);
    }
  };
  compare(a, b, '');
  return places.length > 3 ? [...places.slice(0, 3), 'and more'] : places;
}

const text = (value: unknown): string => (value === undefined ? '' : canonicalJson(value));

/** Members by name, steps of a list by id; null for what is compared as one. */
function partsOf(value: unknown): Map<string, unknown> | null {
  if (Array.isArray(value)) {
    const isSteps =
      value.length > 0 && value.every((item) => typeof item === 'object' && item !== null && 'id' in item);
    return isSteps ? new Map(value.map((item: { id: string }) => [item.id, item])) : null;
  }
  if (typeof value !== 'object' || value === null || '$' in value || '$text' in value) return null;
  return new Map(Object.entries(value));
}
