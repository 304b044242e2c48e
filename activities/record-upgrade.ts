/** Keeps in the run's record that its plan was changed while it went on, with the plan that it follows since. */

import { readBytes } from '../artifacts/codecs.ts';
import { addOperation, readRun, writeRunState } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { OperationRecord, Plan, PlannedScope, PlanUpgrade, RunFile } from '../plan/types.ts';
import { upgradedScope } from '../plan/upgrade.ts';
import type { ActivityDeps } from './attempt.ts';

export interface UpgradeRequest {
  readonly run: string;
  readonly operation: OperationRecord;
  /** Digests of the plan that the run followed so far, and of the changed file's. */
  readonly before: string;
  readonly filePlan: string;
  readonly file: RunFile;
  /** Steps of the root that had begun. */
  readonly begun: readonly string[];
}

/** Harmless when repeated. Answers the digest of the plan that the run follows. */
export async function recordUpgrade(
  { store }: ActivityDeps,
  { run, operation, before, filePlan, file, begun }: UpgradeRequest,
): Promise<string> {
  const [was, is] = [await loadPlan(store, before), await loadPlan(store, filePlan)];
  const root = upgradedScope(was.root, is.root, (id) => begun.includes(id), operation.from ?? {});
  const plan = await store.putObject(Buffer.from(canonicalJson({ ...is, root })));
  const upgrade: PlanUpgrade = { at: operation.at, before, plan, filePlan, begun, ...file };
  const earlier = (await readRun(store, run))?.state.upgrades ?? [];
  await writeRunState(store, run, { upgrades: [...earlier.filter(({ at }) => at !== upgrade.at), upgrade] });
  // Last, because who sent it waits for this.
  await addOperation(store, run, operation);
  return plan;
}

/** The root scope of a changed plan; null where the store does not have it, which waiting would not change. */
export async function findPlan(
  { store }: ActivityDeps,
  { planDigest }: { planDigest: string },
): Promise<PlannedScope | null> {
  return (await store.hasObject(planDigest)) ? (await loadPlan(store, planDigest)).root : null;
}

async function loadPlan(store: Store, digest: string): Promise<Plan> {
  return JSON.parse((await readBytes(store, 'plan', digest)).toString()) as Plan;
}
