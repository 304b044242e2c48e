/** Calls of the activities that keep the run record: small, frequent, and tried until the store takes them. */

import { type ActivityOptions, scheduleActivity, workflowInfo } from '@temporalio/workflow';
import type { ApprovalRequest, OpenedApproval } from '../activities/approvals.ts';
import type { loadMade, loadSettled } from '../activities/endings.ts';
import type { BegunForeign, FinishedForeign } from '../activities/foreign-step.ts';
import type { GroupEntry } from '../activities/groups.ts';
import type { DecidedPage, DecidedPlace } from '../activities/load-decided.ts';
import type { EarlyPage } from '../activities/load-early.ts';
import type { WaitingNotice } from '../activities/notify-waiting.ts';
import type { loadOwedEnd } from '../activities/owed-ends.ts';
import type { UpgradeRequest } from '../activities/record-upgrade.ts';
import type { ReuseRoundsRequest } from '../activities/reuse-rounds.ts';
import type { ReusedSteps, ReuseRequest } from '../activities/reuse-steps.ts';
import type { AppendedBatches, OpenedGate } from '../activities/review-labels.ts';
import type { StepChange } from '../activities/run-control.ts';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import type { EarlyMessage } from '../artifacts/early-messages.ts';
import { recordCallsAtOnce } from '../plan/limits.ts';
import type { RoundResult } from '../plan/round-end.ts';
import type {
  Ending,
  Json,
  OperationRecord,
  PlannedScope,
  RunEnvironment,
  StepRequest,
  StepResult,
} from '../plan/types.ts';
import { type GroupTicket, queueName } from './messages.ts';
import type { LiveState, QueuedBatch, Values } from './scope-messages.ts';
import { Window } from './window.ts';

