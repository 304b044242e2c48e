/** The root of a run: settles what holds for the whole of it, runs the pipeline's steps, and closes the record. */

import { CancellationScope, ContinueAsNew, isCancellation, setHandler, workflowInfo } from '@temporalio/workflow';
import type { PlannedScope } from '../plan/types.ts';
import { ApprovalDesk } from './approval-desk.ts';
import { Briefing } from './briefing.ts';
import { control, siblingQueue } from './control.ts';
import { DecisionDesk } from './decision-desk.ts';
import { reasonOf, type ScopeContext } from './execute-step.ts';
import { inGroup } from './in-group.ts';
import { Mailbox, receiveChildStates } from './mailbox.ts';
import type { RunArguments, RunSummary } from './messages.ts';
import { nearRoot, receiveNews } from './news-desk.ts';
import { OperationsDesk } from './operations-desk.ts';
import { Orders } from './orders.ts';
import { Outbox } from './outbox.ts';
import { leavingEvents } from './pace.ts';
import { Renewal } from './renewal.ts';
import { runToItsEnd } from './run-to-its-end.ts';
import { wornSignal } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';
import { noOrders } from './standing-orders.ts';

const runPlanned = (scope: PlannedScope, context: ScopeContext, renewal: Renewal): Promise<unknown> =>
  runToItsEnd(scope, context, { steps: {} }, { renewal });

/** `runSteps`: how a run of this plan goes on once it is open; compiled workflows have their own. */
export async function runPipeline(
  { run, pipeline, planDigest, seed, ...given }: RunArguments,
  runSteps: typeof runPlanned = runPlanned,
): Promise<RunSummary> {
  const work = new CancellationScope();
  const whole = CancellationScope.current();
  const outbox = new Outbox(run);
  let cancelledHere = () => false;
  let closeRenewal = () => {};
  try {
    outbox.open();
    const orders = given.orders ?? noOrders;
    const mailbox = new Mailbox(new Orders(orders));
    const state = openScopeState((published) => control('record-run', { run, state: published }));
    receiveChildStates(state, mailbox);
    const briefing = new Briefing(given.scope ?? null);
    const desk = new DecisionDesk(run, briefing, mailbox, outbox);
    const facts = { run, planDigest, isCompiled: runSteps !== runPlanned };
    const approvals = new ApprovalDesk(facts, briefing, mailbox, outbox);
    const operations = new OperationsDesk(facts, briefing, mailbox, outbox, [desk, approvals]);
    cancelledHere = () => operations.cancelled;
    if (given.before !== undefined) operations.takeOver(given.before.operations);
    const operationsBefore = operations.taken;
    const owesEnds = () => given.before?.owesEnds === true || mailbox.ends.wasHeld;
    const renewal = new Renewal({
      renewAfter: facts.isCompiled ? undefined : given.renewAfter,
      work,
      outbox,
      moved: () => desk.moved + approvals.moved + operations.taken - operationsBefore,
      running: () => state.running(),
      cancelled: () => operations.cancelled || whole.consideredCancelled,
      // People's messages wait for what was decided before, and a new history for the messages.
      mustStay: () => !briefing.isComplete || operations.isUpgrading,
      ends: mailbox.ends,
      ending: given.before?.ending,
      owesEnds,
      planDigest: () => operations.planDigest,
      letIn: () => briefing.letIn(),
      keep: async () => {
        // They are among what is kept now.
        outbox.dropEarly();
        for (const messages of [...desk.takeBack(), ...approvals.takeBack()]) {
          await control('keep-early', { run, messages });
        }
      },
      resume: () => desk.resume(),
      next: (ending) => {
        const { reset: _, before: __, scope: inline, ...same } = given;
        const now = operations.planDigest;
        return {
          ...same,
          ...(inline === undefined || now !== planDigest ? {} : { scope: inline }),
          run,
          pipeline,
          planDigest: now,
          seed,
          orders: mailbox.orders.standing,
          early: true,
          decided: true,
          before: {
            operations: operations.taken,
            forms: approvals.handOver(),
            ...desk.handOver(),
            unsent: [...outbox.unsent, ...desk.unsent],
            ...(owesEnds() ? { owesEnds: true as const } : {}),
            ...(ending === null ? {} : { ending }),
          },
        };
      },
    });
    closeRenewal = () => renewal.close();
    // However many messages come while very many steps are being ended, they are few in this history.
    briefing.waitWhile(() => renewal.isLeaving && workflowInfo().historyLength > leavingEvents);
    briefing.refuseWhile(() => (outbox.isOver ? `The run ${run} is ending: all but its end is recorded.` : null));
    desk.open(renewal);
    approvals.open(renewal);
    operations.open(work, renewal);
    const desks = { decisions: desk, approvals, operations };
    receiveNews(mailbox, outbox, desks);
    setHandler(wornSignal, ({ atOnce }) => renewal.worn(atOnce));
    renewal.open();
    const scope = given.scope ?? (await control('load-plan', { planDigest }));
    briefing.planIs(scope);
    if (given.before !== undefined) {
      desk.takeOver(given.before);
      approvals.takeOver(given.before.forms);
    }
    for (const unsent of given.before?.unsent ?? []) {
      if ('operation' in unsent) outbox.record(unsent.operation);
      else if ('notice' in unsent) outbox.push(() => control('record-notice', { run, message: unsent.notice }), unsent);
      else {
        briefing.restore(unsent.early, desk, approvals);
        outbox.push(() => control('keep-early', { run, messages: [unsent.early] }), unsent);
      }
    }
    const before = { decided: given.decided === true, early: given.early === true };
    if (!before.decided && !before.early) briefing.complete();
    // It describes the machine that it first runs on, which is to be one that runs steps.
    const openingQueue = given.before === undefined ? siblingQueue('cpu') : undefined;
    const environment = await control('open-run', { run, planDigest }, openingQueue);
    if (!briefing.isComplete) await briefing.gather(run, before, desk, approvals);
    if (given.reset !== undefined) await operations.beginWith(given.reset);

    const root = nearRoot(mailbox, desks);
    const { wornAfter } = given;
    const context = { run, pipeline, seed, environment, orders, wornAfter, path: '', mailbox, root, state };
    const { concurrency } = scope;
    const steps = () => runSteps(scope, context, renewal);
    try {
      await work.run(() =>
        concurrency === undefined ? steps() : inGroup(context, concurrency, steps, () => renewal.isCut),
      );
    } catch (error) {
      // It may have waited for its turn.
      if (isCancellation(error)) await renewal.goOn();
      throw error;
    }

    state.close();
    await outbox.close();
    await control('close-run', { run, state: 'done' });
    return { state: 'done' };
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    const cancelled = isCancellation(error);
    // What was asked of the run is recorded before its end.
    closeRenewal();
    await outbox.close();
    const message = cancelled ? undefined : reasonOf(error);
    // Also when the run was cancelled, its record must say so.
    await CancellationScope.nonCancellable(() =>
      control('close-run', { run, state: cancelled ? 'cancelled' : 'failed', error: message }),
    );
    if (cancelledHere()) return { state: 'cancelled' };
    throw error;
  }
}
