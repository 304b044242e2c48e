/** Planned steps beside each other: what they make, and where they differ. */

import { canonicalJson } from './canonical.ts';
import { bodyOfRound } from './loop-body.ts';
import type { LoopBody, PlannedScope, PlannedStep, RepeatStep } from './types.ts';

export const newestBody = (step: RepeatStep): LoopBody => bodyOfRound(step, Number.POSITIVE_INFINITY);

/** Loops as their newest body has them, those within the step too: what a file says knows nothing of rounds before. */
export function presentOf(step: PlannedStep): object {
  if (step.type === 'repeat') {
    const { bodies: _, ...plain } = step;
    const { from: __, ...body } = newestBody(step);
    return { ...plain, ...body, scope: presentScope(body.scope) };
  }
  return 'scope' in step ? { ...step, scope: presentScope(step.scope) } : step;
}

export function presentScope(scope: PlannedScope): object {
  const atEnd = scope.finally?.map(presentOf);
  return { ...scope, steps: scope.steps.map(presentOf), ...(atEnd && { finally: atEnd }) };
}

/** Steps, and nothing else, by what each list of a plan has in it; an empty list is none. */
export const isSteps = (value: unknown): value is readonly PlannedStep[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((item) => typeof item === 'object' && item !== null && 'id' in item);

/** What says how a step waits, where it runs and how often it is tried: no part of what it makes. */
const waits = ['needs', 'timeoutMs', 'heartbeatMs', 'retry', 'queue', 'onFailure', 'group', 'concurrency', 'perBatch'];

/** What a step and the steps inside it make. */
export function identityOf(step: PlannedStep): object {
  const plain: { [key: string]: unknown } = { ...presentOf(step) };
  for (const name of waits) delete plain[name];
  const scope = 'scope' in step ? (plain.scope as PlannedScope) : null;
  if (scope !== null) {
    const atEnd = scope.finally?.map(identityOf);
    plain.scope = { ...scope, steps: scope.steps.map(identityOf), ...(atEnd && { finally: atEnd }) };
  }
  return plain;
}

export function same(a: unknown, b: unknown, without: readonly string[] = []): boolean {
  return placesOf(a, b).every((place) => without.includes(place));
}

/** Where two values differ: `with.epochs`, `steps.train.with.epochs`; at most three places. */
export function placesOf(a: unknown, b: unknown): string[] {
  const places: string[] = [];
  const compare = (was: unknown, is: unknown, place: string): void => {
    if (places.length > 3 || text(was) === text(is)) return;
    const [old, now] = [partsOf(was), partsOf(is)];
    if (old === null || now === null) {
      places.push(place);
      return;
    }
    for (const name of new Set([...old.keys(), ...now.keys()])) {
      // A step's own steps stand in its scope, which no file knows of.
      const inner = name === 'scope' ? place : place === '' ? name : `${place}.${name}`;
      compare(old.get(name), now.get(name), inner);
    }
  };
  compare(a, b, '');
  return places.length > 3 ? [...places.slice(0, 3), 'and more'] : places;
}

const text = (value: unknown): string => (value === undefined ? '' : canonicalJson(value));

/** Members by name, steps of a list by id; null for what is compared as one. */
function partsOf(value: unknown): Map<string, unknown> | null {
  if (Array.isArray(value)) return isSteps(value) ? new Map(value.map((step) => [step.id, step])) : null;
  if (typeof value !== 'object' || value === null || '$' in value || '$text' in value) return null;
  return new Map(Object.entries(value));
}
