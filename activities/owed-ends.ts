/** What the record has of imported files that began, and whose `finally` did not. */

import { readStepRecord, readStepRecords } from '../artifacts/run-record.ts';
import { findStep, stepPath } from '../plan/paths.ts';
import type { Json } from '../plan/types.ts';
import type { ActivityDeps } from './attempt.ts';
import { loadPlan } from './run-control.ts';

type Values = { readonly [name: string]: Json };

/** Paths of the steps that import them, inner ones first. Those that are done are none. */
export async function findOwedEnds(
  deps: ActivityDeps,
  { run, planDigest }: { run: string; planDigest: string },
): Promise<readonly string[]> {
  const scope = await loadPlan(deps, { planDigest });
  const records = await readStepRecords(deps.store, run);
  const begun = new Set(records.map(({ path }) => path));
  const owed = records.flatMap(({ path, kind, state, with: params }) => {
    // One that was skipped before it began has no params.
    if (kind !== 'pipeline' || state === 'done' || params === undefined) return [];
    const step = findStep(scope, path);
    if (step?.type !== 'pipeline' || step.scope.finally === undefined) return [];
    return step.scope.finally.some(({ id }) => begun.has(stepPath(path, id))) ? [] : [path];
  });
  return owed.sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
}

/** What the steps of the file see: its params, and of its steps (`ids`) the outputs of those that were done. */
export async function loadOwedEnd(
  { store }: ActivityDeps,
  { run, path, ids }: { run: string; path: string; ids: readonly string[] },
): Promise<{ readonly params: Values; readonly made: { readonly [id: string]: Values } }> {
  const params = (await readStepRecord(store, run, path))?.with ?? {};
  const made: { [id: string]: Values } = {};
  for (const id of ids) {
    const record = await readStepRecord(store, run, stepPath(path, id));
    if (record?.state === 'done') made[id] = record.outputs ?? {};
  }
  return { params, made };
}
