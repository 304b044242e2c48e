/** A run whose workflow no worker can go on with, because another build of hardcase began it: what to say, and how to end it. */

import type { Client } from '@temporalio/client';
import { addNotice, addOperation, readOperations, readRun, writeRunState } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { RunHeader } from '../plan/types.ts';
import { type OperateMessage, workflowIdOf } from '../workflows/messages.ts';
import { connectTemporal } from './connect.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import type { Settings } from './settings.ts';

/** The workers that there are fail at the run's workflow, so that it takes no message. */
export class StuckWorkflowError extends CommandError {}

/** gRPC's FAILED_PRECONDITION: the server refuses an update while the workflow's tasks fail. */
const failedPrecondition = 9;

export const isStuck = (error: unknown): boolean =>
  (error as { readonly cause?: { readonly code?: unknown } }).cause?.code === failedPrecondition;

export async function stuckError(store: Store, { run, file }: RunHeader, cause: unknown): Promise<StuckWorkflowError> {
  // It loads the native worker, which other commands do not need.
  const { buildName } = await import('../deploy/move-runs.ts');
  const build = (await readRun(store, run))?.state.build;
  const begun = build === undefined ? 'another build of hardcase' : buildName(build);
  return new StuckWorkflowError(
    `Run ${run} takes no messages now: its workflow was begun by ${begun}, and the worker that there is cannot go on with it. Install that version, run it (${ownCommand('run', file, '--run', run)}) and give the command again. Or end it with "${ownCommand('cancel', run)}"; another run reuses what is finished: ${ownCommand('run', file, '--new')}`,
    exitCodes.engine,
    cause,
  );
}

/** Ends the run from outside, and has its record say that it was cancelled. Steps of `finally` do not run. */
export async function endStuckRun(
  settings: Settings,
  store: Store,
  { run }: RunHeader,
  { by, reason }: OperateMessage,
): Promise<void> {
  const temporal = await connectTemporal(settings);
  try {
    await terminateWithChildren(temporal.client, workflowIdOf(run), `Cancelled by ${by}.`);
  } finally {
    await temporal.close();
  }
  const at = new Date().toISOString();
  const number = (await readOperations(store, run)).length + 1;
  await addOperation(store, run, { operation: 'cancel', at, number, by, reason });
  await writeRunState(store, run, { state: 'cancelled', endedAt: at });
  await addNotice(
    store,
    run,
    'The run was cancelled while no worker could go on with its workflow, because another build of hardcase had begun it. It was ended from outside: steps of "finally" did not run.',
  );
}

/** The parent first, so that it starts no other. */
async function terminateWithChildren(client: Client, workflowId: string, reason: string): Promise<void> {
  const { openWorkflow } = await import('../deploy/move-runs.ts');
  const open = await openWorkflow(client, workflowId);
  if (open === null) return;
  await client.workflow.getHandle(workflowId).terminate(reason);
  for (const child of open.children) await terminateWithChildren(client, child, reason);
}
