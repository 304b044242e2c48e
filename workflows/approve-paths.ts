/** Which approve steps a plan has: also for commands, which must not load what runs in workflows alone. */

import { innerPath, innerScope, stepPath, stepsOf } from '../plan/paths.ts';
import type { PlannedScope } from '../plan/types.ts';

/** As a person would look for them: `ok`, `rounds[].ok`. */
export function approvePaths(scope: PlannedScope, within = ''): string[] {
  return stepsOf(scope).flatMap((step) => {
    const path = stepPath(within, step.id);
    if (step.type === 'approve') return [path];
    const inner = innerScope(step);
    return inner === null ? [] : approvePaths(inner, innerPath(step, path));
  });
}
