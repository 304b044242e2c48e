/**
 * Rounds that take a moment only run in the workflow of their batch: a child workflow would cost more than their steps. A
 * longer round is a child, so that it has a history of its own and is where a run may change to another build.
 */

import { workflowInfo } from '@temporalio/workflow';
import { bodyOfRound } from '../plan/loop-body.ts';
import type { RoundResult } from '../plan/round-end.ts';
import { eventsOfChildRound, eventsOfStep } from '../plan/step-events.ts';
import type { PlannedScope } from '../plan/types.ts';
import { isOneCall } from './run-kind.ts';
import type { Loop } from './scope-messages.ts';

/** Who waits for the end of a round, to stop a worker or to change a build, does not notice it. */
const quickMs = 5_000;
/** Far below what Temporal suggests: what is held and tried again, and what is ordered, comes on top. */
const eventsMax = 2_800;

export class QuickRounds {
  readonly #joins: boolean;
  // A batch begins with its first round: that one has a beginning of its own already.
  #isQuick = true;

  /** `joins`: whether the workflow may run rounds itself. */
  constructor(joins: boolean) {
    this.#joins = joins;
  }

  /** One that was there already says nothing of how long a round takes. */
  ended({ reused }: RoundResult, ms: number): void {
    this.#isQuick = reused !== true && ms < quickMs;
  }

  /** Whether the next round may run in this workflow, and those up to `upTo` still have room as children. */
  mayJoin(loop: Loop, index: number, upTo: number): boolean {
    if (!this.#joins || !this.#isQuick) return false;
    const { scope } = bodyOfRound(loop, index);
    if (!isPlain(scope)) return false;
    const own = scope.steps.reduce((sum, step) => sum + eventsOfStep(step), 0);
    const later = (upTo - index) * eventsOfChildRound(loop);
    return workflowInfo().historyLength + own + later <= eventsMax;
  }
}

/** One activity a step: nobody is asked, and nothing is a workflow of its own. */
const isPlain = ({ steps, parts }: PlannedScope): boolean => parts === undefined && steps.every(isOneCall);
