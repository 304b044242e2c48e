/** Concurrency groups: the workflow of a group is started by the first who enters, and asks here who still lives. */

import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { addNotice, readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import type { GroupTicket } from '../workflows/messages.ts';
import type { ActivityDeps } from './attempt.ts';

export interface GroupEntry {
  readonly group: string;
  readonly groupId: string;
  /** Task queue of workflows. */
  readonly queue: string;
  readonly ticket: GroupTicket;
}

export async function enterGroup(_: ActivityDeps, { group, groupId, queue, ticket }: GroupEntry): Promise<void> {
  await Context.current().client.workflow.signalWithStart('hardcase.group', {
    workflowId: groupId,
    taskQueue: queue,
    args: [{ role: 'group', group }],
    signal: 'group-enter',
    signalArgs: [ticket],
  });
}

/** Where people look for why nothing happens. */
export async function tellGroup(
  { store }: ActivityDeps,
  { run, group, step }: { run: string; group: string; step?: { path: string; kind: string } },
): Promise<void> {
  if (step === undefined) return addNotice(store, run, `The run waits for its turn in the group "${group}".`);
  const before = await readStepRecord(store, run, step.path);
  const unserved = `its turn in the group "${group}"`;
  await writeStepRecord(store, run, { reused: false, ...before, ...step, state: 'pending', unserved }, { again: true });
}

/** Whether the workflow that has the ticket, or what it continued as, is still open. */
export async function isRunning(_: ActivityDeps, { workflowId, firstRunId }: GroupTicket): Promise<boolean> {
  try {
    const { status, raw } = await Context.current().client.workflow.getHandle(workflowId).describe();
    const first = raw.workflowExecutionInfo?.firstRunId;
    return status.name === 'RUNNING' && (!first || first === firstRunId);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
