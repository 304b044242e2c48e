/** What the probe saw of a training, as attempts: when each process began, where it went on, and when it was at which step. */

import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbeEntry } from './probe.ts';

export interface Attempt {
  readonly pid: number;
  /** The worker. */
  readonly parent: number;
  readonly beganAt: number;
  /** 0: from the beginning. */
  readonly resumedFrom: number;
  readonly exact: boolean;
  /** In order of time; the first is the first step that it did. */
  readonly steps: readonly { readonly at: number; readonly step: number }[];
}

/** Attempts that did a step, in order of their first one. */
export function attemptsIn(entries: readonly ProbeEntry[], totalSteps: number): Attempt[] {
  const byPid = new Map<number, ProbeEntry[]>();
  for (const entry of entries) byPid.set(entry.pid, [...(byPid.get(entry.pid) ?? []), entry]);
  return [...byPid.values()]
    .map((own): Attempt => {
      const { pid, parent, at } = own[0]!;
      const resumed = own.find((entry) => entry.type === 'resumed');
      const steps = own.flatMap((entry) =>
        entry.type === 'step' ? [{ at: entry.at, step: Math.round(entry.share * totalSteps) }] : [],
      );
      return { pid, parent, beganAt: at, resumedFrom: resumed?.step ?? 0, exact: resumed?.exact ?? true, steps };
    })
    .filter(({ steps }) => steps.length > 0)
    .sort((a, b) => a.steps[0]!.at - b.steps[0]!.at);
}

/** What of an attempt's training the next one does again, because it ended at `endedAt`. */
export function lossOf(attempt: Attempt, endedAt: number, next: Attempt): { steps: number; seconds: number } {
  const seen = attempt.steps.filter(({ at }) => at <= endedAt);
  const first = seen[0];
  const last = seen.at(-1);
  if (first === undefined || last === undefined) return { steps: 0, seconds: 0 };
  const stepsPerMs = last.at > first.at ? (last.step - first.step) / (last.at - first.at) : 0;
  const reached = last.step + stepsPerMs * (endedAt - last.at);
  const from = Math.max(next.resumedFrom, first.step - 1);
  return {
    steps: Math.max(0, Math.round(reached - next.resumedFrom)),
    seconds: Math.max(0, (endedAt - momentOf(seen, from, stepsPerMs)) / 1000),
  };
}

/** When the training was at the step, between the moments that were seen. */
function momentOf(seen: Attempt['steps'], step: number, stepsPerMs: number): number {
  const after = seen.findIndex((one) => one.step >= step);
  if (after < 0) {
    const last = seen.at(-1)!;
    return stepsPerMs > 0 ? last.at + (step - last.step) / stepsPerMs : last.at;
  }
  const next = seen[after]!;
  const before = seen[after - 1];
  if (before === undefined) return next.at;
  return before.at + ((step - before.step) / (next.step - before.step)) * (next.at - before.at);
}

export interface ProbeFile {
  readonly path: string;
  attempts(): Attempt[];
  /** The first attempt that is as the test says; throws with `what` after three minutes. */
  until(what: string, test: (attempt: Attempt) => boolean): Promise<Attempt>;
  /** The same, or null once `isOver`. */
  untilOver(what: string, test: (attempt: Attempt) => boolean, isOver: () => boolean): Promise<Attempt | null>;
}

const patienceMs = 180_000;

export function openProbeFile(path: string, totalSteps: number): ProbeFile {
  const attempts = (): Attempt[] => {
    if (!existsSync(path)) return [];
    // The last line may be under way.
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return attemptsIn(
      lines.map((line) => JSON.parse(line) as ProbeEntry),
      totalSteps,
    );
  };
  const untilOver: ProbeFile['untilOver'] = async (what, test, isOver) => {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const over = isOver();
      const found = attempts().find(test);
      if (found !== undefined || over) return found ?? null;
      if (Date.now() > deadline) throw new Error(`${what}: not within ${patienceMs / 1000} s.`);
      await sleep(20);
    }
  };
  return {
    path,
    attempts,
    until: async (what, test) => (await untilOver(what, test, () => false))!,
    untilOver,
  };
}
