/** Runs the trials of a capacity search as far as their standings want it, and cancels those that lose meanwhile. */

import { CancellationScope, condition, isCancellation, workflowInfo } from '@temporalio/workflow';
import { searchEventsMax, trialsAtOnce } from '../plan/limits.ts';
import type { StepResult } from '../plan/types.ts';
import { type Reached, type Rung, standingsOf, type Wanted } from './halving.ts';
import type { Values } from './scope-messages.ts';

export interface TrialActions {
  /** Trains to the rung, or to the end where `rung` is the number of rungs; picks up where the trial stands. */
  run(trial: number, rung: number): Promise<StepResult>;
  /** How many of these, which run as far as is known here, no worker has taken yet. */
  waiting(trials: readonly number[]): Promise<number>;
  /** How many trials run, without those that are held. */
  running(): number;
  /** The trial is out for good, and nothing of it runs any more. */
  stopped(trial: number, rung: number, outputs: Values): Promise<void>;
}

/** What a search goes on from in a new history. */
export interface TrialsSoFar {
  /** [trial][rung], the last of which is the end; null where there is none yet. */
  readonly results: readonly (readonly (StepResult | null)[])[];
  /** Trials of which it was recorded that they are out. */
  readonly told: readonly number[];
}

export interface Renewal {
  /** Events of the history from which on it is time for a new one. */
  readonly renewAfter?: number;
  readonly before?: TrialsSoFar;
}

export interface EndedTrials {
  /** Trained to the end, in the order of the trials. */
  readonly ended: readonly StepResult[];
  readonly stopped: readonly { readonly trial: number; readonly outputs: Values }[];
}

interface RunningTrial {
  readonly rung: number;
  readonly scope: CancellationScope;
  cancelled: boolean;
}

export async function runTrialsByStanding(
  count: number,
  rungs: readonly Rung[],
  actions: TrialActions,
  { renewAfter = searchEventsMax, before = { results: [], told: [] } }: Renewal = {},
): Promise<EndedTrials | TrialsSoFar> {
  /** [trial][rung], the last of which is the end. */
  const results: (StepResult | undefined)[][] = Array.from({ length: count }, (_, trial) =>
    (before.results[trial] ?? []).map((result) => result ?? undefined),
  );
  const running = new Map<number, RunningTrial>();
  const told = new Set<number>(before.told);
  const failures: unknown[] = [];
  const work: Promise<void>[] = [];
  /** Trials that have ended, well or not, and so have left their worker to others; one did before a new history began. */
  let left = before.results.length > 0 ? 1 : 0;

  const start = (trial: number, rung: number): void => {
    const scope = new CancellationScope();
    const entry: RunningTrial = { rung, scope, cancelled: false };
    running.set(trial, entry);
    const keep = (result: StepResult): void => {
      results[trial]![rung] = result;
    };
    const ended = scope
      .run(() => actions.run(trial, rung))
      .then(keep, (error: unknown) => {
        // One that was cancelled because it lost has a checkpoint, and goes on from there should it be wanted again.
        if (!(entry.cancelled && isCancellation(error))) failures.push(error);
      });
    work.push(ended.then(() => leave(trial)));
  };
  const leave = (trial: number): void => {
    running.delete(trial);
    left++;
  };

  try {
    for (let seen = 0; ; ) {
      const freed = left - seen;
      seen = left;
      const { wanted, stopped } = standingsOf(rungs, results.map(reachedOf));
      for (const [trial, entry] of running) {
        if (entry.cancelled || wanted.some((one) => one.trial === trial && one.rung === entry.rung)) continue;
        entry.cancelled = true;
        entry.scope.cancel();
      }
      for (const [trial, rung] of stopped) {
        if (running.has(trial) || told.has(trial)) continue;
        told.add(trial);
        const outputs = results[trial]![rung]!.outputs;
        work.push(actions.stopped(trial, rung, outputs).catch((error: unknown) => void failures.push(error)));
      }
      const renewing = workflowInfo().historyLength > renewAfter && wanted.length > 0 && failures.length === 0;
      // Those that are held are tried again at once in the new history: a retry that comes meanwhile would be lost.
      if (renewing && actions.running() === 0) {
        for (const entry of running.values()) {
          entry.cancelled = true;
          entry.scope.cancel();
        }
        await Promise.all(work);
        if (failures.length > 0) throw failures[0];
        return soFar(results, told);
      }
      const startSome = (some: readonly Wanted[]): void => {
        for (const { trial, rung } of renewing ? [] : some) {
          if (running.size < trialsAtOnce && !running.has(trial) && failures.length === 0) start(trial, rung);
        }
      };
      startSome(wanted.filter(({ certain }) => certain));
      // What leads for the moment may lose yet, so it only gets workers that would have nothing to do.
      const uncertain = wanted.filter(({ certain, trial }) => !certain && !running.has(trial));
      if (uncertain.length > 0 && freed > 0 && !renewing) {
        const waiting = await actions.waiting([...running.keys()]);
        // What was reported meanwhile may have changed who is wanted.
        if (left === seen && waiting === 0) startSome(uncertain.slice(0, freed));
      }
      if (running.size === 0 && (wanted.length === 0 || failures.length > 0)) {
        await Promise.all(work);
        if (failures.length > 0) throw failures[0];
        return {
          // One that was ahead for a moment and trained to its end is out all the same: the choice must not hang on time.
          ended: results.flatMap((reached, trial) => (stopped.has(trial) ? [] : (reached[rungs.length] ?? []))),
          stopped: [...stopped]
            .sort(([a], [b]) => a - b)
            .map(([trial, rung]) => ({
              trial,
              outputs: results[trial]![rung]!.outputs,
            })),
        };
      }
      await condition(() => left > seen || (renewing && actions.running() === 0));
    }
  } finally {
    // A cancelled search ends when its trials have ended, so that nothing writes to the run afterwards.
    await CancellationScope.nonCancellable(() => Promise.all(work));
  }
}

/** Of all rungs but the newest only what standings are made of, because it must fit into one message. */
function soFar(results: readonly (readonly (StepResult | undefined)[])[], told: ReadonlySet<number>): TrialsSoFar {
  return {
    results: results.map((reached) =>
      Array.from(reached, (result, rung) => {
        if (result === undefined) return null;
        const { AP = 0, flops = 0, parameters = 0 } = result.outputs;
        return rung === reached.length - 1 ? result : { ...result, outputs: { AP, flops, parameters } };
      }),
    ),
    told: [...told],
  };
}

function reachedOf(results: readonly (StepResult | undefined)[]): (Reached | undefined)[] {
  return results.map((result) => result && (result.outputs as unknown as Reached));
}
