/** Starts the workflow of a run, with the orders that an earlier one of it left. */

import type { WorkflowHandle } from '@temporalio/client';
import { listApprovals } from '../artifacts/approval-record.ts';
import { hasEarlyMessages } from '../artifacts/early-messages.ts';
import { listGates } from '../artifacts/gate-record.ts';
import { addNotice, readOperations, readRun, writeRunState } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { renewAfterEvents, wornEvents } from '../plan/limits.ts';
import type { Build, OperationRecord, Plan, RunHeader } from '../plan/types.ts';
import { queueName, type ResetMessage, type RunArguments, scopeBytesMax, workflowIdOf } from '../workflows/messages.ts';
import { claimRun } from './claim-run.ts';
import { connectTemporal, type TemporalConnection } from './connect.ts';
import { isNotFound } from './open-workflow.ts';
import { ordersOf } from './operations.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

/** Starts the workflow where the server has none of the run; else joins it. */
export async function startWorkflow(
  settings: Settings,
  store: Store,
  temporal: TemporalConnection,
  header: RunHeader,
  plan: Plan,
  reset?: OperationRecord,
): Promise<WorkflowHandle> {
  const existing = temporal.client.workflow.getHandle(workflowIdOf(header.run));
  const state = await existing.describe().then(
    ({ status }) => status.name,
    (error: unknown) => (isNotFound(error) ? ('forgotten' as const) : null),
  );
  const record = await readRun(store, header.run);
  if (state === 'RUNNING') {
    if (record === null || !isFinal(record.state.state)) return existing;
    // Its last word is recorded, and the worker was stopped before it could end: it would take no orders, and run nothing.
    await existing.terminate('The run had ended, and begins again.').catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  if (state === 'forgotten' && record?.state.startedAt !== undefined && !isFinal(record.state.state)) {
    await addNotice(store, header.run, forgottenWords(new Date().toISOString()));
  }
  // The record of an earlier attempt would otherwise end the following before the new one writes its own.
  const again = record !== null && isFinal(record.state.state);
  const anew = again ? ({ state: 'pending', endedAt: undefined, error: undefined } as const) : {};
  await writeRunState(store, header.run, { ...anew, ...(await buildHere(temporal)) });
  const operations = await readOperations(store, header.run);
  const orders = ordersOf(reset === undefined ? operations : [...operations, reset]);
  const scopeBytes = Buffer.byteLength(canonicalJson(plan.root));
  const argument: RunArguments = {
    run: header.run,
    pipeline: header.pipeline,
    planDigest: header.planDigest,
    seed: plan.seed,
    renewAfter: renewAfterEvents,
    wornAfter: wornEvents,
    ...(scopeBytes > scopeBytesMax ? {} : { scope: plan.root }),
    ...(orders.version === 0 ? {} : { orders }),
    ...((await hasEarlyMessages(store, header.run)) ? { early: true as const } : {}),
    // Gates open once the run's record is.
    ...(record?.state.startedAt !== undefined && (await hasAsked(store, header.run)) ? { decided: true as const } : {}),
    ...(reset === undefined ? {} : { reset }),
  };
  return await temporal.client.workflow.start(header.pipeline, {
    workflowId: workflowIdOf(header.run),
    taskQueue: queueName(settings.queue, 'workflows'),
    args: [argument],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  });
}

/** Whether a gate of the run was ever open. */
const hasAsked = async (store: Store, run: string): Promise<boolean> =>
  (await listApprovals(store, run)).length > 0 || (await listGates(store, run)).length > 0;

const forgottenWords = (at: string): string =>
  `The Temporal server knew nothing of this run any more (its database was removed, or is another one), so on ${at.slice(0, 19).replace('T', ' ')} UTC the run went on from its record: what was finished, decided or ordered by then counts, steps under way began again from their newest checkpoints.`;

/** Workers of a server that others share may be of any build. */
async function buildHere(temporal: TemporalConnection): Promise<{ build?: Build }> {
  if (temporal.engine === null) return {};
  const [{ buildOf }, { defaultBundlePath }] = [
    await import('../deploy/move-runs.ts'),
    await import('../deploy/worker.ts'),
  ];
  return { build: await buildOf(defaultBundlePath()) };
}

/** An ended run begins again with a step that is to run anew; its workflow waits for a worker. */
export async function beginAgain(
  settings: Settings,
  store: Store,
  header: RunHeader,
  plan: Plan,
  { by, reason, path, set }: ResetMessage,
): Promise<void> {
  const temporal = await connectTemporal(settings);
  try {
    await claimRun(settings, store, temporal, header);
    const at = new Date().toISOString();
    await startWorkflow(settings, store, temporal, header, plan, {
      operation: 'reset',
      at,
      number: 0,
      by,
      reason,
      steps: [path],
      set,
    });
  } finally {
    await temporal.close();
  }
}
