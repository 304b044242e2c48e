/** Runs the steps of a run or of another file, and when they have ended, however that was, those of `finally`. */

import { CancellationScope, CancelledFailure, condition, isCancellation } from '@temporalio/workflow';
import type { Ending, PlannedScope } from '../plan/types.ts';
import { endingOf, keepEnding, loadMade, runAfter, thrownBy } from './endings.ts';
import { isStepFailure, type ScopeContext } from './execute-step.ts';
import { leaveUnattended } from './orders.ts';
import { runOwedEnds } from './owed-ends.ts';
import type { Renewal } from './renewal.ts';
import { runParts } from './run-parts.ts';
import { runScope } from './run-scope.ts';
import type { Bindings, Values } from './scope-messages.ts';

const cutWords = 'Cut, because the run goes on in a new history';

/** What goes on with an end that was cut. */
interface GoingOn {
  /** Of the root alone. */
  readonly renewal?: Renewal;
  /** How the steps of a file ended in an earlier history of the run. */
  readonly ending?: Ending | undefined;
}

/**
 * Answers what the steps left behind, and throws as they ended; where they were done, as those of `finally` did. Where
 * either end because the history has become long, the run goes on in a new one.
 */
export async function runToItsEnd(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings = { steps: {} },
  { renewal, ending: endingOfFile }: GoingOn = {},
): Promise<Bindings> {
  const { run, path } = context;
  const { ends, orders } = context.mailbox;
  const made: { [id: string]: Values } = {};
  // An upgrade may come before the first step begins, and until the last has ended.
  const planned = () => (path === '' ? (orders.plan ?? scope) : scope);
  const around = CancellationScope.current();
  // Also a new history is begun by a cancellation of all steps.
  const isCancelled = () => (renewal === undefined ? around.consideredCancelled : renewal.isCancelled);
  // It is not cancelled then: the run goes on in a new history, and so will this.
  const isCut = () => (renewal === undefined ? around.consideredCancelled && ends.isHeld : renewal.isCut);
  orders.attend(path);

  const before = renewal === undefined ? endingOfFile : renewal.ending;
  ends.fileBegins(before !== undefined);
  let ended: Bindings | null = null;
  let thrown: unknown;
  if (before !== undefined) {
    // Also where the run has been cancelled meanwhile.
    Object.assign(made, await CancellationScope.nonCancellable(() => loadMade(run, path)));
    thrown = thrownBy(before);
    if (path === '') orders.endedBefore(planned());
  } else {
    try {
      ended = await runScope(planned(), context, outer, made);
    } catch (error) {
      if (renewal !== undefined) await renewal.goOn();
      else if (isCut() || (isCancellation(error) && ends.isHeld)) throw error;
      thrown = error;
    }
  }
  const ending = before ?? endingOf(thrown);
  const keep = async () => {
    if (before === undefined && !ends.areAnew) await keepEnding(run, path, ending, made);
  };
  renewal?.endBegins(ending, keep);
  const owes = () => renewal?.owesEnds === true;
  const payOwed = async (of: 'steps' | 'finally') => {
    if (owes()) await renewal!.paying(() => runOwedEnds(renewal!.planDigest, of, planned(), context));
  };
  const atEnd = async (goesOn: boolean) => {
    await payOwed('steps');
    const within = goesOn ? { ...context, settledSince: ending.at } : context;
    try {
      await runEnd(planned(), within, { ...outer, steps: made, run: runAfter(ending) });
    } finally {
      if (!isCut()) await payOwed('finally');
    }
  };
  const mayBeCut = () => !isCancelled() && !orders.isUnattended(path);
  let goesOn = before !== undefined;
  while (planned().finally !== undefined || owes()) {
    try {
      if (renewal === undefined && ends.isHeld) await ends.released();
      // The last steps may have ended while they were being stopped.
      if (isCut()) throw new CancelledFailure(cutWords);
      await ends.run(mayBeCut, () =>
        afterwards(context, { isCancelled, isCut }, ending.state === 'cancelled', () => atEnd(goesOn)),
      );
      break;
    } catch (error) {
      if (isCut()) {
        if (renewal === undefined) {
          await CancellationScope.nonCancellable(keep);
          throw isCancellation(error) ? error : new CancelledFailure(cutWords);
        }
        await renewal.goOn();
        // The run was cancelled in the last moment, so that the rest runs here.
        goesOn = true;
        continue;
      }
      // The first failure is the one that people look for; a step of `finally` has its own in its record.
      if (thrown !== undefined && isStepFailure(error)) break;
      throw error;
    }
  }
  renewal?.close();
  if (thrown !== undefined) throw thrown;
  return ended ?? leftBefore(planned(), outer, made);
}

/** What is visible once the steps have ended that made this. */
function leftBefore({ steps }: PlannedScope, outer: Bindings, made: Bindings['steps']): Bindings {
  const visible: { [id: string]: Values } = { ...outer.steps };
  for (const { id } of steps) delete visible[id];
  return { ...outer, steps: { ...visible, ...made } };
}

/** The steps of `finally` of a run or of another file, where it has some. */
export async function runEnd(
  { finally: steps, finallyParts: parts }: PlannedScope,
  context: ScopeContext,
  bindings: Bindings,
): Promise<void> {
  if (steps === undefined) return;
  await (parts === undefined
    ? runScope({ steps }, context, bindings)
    : runParts({ steps, parts }, context, bindings, {}, '#end'));
}

/**
 * Runs what a cancellation does not end; but once there was one, before or meanwhile, nobody is waited for. Throws as
 * cancelled where it came meanwhile, or where the work is cut, to go on in a new history.
 */
export async function afterwards(
  { path, mailbox: { orders } }: ScopeContext,
  { isCancelled, isCut = () => false }: { isCancelled(): boolean; isCut?(): boolean },
  cancelled: boolean,
  work: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const shielded = CancellationScope.nonCancellable(async () => {
    const own = new CancellationScope();
    const follow = async () => {
      await condition(() => isOver || isCut() || isCancelled());
      if (isOver) return;
      if (isCut()) own.cancel();
      else await leaveUnattended(orders, path);
    };
    if (cancelled || (isCancelled() && !isCut())) await leaveUnattended(orders, path);
    else void follow();
    await own.run(work);
  });
  try {
    await shielded;
  } catch (error) {
    if (!isCancelled() || !isStepFailure(error)) throw error;
  } finally {
    isOver = true;
  }
  if (isCancelled()) throw new CancelledFailure('Cancelled while the steps of finally ran');
}
