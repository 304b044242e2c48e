/** Up to 100 legs of a fan-out, as a child workflow: begins each when there is a slot, and hands back slots it needs no more. */

import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import { scopeOfLeg } from '../plan/paths.ts';
import { control } from './control.ts';
import { distantRoot, openMailbox, receiveChildStates, receiveSlots, tellParent } from './mailbox.ts';
import { resolveCondition } from './resolve.ts';
import { runChild } from './run-child.ts';
import {
  type BatchArguments,
  type BatchResult,
  type LegResult,
  slotsFreedSignal,
  type Values,
} from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function runBatch(args: BatchArguments): Promise<BatchResult> {
  const { step, bindings, path, owner, legs, kind, shares, role: _, slots: given, ...facts } = args;
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  let slots = given;
  receiveSlots((count) => {
    slots += count;
  });
  // Its legs are beside each other, and all may have a gate.
  const within = { ...facts, bundled: true } as const;
  const context = { ...within, path: owner, state, mailbox, root: distantRoot(within, mailbox) };

  const results: (LegResult | undefined)[] = legs.map(() => undefined);
  const failures: unknown[] = [];
  let ended = 0;
  const runLeg = async (at: number): Promise<LegResult> => {
    const { name, names } = legs[at]!;
    const legPath = `${owner}[${name}]`;
    // Axes of a matrix around this one stay visible.
    const seen =
      names.matrix === undefined
        ? { ...bindings, ...names }
        : { ...bindings, matrix: { ...bindings.matrix, ...(names.matrix as Values) } };
    if (step.legWhen !== undefined) {
      const wanted = resolveCondition(step.legWhen, seen);
      if ('absent' in wanted || !wanted.value) {
        const error = 'absent' in wanted ? `It reads ${wanted.absent}, which is not there.` : undefined;
        await control('record-step', { run: facts.run, change: { path: legPath, kind, state: 'skipped', error } });
        return null;
      }
    }
    const { outputs } = step;
    const scope = scopeOfLeg(step, name);
    return runChild<LegResult>(context, legPath, { role: 'leg', step: { scope, outputs }, bindings: seen });
  };
  const work: Promise<void>[] = [];
  const begin = (at: number) => {
    const leg = runLeg(at).then(
      (values) => {
        results[at] = values;
      },
      (error: unknown) => void failures.push(error),
    );
    work.push(
      leg.then(() => {
        ended++;
      }),
    );
  };

  try {
    for (let at = 0; at < legs.length; at++) {
      await condition(() => state.running() < slots);
      begin(at);
    }
    // In four steps, because each is a message to the parent, and perhaps one from it to another batch.
    const quantum = Math.ceil(slots / 4);
    while (shares && ended < legs.length) {
      await condition(() => ended === legs.length || slots - state.running() >= (state.running() === 0 ? 1 : quantum));
      const count = slots - state.running();
      if (ended === legs.length || count <= 0) continue;
      slots -= count;
      const { parent } = workflowInfo();
      if (parent) await getExternalWorkflowHandle(parent.workflowId).signal(slotsFreedSignal, { path, count });
    }
  } finally {
    // A cancelled batch ends when its legs have ended.
    await CancellationScope.nonCancellable(() => Promise.all(work));
    state.close();
    await mailbox.relay.close();
  }
  if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  return results.map((values) => values ?? null);
}
