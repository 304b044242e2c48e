/** What the record has of imported files that began, and whose `finally` did not, or was cut. */

import { readStepRecord, readStepRecords } from '../artifacts/run-record.ts';
import { findStep, isWithin, parsePath, stepPath } from '../plan/paths.ts';
import type { Ending, Json } from '../plan/types.ts';
import type { ActivityDeps } from './attempt.ts';
import { loadPlan } from './run-control.ts';

type Values = { readonly [name: string]: Json };

/** Paths of the steps that import them, inner ones first, within those of the root or of its `finally`. Those that are done are none. */
export async function findOwedEnds(
  deps: ActivityDeps,
  { run, planDigest, of }: { run: string; planDigest: string; of: 'steps' | 'finally' },
): Promise<readonly string[]> {
  const scope = await loadPlan(deps, { planDigest });
  const records = await readStepRecords(deps.store, run);
  const begun = new Set(records.map(({ path }) => path));
  const among = new Set((scope[of] ?? []).map(({ id }) => id));
  const owed = records.flatMap(({ path, kind, state, ending, with: params }): OwedEnd[] => {
    // One that was skipped before it began has no params.
    if (kind !== 'pipeline' || state === 'done' || params === undefined || !among.has(parsePath(path)?.[0]?.id ?? ''))
      return [];
    const step = findStep(scope, path);
    if (step?.type !== 'pipeline' || step.scope.finally === undefined) return [];
    const end = step.scope.finally.map(({ id }) => stepPath(path, id));
    return ending === undefined && end.some((one) => begun.has(one)) ? [] : [{ path, end }];
  });
  // A file within a cut end goes on as a step of that, and comes to its own end there.
  const isPart = (path: string) => owed.some(({ end }) => end.some((one) => isWithin(path, one)));
  const paths = owed.flatMap(({ path }) => (isPart(path) ? [] : [path]));
  return paths.sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
}

interface OwedEnd {
  readonly path: string;
  /** Paths of the steps of its `finally`. */
  readonly end: readonly string[];
}

/**
 * What the steps of the file see: its params, and of its steps (`ids`) the outputs of those that were done. Where its end was
 * cut, `ending` is how they ended; what they made was kept then.
 */
export async function loadOwedEnd(
  { store }: ActivityDeps,
  { run, path, ids }: { run: string; path: string; ids: readonly string[] },
): Promise<{ readonly params: Values; readonly made: { readonly [id: string]: Values }; readonly ending?: Ending }> {
  const { with: params = {}, ending } = (await readStepRecord(store, run, path)) ?? {};
  if (ending !== undefined) return { params, made: {}, ending };
  const made: { [id: string]: Values } = {};
  for (const id of ids) {
    const record = await readStepRecord(store, run, stepPath(path, id));
    if (record?.state === 'done') made[id] = record.outputs ?? {};
  }
  return { params, made };
}