/** Activities for the interpreter's own use, by name. */
export interface ControlActivities {
  'open-run'(request: { run: string; planDigest: string }): Promise<RunEnvironment>;
  'load-plan'(request: { planDigest: string }): Promise<PlannedScope>;
  'record-run'(request: { run: string; state: LiveState }): Promise<void>;
  /** Of a file that begins, answers how it had ended where its `finally` was cut. */
  'record-step'(request: { run: string; change: StepChange }): Promise<Ending | undefined>;
  /** `more`: operations right after it. */
  'record-operation'(request: {
    run: string;
    operation: OperationRecord;
    more?: readonly OperationRecord[];
  }): Promise<void>;
  /** Keeps what came to gates that are not open yet also where the engine's loss does not touch it. */
  'keep-early'(request: { run: string; messages: readonly EarlyMessage[] }): Promise<void>;
  /** Page by page, too. */
  'load-early'(request: { run: string; from: string | null }): Promise<EarlyPage>;
  /** What people said to an earlier workflow of the run, page by page. */
  'load-decided'(request: { run: string; from: DecidedPlace | null }): Promise<DecidedPage>;
  /** Paths of steps whose files began and are not done, and whose ends did not begin or were cut; inner ones first. */
  'find-owed-ends'(request: { run: string; planDigest: string; of: 'steps' | 'finally' }): Promise<readonly string[]>;
  'load-owed-end'(request: { run: string; path: string; ids: readonly string[] }): ReturnType<typeof loadOwedEnd>;
  /** Keeps how the steps of a run or of a file ended, whose `finally` goes on in a new history, and what they made. */
  'keep-ending'(request: {
    run: string;
    path: string;
    ending: Ending;
    made: { readonly [id: string]: Values };
    isFirst: boolean;
  }): Promise<void>;
  'forget-ending'(request: { run: string; path: string }): Promise<void>;
  'load-made'(request: { run: string; path: string; from: number }): ReturnType<typeof loadMade>;
  /** Steps of a scope that have ended since then, or are held. */
  'load-settled'(request: {
    run: string;
    path: string;
    ids: readonly string[];
    since: string;
  }): ReturnType<typeof loadSettled>;
  /** Null where the store has no such plan. */
  'find-plan'(request: { planDigest: string }): Promise<PlannedScope | null>;
  /** Answers the digest of the plan that the run follows from now on. */
  'record-upgrade'(request: UpgradeRequest): Promise<string>;
  /** Takes back what is recorded of these steps of the root and all within them; `to` is the one that runs anew. */
  'reset-steps'(request: { run: string; to: string; ids: readonly string[] }): Promise<void>;
  'record-notice'(request: { run: string; message: string }): Promise<void>;
  /** Whether a worker polls the queue; where none does, the step's record says so. */
  'check-queue'(request: { run: string; path: string; kind: string; queue: string }): Promise<boolean>;
  'enter-group'(request: GroupEntry): Promise<void>;
  'tell-group'(request: { run: string; group: string; step?: { path: string; kind: string } }): Promise<void>;
  'is-running'(request: GroupTicket): Promise<boolean>;
  'begin-foreign'(request: { step: StepRequest; reuse: boolean }): Promise<BegunForeign>;
  'finish-foreign'(request: FinishedForeign): Promise<StepResult>;
  'open-approval'(request: ApprovalRequest): Promise<OpenedApproval>;
  'escalate-approval'(request: { run: string; path: string; to: readonly string[]; message: string }): Promise<void>;
  'close-approval'(request: { run: string; path: string; given: GivenAnswer | null; now: string }): Promise<Values>;
  'close-run'(request: { run: string; state: 'done' | 'failed' | 'cancelled'; error?: string }): Promise<void>;
  'count-images'(request: { selection: Json }): Promise<number>;
  /** How many of these steps no worker has taken yet. */
  'count-waiting'(request: { run: string; paths: readonly string[] }): Promise<number>;
  /** The result of the same work, where there is one. */
  'reuse-step'(request: StepRequest): Promise<StepResult | null>;
  /** The results of steps of a scope, as far as they are there. */
  'reuse-steps'(request: ReuseRequest): Promise<ReusedSteps>;
  /** What came of the next rounds of a loop, as far as all their steps are there. */
  'reuse-rounds'(request: ReuseRoundsRequest): Promise<readonly RoundResult[]>;
  /** Records the result of a step that is more than one activity. */
  'finish-step'(request: { step: StepRequest; result: StepResult }): Promise<StepResult>;
  'open-gate'(request: StepRequest): Promise<OpenedGate>;
  'notify-waiting'(request: WaitingNotice): Promise<void>;
  'append-decisions'(request: { run: string; batches: readonly QueuedBatch[] }): Promise<AppendedBatches>;
  'apply-decisions'(request: { step: StepRequest; ended: 'decided' | 'expired' | 'proceeded' }): Promise<StepResult>;
}

// Attempts without end: what they record must not be lost because a store was away for a day.
const options: ActivityOptions = {
  startToCloseTimeout: 3_600_000,
  heartbeatTimeout: 10_000,
  retry: { initialInterval: 1_000, backoffCoefficient: 2, maximumInterval: 30_000 },
};

// Of this workflow: each has modules of its own.
const calls = new Window(recordCallsAtOnce);

/** On the workflow's own queue unless another is named: where steps run, a long one, or very many, would keep it waiting. */
export async function control<Name extends keyof ControlActivities>(
  name: Name,
  request: Parameters<ControlActivities[Name]>[0],
  taskQueue = workflowInfo().taskQueue,
): Promise<Awaited<ReturnType<ControlActivities[Name]>>> {
  const room = calls.room();
  if (room !== null) await room;
  calls.enter();
  try {
    return await scheduleActivity<Awaited<ReturnType<ControlActivities[Name]>>>(name, [request], {
      ...options,
      taskQueue,
    });
  } finally {
    calls.leave();
  }
}

/** A queue of the same prefix as the workflow's own: `hardcase-workflows` and `cpu` give `hardcase-cpu`. */
export function siblingQueue(queue: string): string {
  const own = workflowInfo().taskQueue;
  const prefix = own.slice(0, own.length - queueName('', 'workflows').length);
  return queueName(prefix, queue);
}
