/** What a step's code is given, for benchmarks that call it without the engine around it. */

import { createHash } from 'node:crypto';
import type { StepContext } from '../../activities/context.ts';
import type { Store } from '../../artifacts/store.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { RunEnvironment } from '../../plan/types.ts';

export interface BenchStep {
  readonly store: Store;
  readonly environment: RunEnvironment;
  readonly path: string;
  readonly seed: number;
  /** All that the result depends on: names the checkpoints from which a stopped bench goes on. */
  readonly identity: unknown;
}

/** Tells of progress on standard error, at most every few seconds, so that the figures alone stand on standard output. */
export function benchContext({ store, environment, path, seed, identity }: BenchStep): StepContext {
  let toldAt = 0;
  return {
    store,
    run: 'bench',
    path,
    seed,
    fingerprint: createHash('sha256')
      .update(canonicalJson([path, seed, identity]))
      .digest('hex'),
    environment,
    signal: new AbortController().signal,
    progress(message, share) {
      if (Date.now() - toldAt < 15_000) return;
      toldAt = Date.now();
      console.error(`${path}: ${message}${share === undefined ? '' : ` (${Math.round(100 * share)} %)`}`);
    },
    resumed: (fromStep) => console.error(`${path}: goes on from step ${fromStep}`),
    async notice(message) {
      console.error(message);
    },
  };
}
