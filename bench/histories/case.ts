/** What a case of the benchmark is: a run of steps that do nothing, and what people do to it meanwhile. */

import type { WorkflowHandle } from '@temporalio/client';
import type { Store } from '../../artifacts/store.ts';
import type { ActivityStep, FanOutStep, Json, PlannedScope, PlannedStep, RepeatStep } from '../../plan/types.ts';

export interface Case {
  readonly about: string;
  readonly steps: PlannedScope['steps'];
  /** Steps that take what must lie in the store first. */
  readonly prepared?: (store: Store) => Promise<PlannedScope['steps']>;
  /** What people do meanwhile. */
  readonly people?: (handle: WorkflowHandle, store: Store) => Promise<void>;
}

export const step = (id: string, kind: string, parameters: { readonly [name: string]: Json } = {}): ActivityStep => ({
  type: 'activity',
  id,
  kind,
  version: 1,
  needs: [],
  with: parameters,
  queue: 'cpu',
  timeoutMs: 600_000,
  heartbeatMs: 60_000,
  retry: { max: 1, initialMs: 50, factor: 2, maxMs: 1_000 },
  onFailure: 'hold',
});

export const legs = (id: string, of: FanOutStep['legs'], kind = 'make'): FanOutStep => {
  const value: Json = { $: 'matrix' in of ? 'matrix.a' : 'item' };
  return { type: 'fan-out', id, needs: [], legs: of, concurrency: 100, scope: { steps: [step('', kind, { value })] } };
};

export const repeat = (max: number, steps: readonly PlannedStep[], changes: Partial<RepeatStep> = {}): RepeatStep => ({
  type: 'repeat',
  id: 'rounds',
  needs: [],
  max,
  carry: {},
  next: {},
  scope: { steps },
  ...changes,
});

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A run whose plan is fetched from the store takes nothing before. */
export async function planIsThere(handle: WorkflowHandle): Promise<void> {
  while (!(await handle.describe()).raw.pendingChildren?.length) await pause(200);
}

/** Sends again where the history that it was sent to may just have ended, until it is refused as one too many. */
export async function untilTaken(send: () => Promise<object>, tooMany: string): Promise<void> {
  const taken = () =>
    send().then(
      () => true,
      (error: { readonly cause?: Error }) => error.cause?.message.includes(tooMany) ?? false,
    );
  while (!(await taken())) await pause(200);
}
