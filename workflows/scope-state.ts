/** What a scope as a whole does now: it runs while any step runs, then is paused, waits or is held as some step is. */

import { condition, isCancellation, workflowInfo } from '@temporalio/workflow';
import { calmMs, lateEvents, stateMs } from './pace.ts';
import type { LiveState } from './scope-messages.ts';

export interface ScopeState {
  set(path: string, state: LiveState): void;
  /** Changes only a step that is there: a child's last signal may arrive after the child has ended. */
  update(path: string, state: LiveState): void;
  /** The step ended. */
  remove(path: string): void;
  /** How many steps and children run or will after a pause, without those that wait for people or are held. */
  running(): number;
  /** Stops publishing. */
  close(): void;
}

/**
 * `publish` is called for each change that lasts until the one before has been published. `isOneOfMany`: who hears of it
 * hears of as many as a hundred others.
 */
export function openScopeState(publish: (state: LiveState) => Promise<void>, isOneOfMany = false): ScopeState {
  const steps = new Map<string, LiveState>();
  let published: LiveState = 'running';
  let closed = false;

  const current = (): LiveState => {
    const states = new Set(steps.values());
    if (states.size === 0 || states.has('running')) return 'running';
    return (['paused', 'waiting'] as const).find((state) => states.has(state)) ?? 'held';
  };

  const keepPublishing = async () => {
    let told = 0;
    let lastTold = 0;
    for (;;) {
      await condition(() => closed || current() !== published);
      // What lasts no longer than this is told to nobody: late in a history each word of it counts.
      const { historyLength } = workflowInfo();
      if (Date.now() - lastTold > calmMs && historyLength < lateEvents) told = 0;
      const ms = stateMs(historyLength, current() === 'running', told, isOneOfMany);
      if (!closed && ms > 0) await condition(() => closed, ms);
      if (closed) return;
      if (current() === published) continue;
      published = current();
      told++;
      lastTold = Date.now();
      await publish(published);
    }
  };
  keepPublishing().catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });

  return {
    set: (path, state) => void steps.set(path, state),
    update: (path, state) => {
      if (steps.has(path)) steps.set(path, state);
    },
    remove: (path) => void steps.delete(path),
    running: () => [...steps.values()].filter((state) => state === 'running' || state === 'paused').length,
    close: () => {
      closed = true;
    },
  };
}
