/** Runs a part of the run as a child workflow, under the run's id and the part's path. */

import {
  CancellationScope,
  ChildWorkflowCancellationType,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  startChild,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import { hasEnd } from '../plan/paths.ts';
import type { ScopeContext } from './execute-step.ts';
import { workflowIdOf } from './messages.ts';
import { tellOrders, tellUnattended, toLiving } from './orders.ts';
import type {
  AllLegsArguments,
  BatchArguments,
  EndArguments,
  EndsArguments,
  LegArguments,
  PartArguments,
  RoundArguments,
  RoundsArguments,
  RunFacts,
  SearchArguments,
} from './scope-messages.ts';

type Own<Arguments> = Omit<Arguments, keyof RunFacts | 'path'>;

/** While parts of a step run as children, their states stand for that of the step, whose path is `owner`. */
export async function inPlaceOf<Result>(
  { state }: ScopeContext,
  owner: string,
  runParts: () => Promise<Result>,
): Promise<Result> {
  state.remove(owner);
  try {
    return await runParts();
  } finally {
    state.set(owner, 'running');
  }
}

export async function runChild<Result>(
  context: ScopeContext,
  path: string,
  own:
    | Own<RoundArguments>
    | Own<RoundsArguments>
    | Own<SearchArguments>
    | Own<AllLegsArguments>
    | Own<BatchArguments>
    | Own<LegArguments>
    | Own<EndArguments>
    | Own<EndsArguments>
    | Own<PartArguments>,
): Promise<Result> {
  const { run, pipeline, seed, environment, state, bundled, wornAfter, settledSince } = context;
  const { orders, ends } = context.mailbox;
  const given = orders.standing;
  const part = 'owner' in own ? own.owner : path;
  const unattended = orders.isUnattended(part);
  const hasEnds = own.role === 'ends' || (own.role !== 'search' && hasEnd('scope' in own ? own : own.step));
  const endsHeld = hasEnds ? ends.heldIn(part) : undefined;
  const facts = {
    run,
    pipeline,
    seed,
    environment,
    orders: given,
    ...(unattended ? { unattended } : {}),
    ...(bundled ? { bundled } : {}),
    ...(endsHeld === undefined ? {} : { endsHeld }),
    ...(wornAfter === undefined ? {} : { wornAfter }),
    ...(settledSince === undefined ? {} : { settledSince }),
  };
  const args = { ...facts, path, ...own };
  if (hasEnds) ends.childStarts(path, part);
  state.set(path, 'running');
  try {
    const child = await startChild<(args: unknown) => Promise<Result>>(`${pipeline}.${own.role}`, {
      args: [args],
      // A search that is a leg's only step has the leg's path.
      workflowId:
        own.role === 'search' && path === context.path ? `${workflowIdOf(run, path)}:search` : workflowIdOf(run, path),
      // A held loop begins its round again under the same id.
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    });
    // Asked to cancel a child that it has not started yet, Temporal finds none, and starts it afterwards.
    if (CancellationScope.current().consideredCancelled) {
      const { workflowId } = child;
      await CancellationScope.nonCancellable(() => toLiving(getExternalWorkflowHandle(workflowId).cancel()));
    }
    // A batch has a name of its own, and legs or rounds named after their owner.
    orders.childStarted(path, child.workflowId, part);
    // Also where it was cancelled: its end is waited for, whatever there is to tell it.
    await CancellationScope.nonCancellable(async () => {
      if (hasEnds) await ends.childStarted(path, child.workflowId, endsHeld !== undefined);
      // What was ordered while it started is news to it.
      if (orders.standing.version > given.version) await tellOrders(child.workflowId, { orders: orders.standing });
      if (!unattended && orders.isUnattended(part)) await tellUnattended(child.workflowId);
    });
    return await child.result();
  } finally {
    orders.childEnded(path);
    ends.childEnded(path);
    state.remove(path);
  }
}
