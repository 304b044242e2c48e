/** The root of a run: settles what holds for the whole of it, runs the pipeline's steps, and closes the record. */

import { CancellationScope, isCancellation, workflowInfo } from '@temporalio/workflow';
import { ApprovalDesk } from './approval-desk.ts';
import { control } from './control.ts';
import { DecisionDesk } from './decision-desk.ts';
import { inGroup } from './in-group.ts';
import { Mailbox, type Root, receiveChildStates } from './mailbox.ts';
import type { RunArguments, RunSummary } from './messages.ts';
import { OperationsDesk } from './operations-desk.ts';
import { Orders } from './orders.ts';
import { Outbox } from './outbox.ts';
import { runToItsEnd } from './run-to-its-end.ts';
import { openScopeState } from './scope-state.ts';
import { noOrders } from './standing-orders.ts';

/** `runSteps`: how a run of this plan goes on once it is open; compiled workflows have their own. */
export async function runPipeline(
  { run, pipeline, planDigest, seed, ...given }: RunArguments,
  runSteps: typeof runToItsEnd = runToItsEnd,
): Promise<RunSummary> {
  const work = new CancellationScope();
  const outbox = new Outbox();
  let cancelledHere = () => false;
  try {
    outbox.open();
    const orders = given.orders ?? noOrders;
    const mailbox = new Mailbox(new Orders(orders));
    const state = openScopeState((published) => control('record-run', { run, state: published }));
    receiveChildStates(state, mailbox);
    const scope = given.scope ?? (await control('load-plan', { planDigest }));
    const desk = new DecisionDesk(run, scope, mailbox, outbox);
    const approvals = new ApprovalDesk(run, scope, mailbox, outbox);
    const facts = { run, planDigest, isCompiled: runSteps !== runToItsEnd };
    const operations = new OperationsDesk(facts, scope, mailbox, outbox, [desk, approvals]);
    cancelledHere = () => operations.cancelled;
    desk.open();
    approvals.open();
    operations.open(work);
    const environment = await control('open-run', { run, planDigest });
    if (given.early === true) {
      for (const message of await control('load-early', { run })) {
        if ('batch' in message) desk.restore(message.batch);
        else approvals.restore(message.gate, message.given);
      }
    }
    if (given.reset !== undefined) await operations.beginWith(given.reset);

    const root = rootOf(desk, approvals, operations);
    const context = { run, pipeline, seed, environment, orders, path: '', mailbox, root, state };
    const { concurrency } = scope;
    await work.run(() =>
      concurrency === undefined
        ? runSteps(scope, context)
        : inGroup(context, concurrency, () => runSteps(scope, context)),
    );

    state.close();
    await outbox.close();
    await control('close-run', { run, state: 'done' });
    return { state: 'done' };
  } catch (error) {
    const cancelled = isCancellation(error);
    // What was asked of the run is recorded before its end.
    if (cancelledHere()) await outbox.close();
    const message = cancelled ? undefined : error instanceof Error ? error.message : String(error);
    // Also when the run was cancelled, its record must say so.
    await CancellationScope.nonCancellable(() =>
      control('close-run', { run, state: cancelled ? 'cancelled' : 'failed', error: message }),
    );
    if (cancelledHere()) return { state: 'cancelled' };
    throw error;
  }
}

function rootOf(desk: DecisionDesk, approvals: ApprovalDesk, operations: OperationsDesk): Root {
  return {
    stepHeld: async (path) => operations.stepHeld(path),
    gateOpened: (gate, undecided) => desk.gateOpened(gate, undecided),
    gateProgress: (progress) => desk.gateProgress(progress),
    gateClosing: (gate) => desk.gateClosing(gate),
    formOpened: async (path) => approvals.opened(path, workflowInfo().workflowId),
    formClosing: async (path) => approvals.closing(path),
  };
}
