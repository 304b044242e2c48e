/** What goes wrong, and when: a function of the seed alone. */

import { createRandom } from '../../detection/random.ts';
import type { HttpFault } from './http-proxy.ts';

export type Mishap =
  | { readonly what: 'kill-worker'; readonly worker: number }
  /** SIGSTOP, and SIGCONT after `forMs`: above the heartbeat timeout its steps are given to the other one meanwhile. */
  | { readonly what: 'stop-worker'; readonly worker: number; readonly forMs: number }
  | { readonly what: 'kill-temporal'; readonly forMs: number }
  | { readonly what: 'stop-temporal'; readonly forMs: number }
  | { readonly what: 'kill-minio'; readonly forMs: number }
  | { readonly what: 'stop-minio'; readonly forMs: number }
  /** Between a worker and the Temporal server, or between all workers and the store. */
  | { readonly what: 'cut'; readonly where: 'temporal' | 'store'; readonly worker: number; readonly forMs: number }
  | {
      readonly what: 'slow';
      readonly where: 'temporal';
      readonly worker: number;
      readonly ms: number;
      readonly forMs: number;
    }
  | { readonly what: 's3'; readonly fault: HttpFault; readonly forMs: number }
  | { readonly what: 'disk-full'; readonly worker: number; readonly forMs: number }
  | { readonly what: 'clock'; readonly worker: number; readonly byMs: number; readonly forMs: number }
  /** Another garbage collection of the store, without grace for what is younger than `graceMs`. */
  | { readonly what: 'collect'; readonly graceMs: number };

export interface Schedule {
  readonly seed: number;
  readonly store: 'folder' | 's3';
  readonly mishaps: readonly { readonly atMs: number; readonly mishap: Mishap }[];
  /** The decisions of these gates are sent before the gates open. */
  readonly early: readonly boolean[];
  /** How often every decision is sent: as an update, a signal, and by another sender at the same time. */
  readonly repeats: number;
  /** Two commands start the run at the same time. */
  readonly startedTwice: boolean;
}

/** Most of a run that nothing disturbs. */
const spanMs = 9_000;

export function scheduleOf(seed: number): Schedule {
  const random = createRandom(`chaos ${seed}`);
  const between = (low: number, high: number): number => Math.round(low + random.next() * (high - low));
  const store = seed % 2 === 0 ? 's3' : 'folder';
  const worker = () => random.int(2);
  const kinds: (() => Mishap)[] = [
    () => ({ what: 'kill-worker', worker: worker() }),
    () => ({ what: 'kill-worker', worker: worker() }),
    () => ({ what: 'stop-worker', worker: worker(), forMs: between(500, 7_000) }),
    () => ({ what: 'kill-temporal', forMs: between(0, 2_000) }),
    () => ({ what: 'stop-temporal', forMs: between(300, 4_000) }),
    () => ({ what: 'cut', where: 'temporal', worker: worker(), forMs: between(200, 6_000) }),
    () => ({ what: 'slow', where: 'temporal', worker: worker(), ms: between(20, 400), forMs: between(1_000, 5_000) }),
    () => ({ what: 'disk-full', worker: worker(), forMs: between(300, 3_000) }),
    // S3 refuses who is off by more than a quarter of an hour.
    () => ({
      what: 'clock',
      worker: worker(),
      byMs: between(-1, 1) * (store === 's3' ? 600_000 : 7_200_000),
      forMs: 3_000,
    }),
    () => ({ what: 'collect', graceMs: 60_000 }),
  ];
  if (store === 's3') {
    const faults: readonly HttpFault[] = ['500', '503', 'slow', 'short', 'lost-answer'];
    kinds.push(
      () => ({ what: 's3', fault: faults[random.int(faults.length)]!, forMs: between(500, 4_000) }),
      () => ({ what: 's3', fault: faults[random.int(faults.length)]!, forMs: between(500, 4_000) }),
      () => ({ what: 'kill-minio', forMs: between(0, 2_000) }),
      () => ({ what: 'stop-minio', forMs: between(300, 3_000) }),
      () => ({ what: 'cut', where: 'store', worker: 0, forMs: between(200, 4_000) }),
    );
  }
  const count = 2 + random.int(4);
  const mishaps = Array.from({ length: count }, () => ({
    atMs: between(300, spanMs),
    mishap: kinds[random.int(kinds.length)]!(),
  })).sort((a, b) => a.atMs - b.atMs);
  return {
    seed,
    store,
    mishaps,
    early: [0, 1, 2].map(() => random.next() < 0.4),
    repeats: 1 + random.int(3),
    startedTwice: random.next() < 0.5,
  };
}

/** `1.2 s kill-worker 1`: for the log. */
export function mishapText({ atMs, mishap: { what, ...rest } }: Schedule['mishaps'][number]): string {
  return `${(atMs / 1000).toFixed(1)} s ${[what, ...Object.values(rest)].join(' ')}`;
}
