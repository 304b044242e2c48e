/** Does work while inside of a concurrency group: waits for its turn, and leaves whatever happens. */

import { CancellationScope, condition, getExternalWorkflowHandle, workflowInfo } from '@temporalio/workflow';
import { control, siblingQueue } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { type GroupTicket, groupLeaveName, groupWorkflowId } from './messages.ts';

export interface GroupUse {
  readonly group: string;
  readonly cancelInProgress: boolean;
  /** The step that enters; absent for the run as a whole. */
  readonly step?: { readonly path: string; readonly kind: string };
}

/** A turn that comes at once is no news. */
const patienceMs = 2_000;

/** `goesOn`: whether the workflow goes on in a new history, in which it asks again and so keeps its place. */
export async function inGroup<Result>(
  { run, mailbox }: Pick<ScopeContext, 'run' | 'mailbox'>,
  { group, cancelInProgress, step }: GroupUse,
  work: () => Promise<Result>,
  goesOn: () => boolean = () => false,
): Promise<Result> {
  const { workflowId, firstExecutionRunId } = workflowInfo();
  const id = `${run}:${step?.path ?? ''}`;
  const ticket: GroupTicket = { id, run, workflowId, firstRunId: firstExecutionRunId, cancelInProgress };
  const queue = siblingQueue('workflows');
  const groupId = groupWorkflowId(queue, group);
  mailbox.groupLeft(id);
  try {
    await control('enter-group', { group, groupId, queue, ticket });
    if (!(await condition(() => mailbox.isInGroup(id), patienceMs))) {
      await control('tell-group', { run, group, step });
      await condition(() => mailbox.isInGroup(id));
    }
    return await work();
  } finally {
    mailbox.groupLeft(id);
    if (!goesOn()) {
      await CancellationScope.nonCancellable(() =>
        getExternalWorkflowHandle(groupId)
          .signal(groupLeaveName, { id })
          // Somebody has ended the group's workflow; it begins anew with the next who enters.
          .catch(() => undefined),
      );
    }
  }
}
