/** A step's context for tests of activities: what it was told is kept to look at. */

import type { StepContext } from '../../activities/context.ts';
import type { Store } from '../../artifacts/store.ts';

export interface TestContext extends StepContext {
  readonly notices: string[];
  readonly messages: string[];
  abort(): void;
}

export function createTestContext(store: Store, changes: Partial<StepContext> = {}): TestContext {
  const notices: string[] = [];
  const messages: string[] = [];
  const controller = new AbortController();
  return {
    store,
    run: 'test-run',
    path: 'data',
    seed: 1,
    fingerprint: '0'.repeat(64),
    environment: { threads: 1, tensorflow: 'none', oneDnn: false, cpu: 'test', hardcase: '0', node: process.version },
    signal: controller.signal,
    progress: (message) => {
      messages.push(message);
    },
    resumed: () => undefined,
    notice: async (message) => {
      notices.push(message);
    },
    ...changes,
    notices,
    messages,
    abort: () => controller.abort(),
  };
}
