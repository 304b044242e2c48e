/** Calls of the activities that keep the run record: small, frequent, and tried until the store takes them. */

import { type ActivityOptions, scheduleActivity, workflowInfo } from '@temporalio/workflow';
import type { Json, PlannedScope, RunEnvironment, StepRecord, StepRequest, StepResult } from '../plan/types.ts';
import { queueName } from './messages.ts';
import type { LiveState, QueuedBatch } from './scope-messages.ts';

/** A change of a step's record that the workflow decides: it gave up, was skipped, a loop began or ended. */
export interface StepChange extends Pick<StepRecord, 'path' | 'kind' | 'state'> {
  readonly error?: string;
  readonly outputs?: { readonly [name: string]: Json };
  readonly with?: { readonly [name: string]: Json };
  readonly reused?: boolean;
}

/** What `open-gate` found: the result of earlier work, or how many decisions people must make. */
export type OpenedGate =
  | { readonly result: StepResult }
  | { readonly undecided: number; readonly remindMs?: number; readonly expiresAt?: string };

/** What became of a batch of decisions. */
export interface AppendedBatch {
  readonly undecided: number;
  readonly refused: readonly { readonly candidateId: string; readonly why: string }[];
}

/** Activities for the interpreter's own use, by name. */
export interface ControlActivities {
  'open-run'(request: { run: string; planDigest: string }): Promise<RunEnvironment>;
  'load-plan'(request: { planDigest: string }): Promise<PlannedScope>;
  'record-run'(request: { run: string; state: LiveState }): Promise<void>;
  'record-step'(request: { run: string; change: StepChange }): Promise<void>;
  'record-notice'(request: { run: string; message: string }): Promise<void>;
  'close-run'(request: { run: string; state: 'done' | 'failed' | 'cancelled'; error?: string }): Promise<void>;
  'count-images'(request: { selection: Json }): Promise<number>;
  /** The result of the same work, where there is one. */
  'reuse-step'(request: StepRequest): Promise<StepResult | null>;
  /** Records the result of a step that is more than one activity. */
  'finish-step'(request: { step: StepRequest; result: StepResult }): Promise<StepResult>;
  'open-gate'(request: StepRequest): Promise<OpenedGate>;
  'append-decisions'(request: { run: string; batch: QueuedBatch }): Promise<AppendedBatch>;
  'apply-decisions'(request: { step: StepRequest; ended: 'decided' | 'expired' }): Promise<StepResult>;
}

const minuteMs = 60_000;

// Attempts without end: what they record must not be lost because a store was away for a day.
const options: ActivityOptions = {
  startToCloseTimeout: 30 * minuteMs,
  heartbeatTimeout: 15_000,
  retry: { initialInterval: 1_000, backoffCoefficient: 2, maximumInterval: 30_000 },
};

export async function control<Name extends keyof ControlActivities>(
  name: Name,
  request: Parameters<ControlActivities[Name]>[0],
): Promise<Awaited<ReturnType<ControlActivities[Name]>>> {
  return scheduleActivity<Awaited<ReturnType<ControlActivities[Name]>>>(name, [request], {
    ...options,
    taskQueue: siblingQueue('cpu'),
  });
}

/** A queue of the same prefix as the workflow's own: `hardcase-workflows` and `cpu` give `hardcase-cpu`. */
export function siblingQueue(queue: string): string {
  const own = workflowInfo().taskQueue;
  const prefix = own.slice(0, own.length - queueName('', 'workflows').length);
  return queue === 'cpu' || queue === 'train' ? queueName(prefix, queue) : queue;
}
