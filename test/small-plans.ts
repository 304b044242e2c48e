/** Steps and plans for tests, with short waits; an expression is `cel('steps.a.value')`. */

import type { Form } from '../plan/form.ts';
import type {
  ActivityStep,
  ApproveStep,
  FanOutStep,
  GateStep,
  Json,
  PipelineStep,
  PlannedStep,
  RepeatStep,
  RunEnvironment,
  SearchStep,
} from '../plan/types.ts';

export const testEnvironment: RunEnvironment = {
  threads: 1,
  tensorflow: 'none',
  oneDnn: false,
  cpu: 'test',
  hardcase: 'test',
  node: process.version,
};

export const testQueuePrefix = 'test';

export const cel = (source: string): Json => ({ $: source });

const waits = { timeoutMs: 60_000, heartbeatMs: 3_000, retry: { max: 1, initialMs: 50, factor: 2, maxMs: 1_000 } };

type Changes<Step> = Partial<Omit<Step, 'type' | 'id'>>;

export function activity(id: string, kind: string, changes: Changes<ActivityStep> = {}): ActivityStep {
  return {
    type: 'activity',
    id,
    kind,
    version: 1,
    needs: [],
    with: {},
    queue: 'cpu',
    onFailure: 'hold',
    ...waits,
    ...changes,
  };
}

export function gate(id: string, changes: Changes<GateStep> = {}): GateStep {
  return { ...activity(id, 'review-labels'), ...changes, type: 'gate' };
}

export function approve(id: string, form: Form, changes: Changes<ApproveStep> = {}): ApproveStep {
  return { type: 'approve', kind: 'approve', version: 1, id, form, needs: [], with: {}, onFailure: 'hold', ...changes };
}

export function search(id: string, changes: Changes<SearchStep> = {}): SearchStep {
  return { ...activity(id, 'search-capacity', { queue: 'train' }), ...changes, type: 'search' };
}

export function fanOut(id: string, steps: readonly PlannedStep[], changes: Changes<FanOutStep> = {}): FanOutStep {
  return { type: 'fan-out', id, needs: [], legs: { forEach: [] }, concurrency: 100, scope: { steps }, ...changes };
}

/** The steps of another file, which has no params. */
export function imported(id: string, steps: readonly PlannedStep[], changes: Changes<PipelineStep> = {}): PipelineStep {
  return { type: 'pipeline', id, pipeline: id, needs: [], params: {}, outputs: {}, scope: { steps }, ...changes };
}

export function repeat(id: string, steps: readonly PlannedStep[], changes: Changes<RepeatStep> = {}): RepeatStep {
  return { type: 'repeat', id, needs: [], max: 1, carry: {}, next: {}, scope: { steps }, ...changes };
}
