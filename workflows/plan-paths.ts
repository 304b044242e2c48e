/** Which steps of a plan an operation is about. */

import { findStep, innerPath, innerScope, type PathPart, parsePath, stepPath, stepsOf } from '../plan/paths.ts';
import type { PlannedScope, PlannedStep } from '../plan/types.ts';

/** Steps as a person would look for them: `train`, `rounds[N].train`. */
export function stepPaths(scope: PlannedScope, within = ''): string[] {
  return stepsOf(scope).flatMap((step) => {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    return inner === null ? [path] : [path, ...stepPaths(inner, innerPath(step, path).replace(/\[\]$/, '[N]'))];
  });
}

/** Why no run of the plan can have the round or leg of a path, or why that is not a step; null where nothing of this holds. */
export function missingPart(scope: PlannedScope, path: string): string | null {
  const parts = parsePath(path) ?? [];
  for (const [at, { id, leg }] of parts.entries()) {
    if (leg === null) continue;
    const before = path.slice(0, lengthOf(parts.slice(0, at)));
    const step = findStep(scope, `${before}${id}`);
    const whole = `${before}${id}[${leg}]`;
    if (step?.type === 'repeat') {
      if (typeof step.max === 'number' && Number(leg) > step.max) {
        return `the loop ${id} has ${step.max === 1 ? 'one round' : `${step.max} rounds`} at most.`;
      }
    } else if (step?.type === 'fan-out' && 'matrix' in step.legs) {
      const names = step.legs.matrix.map(({ name }) => name);
      if (!names.includes(leg)) return `the legs of ${id} are ${listed(names)}.`;
    }
    if (step !== null && at === parts.length - 1 && findStep(scope, whole) === null && 'scope' in step) {
      const inner = step.scope.steps.map((one) => `${whole}.${one.id}`);
      return `that is a whole ${step.type === 'repeat' ? 'round' : 'leg'}. Name a step in it: ${listed(inner)}.`;
    }
  }
  return null;
}

const lengthOf = (parts: readonly PathPart[]): number =>
  parts.reduce((sum, { id, leg }) => sum + id.length + (leg === null ? 0 : leg.length + 2) + 1, 0);

const listed = (names: readonly string[]): string =>
  names.length > 12 ? `${names.slice(0, 12).join(', ')} and ${names.length - 12} more` : names.join(', ');

/** Id of the step of the root scope that the path is part of. */
export const rootStepOf = (path: string): string => /^[^.[]*/.exec(path)![0];

/** The step and all that need it, directly or not. */
export function dependentsOf(
  scope: { readonly steps: readonly Pick<PlannedStep, 'id' | 'needs'>[] },
  id: string,
): Set<string> {
  const found = new Set([id]);
  // Steps are sorted topologically.
  for (const step of scope.steps) if (step.needs.some((need) => found.has(need))) found.add(step.id);
  return found;
}
