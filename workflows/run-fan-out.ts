/** `matrix` and `forEach`: the legs of a step in batches, each batch a child workflow, so that no history grows with them. */

import { ApplicationFailure, CancellationScope, condition, getExternalWorkflowHandle } from '@temporalio/workflow';
import { type Leg, legsOf } from '../plan/legs.ts';
import { legsNested, legsPerBatch } from '../plan/limits.ts';
import { kindOf } from '../plan/paths.ts';
import type { FanOutStep, Json } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { workflowIdOf } from './messages.ts';
import { resolveValues } from './resolve.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import {
  type AllLegsArguments,
  type BatchResult,
  type Bindings,
  slotsGivenSignal,
  type Values,
  visibleTo,
} from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';
import { checkedSize } from './values-size.ts';

/** Outputs: `all` (an entry for each leg that was not skipped) and `legs`, how many those are. */
export async function runFanOut(
  step: FanOutStep,
  path: string,
  context: ScopeContext,
  outer: Bindings,
): Promise<Values> {
  const { run } = context;
  const kind = kindOf(step);
  const legs = legsNow(step, path, outer);
  await control('record-step', { run, change: { path, kind, state: 'running', with: { legs: legs.length } } });
  const entries = await inPlaceOf(context, path, () =>
    legs.length > legsNested
      ? runChild<BatchResult>(context, `${path}[all]`, {
          role: 'legs',
          owner: path,
          step,
          bindings: visibleTo(step, outer),
        })
      : runBatches(step, path, legs, context, outer),
  );
  const all = entries.flatMap((values, at): Json[] => (values === null ? [] : [{ ...legs[at]!.names, ...values }]));
  checkedSize(all, `The entries of "${path}" from its ${legs.length} legs`, 'Name fewer "outputs" of a leg.');
  const outputs = { legs: all.length };
  await control('record-step', { run, change: { path, kind, state: 'done', outputs } });
  return { ...outputs, all };
}

/** Very many legs, as a child workflow of their own, which runs their batches. */
export async function runAllLegs({
  path,
  owner,
  step,
  bindings,
  role: _,
  ...facts
}: AllLegsArguments): Promise<BatchResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const context = { ...facts, path: owner, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    const legs = legsNow(step, owner, bindings);
    const entries = await runBatches(step, owner, legs, context, bindings);
    return checkedSize(
      entries,
      `The entries of "${owner}" from its ${legs.length} legs`,
      'Name fewer "outputs" of a leg.',
    );
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}

function legsNow(step: FanOutStep, path: string, outer: Bindings): Leg[] {
  const items = resolveValues({ items: 'forEach' in step.legs ? step.legs.forEach : null }, outer);
  if ('absent' in items) throw new Error(`Internal error: ${items.absent} is absent, but was there a moment ago.`);
  try {
    return legsOf(step, path, items.value.items ?? null);
  } catch (error) {
    throw ApplicationFailure.nonRetryable((error as Error).message, 'BadData');
  }
}

interface Batch {
  readonly path: string;
  readonly legs: readonly Leg[];
  /** Legs that it may run at once. */
  slots: number;
  /** All its legs have begun, so that it needs no more slots. */
  drained: boolean;
  ended: boolean;
}

/**
 * Batches share the slots of the step: one begins when there are slots that the batches before it can no longer use.
 * So a leg that is held for days keeps its own batch open and nothing else waiting.
 */
async function runBatches(
  step: FanOutStep,
  path: string,
  legs: readonly Leg[],
  context: ScopeContext,
  outer: Bindings,
): Promise<BatchResult> {
  const { perBatch = legsPerBatch } = step;
  const batches: Batch[] = [];
  for (let from = 0; from < legs.length; from += perBatch) {
    const part = legs.slice(from, from + perBatch);
    const name = `${path}[${from + 1}..${from + part.length}]`;
    batches.push({ path: name, legs: part, slots: 0, drained: false, ended: false });
  }
  const results: BatchResult[] = batches.map(() => []);
  const failures: unknown[] = [];
  const work: Promise<void>[] = [];
  let free = step.concurrency;
  let begun = 0;

  const begin = (at: number) => {
    const batch = batches[at]!;
    const { scope, outputs, legWhen, forked } = step;
    const own = {
      role: 'batch',
      owner: path,
      kind: kindOf(step),
      step: { scope, outputs, legWhen, ...(forked && { forked }) },
      legs: batch.legs,
      slots: batch.slots,
      // The last one keeps its slots, because nobody waits for them.
      shares: at < batches.length - 1,
      bindings: visibleTo([scope, outputs ?? null, legWhen ?? null, forked ?? null], outer),
    } as const;
    work.push(
      runChild<BatchResult>(context, batch.path, own)
        .then(
          (result) => {
            results[at] = result;
          },
          (error: unknown) => void failures.push(error),
        )
        .then(() => {
          batch.ended = true;
          free += batch.slots;
          batch.slots = 0;
        }),
    );
  };
  const give = async () => {
    for (const batch of batches.slice(0, begun)) {
      const returned = context.mailbox.takeSlots(batch.path);
      if (returned > 0 && !batch.ended) {
        batch.drained = true;
        batch.slots -= returned;
        free += returned;
      }
    }
    for (const batch of batches.slice(0, begun)) {
      const more = Math.min(free, batch.legs.length - batch.slots);
      if (more <= 0 || batch.drained || batch.ended) continue;
      batch.slots += more;
      free -= more;
      await getExternalWorkflowHandle(workflowIdOf(context.run, batch.path))
        .signal(slotsGivenSignal, { count: more })
        // It ended meanwhile; its slots come back with its end.
        .catch(() => undefined);
    }
    while (free > 0 && begun < batches.length) {
      const batch = batches[begun]!;
      batch.slots = Math.min(free, batch.legs.length);
      free -= batch.slots;
      begin(begun++);
    }
  };

  try {
    while (batches.some(({ ended }) => !ended)) {
      // Counted before slots are given: what ends meanwhile has slots for others, too.
      const ended = batches.filter((batch) => batch.ended).length;
      await give();
      await condition(
        () =>
          batches.filter((batch) => batch.ended).length > ended ||
          batches.some((batch) => context.mailbox.hasSlots(batch.path)),
      );
    }
  } finally {
    // A cancelled fan-out ends when its batches have ended, so that nothing writes to the run afterwards.
    await CancellationScope.nonCancellable(() => Promise.all(work));
  }
  if (failures.length > 0) throw failures[0];
  return results.flat();
}
