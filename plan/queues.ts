/** Queues that the steps of a plan name, so that the one worker of a laptop serves them too. */

import { stepsOf } from './paths.ts';
import type { PlannedScope, PlannedStep } from './types.ts';

/** Without those of programs that are not ours. */
export function queuesOf(scope: PlannedScope): string[] {
  const own = (step: PlannedStep): string[] => {
    if ('scope' in step) return queuesOf(step.scope);
    return step.type === 'approve' || step.type === 'foreign' ? [] : [step.queue];
  };
  return [...new Set(stepsOf(scope).flatMap(own))];
}
