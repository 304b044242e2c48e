/** Runs a part of the run as a child workflow, under the run's id and the part's path. */

import {
  ChildWorkflowCancellationType,
  executeChild,
  ParentClosePolicy,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import type { ScopeContext } from './execute-step.ts';
import { workflowIdOf } from './messages.ts';
import type { RoundArguments, RunFacts, SearchArguments } from './scope-messages.ts';

type Own<Arguments> = Omit<Arguments, keyof RunFacts | 'path'>;

/** `owner` is the path of the step that the child belongs to: while the child runs, the child's state stands for it. */
export async function runChild<Result>(
  context: ScopeContext,
  owner: string,
  path: string,
  own: Own<RoundArguments> | Own<SearchArguments>,
): Promise<Result> {
  const { run, pipeline, seed, environment, state } = context;
  const args = { run, pipeline, seed, environment, path, ...own };
  state.set(path, 'running');
  state.remove(owner);
  try {
    return await executeChild<(args: unknown) => Promise<Result>>(`${pipeline}.${own.role}`, {
      args: [args],
      workflowId: workflowIdOf(run, path),
      // A held loop begins its round again under the same id.
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    });
  } finally {
    state.remove(path);
    state.set(owner, 'running');
  }
}
