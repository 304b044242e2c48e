/** `matrix` and `forEach` in a compiled workflow: legs side by side, with a limit. */

import { ApplicationFailure, CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import { type Leg, legsOf } from '../../plan/legs.ts';
import type { FanOutStep, Json } from '../../plan/types.ts';
import { AbsentValueError } from '../../spec/expression.ts';
import { control } from '../control.ts';
import { inside } from '../inside.ts';
import { inPlaceOf } from '../run-child.ts';
import type { Values } from '../scope-messages.ts';
import { type Skip, Steps } from './steps.ts';
import { plain, plainValues, present, truth } from './values.ts';

/** What the steps of a leg see of it and of the legs around. */
export interface LegContext {
  readonly matrix?: Values;
}

export type LegsKind = 'matrix' | 'forEach';

export interface LegsOptions<Seen> {
  /** Largest number of legs that run at once; those that wait for people or are held do not count. */
  readonly limit: number;
  /** The leg is skipped where it does not hold. */
  readonly when?: (seen: Seen) => boolean;
}

/** Combinations of a matrix with the names that they have in paths; or the entries of a list. */
export type Legs = readonly (readonly [name: string, values: object])[] | readonly unknown[];

export function plannedLegs(kind: LegsKind, given: Legs | Skip, path: string): readonly Leg[] {
  if (kind === 'matrix') {
    return (given as readonly (readonly [string, object])[]).map(([name, values]) => ({
      name,
      names: { matrix: plain(values) },
    }));
  }
  try {
    return legsOf({ legs: { forEach: null } } as unknown as FanOutStep, path, plain(given));
  } catch (error) {
    throw ApplicationFailure.nonRetryable((error as Error).message, 'BadData');
  }
}

/** Answers `all` (an entry for each leg that was not skipped) and `legs`, how many those are. */
export async function runLegs<Seen extends object>(
  { path, kind }: { readonly path: string; readonly kind: LegsKind },
  legs: readonly Leg[],
  { limit, when }: LegsOptions<Seen>,
  { context, leg: around }: Pick<Steps, 'context' | 'leg'>,
  work: (steps: Steps, seen: Seen) => Promise<object | null>,
): Promise<Values> {
  const { run } = context;
  await control('record-step', { run, change: { path, kind, state: 'running', with: { legs: legs.length } } });

  const runLeg = async ({ name, names }: Leg, own: typeof context): Promise<Values | null> => {
    const legPath = `${path}[${name}]`;
    // Axes of a matrix around this one stay visible.
    const matrix = names.matrix === undefined ? around.matrix : { ...around.matrix, ...(names.matrix as Values) };
    const bindings = names.matrix === undefined ? names : { matrix: matrix! };
    const seen = Object.fromEntries(Object.entries(bindings).map(([key, value]) => [key, present(value, key)])) as Seen;
    const wanted = wants(when, seen);
    if (wanted !== true) {
      const error = wanted === false ? undefined : `It reads ${wanted.absent}, which is not there.`;
      await control('record-step', { run, change: { path: legPath, kind, state: 'skipped', error } });
      return null;
    }
    return inside(own, legPath, async (leg) => {
      const made = await work(new Steps(leg, { matrix }), seen);
      return made === null ? null : plainValues(made);
    });
  };

  const entries = await inPlaceOf(context, path, () =>
    inside(context, `${path}[]`, (own) => limited(legs, limit, own.state, (leg) => runLeg(leg, own))),
  );
  const all = entries.flatMap((values, at): Json[] => (values === null ? [] : [{ ...legs[at]!.names, ...values }]));
  const outputs = { legs: all.length };
  await control('record-step', { run, change: { path, kind, state: 'done', outputs } });
  return { ...outputs, all };
}

function wants<Seen>(when: ((seen: Seen) => boolean) | undefined, seen: Seen): boolean | { readonly absent: string } {
  try {
    return when === undefined || truth(when(seen));
  } catch (error) {
    if (error instanceof AbsentValueError) return { absent: error.reference };
    throw error;
  }
}

/** All of them to their end, also where one fails or all are cancelled, so that nothing is left behind. */
async function limited<Item, Result>(
  items: readonly Item[],
  limit: number,
  state: { running(): number },
  run: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Promise<Result>[] = [];
  try {
    for (const item of items) {
      await condition(() => state.running() < limit);
      results.push(run(item));
    }
  } finally {
    await CancellationScope.nonCancellable(() => Promise.allSettled(results));
  }
  const failures = (await Promise.allSettled(results)).flatMap((end) =>
    end.status === 'rejected' ? [end.reason as unknown] : [],
  );
  if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  return Promise.all(results);
}
