/** `repeat`: round after round, each a child workflow, until a condition holds, nothing gets better, time is up, or `max`. */

import { HandlerUnfinishedPolicy } from '@temporalio/common';
import { ApplicationFailure, getExternalWorkflowHandle, setHandler } from '@temporalio/workflow';
import { roundsInline, roundsMax, roundsPerBatch, valuesBytesMax } from '../plan/limits.ts';
import { bodyOfRound, wallTime } from '../plan/loop-body.ts';
import { plateauReason, standingAfter } from '../plan/plateau.ts';
import type { Json, RepeatStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { workflowIdOf } from './messages.ts';
import { toLiving } from './orders.ts';
import { resolveValues } from './resolve.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import {
  type Bindings,
  handBackSignal,
  handedBackSignal,
  type Loop,
  type LoopState,
  type RoundResult,
  type RoundsArguments,
  type RoundsResult,
  type Values,
  visibleTo,
} from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';
import { bytesOf } from './values-size.ts';

/** Outputs: `all` (the `next` values of every round), `last` and `best` (where there are), `rounds`, `ended`, `reason`. */
export async function runLoop(
  given: RepeatStep,
  path: string,
  context: ScopeContext,
  outer: Bindings,
): Promise<Values> {
  const { run } = context;
  const { orders } = context.mailbox;
  /** An upgrade may change what the rounds to come do. Only loops of the root are upgraded. */
  const planned = (): RepeatStep => {
    const upgraded = context.path === '' ? orders.plan?.steps.find(({ id }) => id === path) : undefined;
    return upgraded?.type === 'repeat' ? upgraded : given;
  };
  let step = planned();
  const inputs = resolveValues({ carry: step.carry, max: step.max }, outer);
  if ('absent' in inputs) throw new Error(`Internal error: ${inputs.absent} is absent, but was there a moment ago.`);
  let max = checkedMax(inputs.value.max ?? null, path);
  const carry = inputs.value.carry as Values;
  await control('record-step', { run, change: { path, kind: 'repeat', state: 'running', with: { max, carry } } });

  const all: Values[] = [];
  let state: LoopState = { carry, index: 1, startedAtMs: Date.now(), stale: 0 };
  let end: RoundsResult['end'] = null;
  while (end === null) {
    if (step !== planned()) {
      step = planned();
      const resolved = resolveValues({ max: step.max }, outer);
      if ('value' in resolved) max = checkedMax(resolved.value.max ?? null, path);
    }
    const now = step;
    const loop = loopOf(step);
    orders.roundBegan(path, state.index - 1);
    const inline = max <= (step.perBatch ?? roundsInline);
    const upTo = inline ? max : Math.min(max, state.index + (step.perBatch ?? roundsPerBatch) - 1);
    const own = { step: loop, state, max, upTo, bindings: visibleTo(loop, outer) };
    const part: RoundsResult = inline
      ? await runRounds({ ...own, owner: path }, context, () => planned() !== now)
      : await inPlaceOf(context, path, () =>
          runChild<RoundsResult>(context, `${path}[${state.index}..${upTo}]`, { role: 'rounds', owner: path, ...own }),
        );
    // One by one: a call with thousands of arguments overflows the stack.
    for (const values of part.all) all.push(values);
    ({ state, end } = part);
  }

  const last = all.at(-1);
  const best = state.best === undefined ? undefined : all[state.best.round - 1];
  const outputs = {
    ...end,
    rounds: all.length,
    ...(last === undefined ? {} : { last }),
    ...(best === undefined ? {} : { best, bestRound: state.best!.round }),
  };
  await control('record-step', { run, change: { path, kind: 'repeat', state: 'done', outputs } });
  return { ...outputs, all };
}

/** A part of a long loop, as a child workflow of its own. */
export async function runRoundsChild({ path, role: _, ...args }: RoundsArguments): Promise<RoundsResult> {
  const { owner, step, state: before, max, upTo, bindings, ...facts } = args;
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  let handsBack = false;
  const handBack = async () => {
    handsBack = true;
    const from = mailbox.orders.nextRound(owner);
    const root = getExternalWorkflowHandle(workflowIdOf(facts.run));
    await toLiving(root.signal(handedBackSignal, { loop: owner, from }));
  };
  setHandler(handBackSignal, handBack, { unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON });
  mailbox.orders.roundBegan(owner, before.index - 1);
  // Its steps are those of the loop; only the workflow is another.
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts.run, mailbox) };
  try {
    state.set(owner, 'running');
    return await runRounds({ owner, step, state: before, max, upTo, bindings }, context, () => handsBack);
  } finally {
    state.close();
  }
}

