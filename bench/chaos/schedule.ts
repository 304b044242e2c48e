/** What goes wrong, and when: a function of the seed alone. */

import { createRandom } from '../../detection/random.ts';
import type { HttpFault } from './http-proxy.ts';

/** Of the Temporal server. */
export type Client = 'worker 0' | 'worker 1' | 'command';

export type Mishap =
  | { readonly what: 'kill-worker'; readonly worker: number }
  /** SIGSTOP, and SIGCONT after `forMs`: above the heartbeat timeout its steps are given to the other one meanwhile. */
  | { readonly what: 'stop-worker'; readonly worker: number; readonly forMs: number }
  /** SIGKILL to `hardcase run`, which is typed again. */
  | { readonly what: 'kill-command' }
  | { readonly what: 'stop-command'; readonly forMs: number }
  | { readonly what: 'kill-temporal'; readonly forMs: number }
  /** Killed, and its database removed: what is open goes on from the record of the run. */
  | { readonly what: 'forget-temporal'; readonly forMs: number }
  | { readonly what: 'stop-temporal'; readonly forMs: number }
  | { readonly what: 'kill-minio'; readonly forMs: number }
  | { readonly what: 'stop-minio'; readonly forMs: number }
  /** Between one of them and the Temporal server. */
  | { readonly what: 'cut'; readonly whose: Client; readonly forMs: number }
  | { readonly what: 'slow'; readonly whose: Client; readonly ms: number; readonly forMs: number }
  /** Between all of them and the store. */
  | { readonly what: 'cut-store'; readonly forMs: number }
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

/** Most of a run that nothing disturbs, the start of the command included. */
const spanMs = 10_000;

export function scheduleOf(seed: number): Schedule {
  const random = createRandom(`chaos ${seed}`);
  const between = (low: number, high: number): number => Math.round(low + random.next() * (high - low));
  const store = seed % 2 === 0 ? 's3' : 'folder';
  const worker = () => random.int(2);
  const client = () => (['worker 0', 'worker 1', 'command'] as const)[random.int(3)]!;
  const kinds: (() => Mishap)[] = [
    () => ({ what: 'kill-worker', worker: worker() }),
    () => ({ what: 'kill-worker', worker: worker() }),
    () => ({ what: 'stop-worker', worker: worker(), forMs: between(500, 7_000) }),
    () => ({ what: 'kill-command' }),
    () => ({ what: 'stop-command', forMs: between(500, 7_000) }),
    () => ({ what: 'kill-temporal', forMs: between(0, 2_000) }),
    () => ({ what: 'stop-temporal', forMs: between(300, 4_000) }),
    () => ({ what: 'cut', whose: client(), forMs: between(200, 6_000) }),
    () => ({ what: 'slow', whose: client(), ms: between(20, 400), forMs: between(1_000, 5_000) }),
    () => ({ what: 'disk-full', worker: worker(), forMs: between(300, 3_000) }),
    () => ({
      what: 'clock',
      worker: worker(),
      // S3 refuses who is off by more than a quarter of an hour.
      byMs: (random.next() < 0.5 ? -1 : 1) * between(10_000, store === 's3' ? 600_000 : 7_200_000),
      forMs: between(2_000, 4_000),
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
      () => ({ what: 'cut-store', forMs: between(200, 4_000) }),
    );
  }
  const count = 2 + random.int(4);
  const usual = Array.from({ length: count }, () => ({
    atMs: between(300, spanMs),
    mishap: kinds[random.int(kinds.length)]!(),
  }));
  // Rare, because little else of the schedule is left to happen in what begins again; by numbers of its own, so that the
  // schedules of the log stay what they were.
  const rare = createRandom(`forget ${seed}`);
  const atMs = Math.round(2_000 + rare.next() * (spanMs - 2_000));
  const forgets = rare.next() < 0.12 ? [{ atMs, mishap: { what: 'forget-temporal', forMs: 200 } } as const] : [];
  const mishaps = [...usual, ...forgets].sort((a, b) => a.atMs - b.atMs);
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
