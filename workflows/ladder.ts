/** What happens while a gate waits for people: a reminder, an escalation, the end; all cancelled by the answer. */

import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';

/** When, by the workflow's clock; a rung that is absent does not come. */
export interface Rungs {
  readonly remindAt?: string;
  readonly escalateAt?: string;
  readonly expiresAt?: string;
}

export interface RungActs {
  remind(at: string): Promise<void>;
  escalate(at: string): Promise<void>;
  expire(): void;
}

/** Cancel the answer once people have answered. */
export function climbLadder({ remindAt, escalateAt, expiresAt }: Rungs, acts: RungActs): CancellationScope {
  const timers = new CancellationScope();
  const wait = () =>
    Promise.all([
      at(remindAt, (moment) => acts.remind(moment)),
      at(escalateAt, (moment) => acts.escalate(moment)),
      at(expiresAt, async () => acts.expire()),
    ]);
  timers.run(wait).catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });
  return timers;
}

/** A moment that has passed while nothing ran is made up for at once. */
async function at(moment: string | undefined, act: (moment: string) => Promise<void>): Promise<void> {
  if (moment === undefined) return;
  await sleep(Math.max(1, Date.parse(moment) - Date.now()));
  // What has begun to tell people is not cut short by their answer.
  await CancellationScope.nonCancellable(() => act(moment));
}

/** `4 h`, `1.5 d`. */
export function durationWords(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const) {
    if (ms >= size) return `${Number((ms / size).toFixed(1))} ${unit}`;
  }
  return `${Number((ms / 1_000).toFixed(1))} s`;
}