type Rounds = Pick<RoundsArguments, 'owner' | 'step' | 'state' | 'max' | 'upTo' | 'bindings'>;

/** Rounds from `state.index` to `upTo`, or until others are wanted; `end` is null where the loop goes on after that. */
async function runRounds(
  { owner, step, max, upTo, bindings, ...given }: Rounds,
  context: ScopeContext,
  handsBack: () => boolean,
): Promise<RoundsResult> {
  let state = given.state;
  const all: Values[] = [];
  for (;;) {
    const { index, carry } = state;
    if (handsBack()) return { all, state, end: null };
    if (index > max) return { all, state, end: { ended: 'max', reason: `All ${max} rounds were run.` } };
    if (index > upTo) return { all, state, end: null };
    const { scope, next, until, plateau, budgetMs, gain, endWhenEmpty } = bodyOfRound(step, index);
    if (budgetMs !== undefined && Date.now() - state.startedAtMs >= budgetMs) {
      return {
        all,
        state,
        end: { ended: 'budget', reason: `${wallTime(budgetMs)} were up before round ${index}.` },
      };
    }
    if (endWhenEmpty !== undefined && (await isEmpty(carry[endWhenEmpty]))) {
      const reason = `No image is left in "${endWhenEmpty}" before round ${index}.`;
      return { all, state, end: { ended: 'empty', reason } };
    }
    // It may have come while the images were counted.
    if (handsBack()) return { all, state, end: null };
    context.mailbox.orders.roundBegan(owner, index);
    const round = await inPlaceOf(context, owner, () =>
      runChild<RoundResult>(context, `${owner}[${index}]`, {
        role: 'round',
        step: { scope, next, until, metric: plateau?.metric, gain, endWhenEmpty },
        bindings: {
          ...bindings,
          carry,
          round: { index, ...(state.previous === undefined ? {} : { previous: state.previous }) },
        },
      }),
    );
    if (round.emptied) {
      const reason = `Round ${index} found no image for "${endWhenEmpty}".`;
      return { all, state, end: { ended: 'empty', reason } };
    }
    all.push(round.next);
    const ownBytes = bytesOf(round.next);
    const bytes = (state.bytes ?? 0) + ownBytes;
    state = {
      ...state,
      bytes,
      carry: { ...carry, ...round.next },
      index: index + 1,
      previous: round.next,
      ...(plateau === undefined ? {} : standingAfter(plateau, state, index, round.metric)),
    };
    if (round.ended) return { all, state, end: { ended: 'until', reason: `After round ${index}, "${until}" held.` } };
    const flat = plateau === undefined ? null : plateauReason(plateau, state);
    if (flat !== null) return { all, state, end: { ended: 'plateau', reason: flat } };
    // While there is room for one more: what the rounds made must not be lost for being too much.
    if (index < max && bytes + ownBytes > valuesBytesMax) {
      const size = `${(bytes / 1e6).toFixed(1)} MB`;
      const reason = `After round ${index} the values of all rounds are ${size} together; at most ${valuesBytesMax / 1e6} MB can be handed on.`;
      return { all, state, end: { ended: 'size', reason } };
    }
  }
}

function loopOf({ scope, next, until, plateau, budgetMs, gain, endWhenEmpty, bodies }: RepeatStep): Loop {
  return { scope, next, until, plateau, budgetMs, gain, endWhenEmpty, bodies };
}

export function checkedMax(max: Json, path: string): number {
  if (typeof max === 'number' && Number.isInteger(max) && max >= 0 && max <= roundsMax) return max;
  throw ApplicationFailure.nonRetryable(
    `The loop "${path}" has max ${JSON.stringify(max)}; expected a whole number from 0 to ${roundsMax}.`,
    'ExpressionFailed',
  );
}

async function isEmpty(selection: Json | undefined): Promise<boolean> {
  return selection !== undefined && (await control('count-images', { selection })) === 0;
}
