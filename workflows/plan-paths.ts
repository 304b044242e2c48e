/** Which steps of a plan an operation is about. */

import { innerPath, innerScope, stepPath, stepsOf } from '../plan/paths.ts';
import type { PlannedScope, PlannedStep } from '../plan/types.ts';

/** Steps as a person would look for them: `train`, `rounds[N].train`. */
export function stepPaths(scope: PlannedScope, within = ''): string[] {
  return stepsOf(scope).flatMap((step) => {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    return inner === null ? [path] : [path, ...stepPaths(inner, innerPath(step, path).replace(/\[\]$/, '[N]'))];
  });
}

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
