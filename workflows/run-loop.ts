/** `repeat`: round after round, each a child workflow, until a condition holds, nothing gets better, time is up, or `max`. */

import { ApplicationFailure, getExternalWorkflowHandle } from '@temporalio/workflow';
import { roundsInline, roundsMax, roundsPerBatch } from '../plan/limits.ts';
import { bodyOfRound, wallTime } from '../plan/loop-body.ts';
import { type LoopState, type RoundResult, roundValues, stateAfter } from '../plan/round-end.ts';
import type { Json, RepeatStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { inside } from './inside.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { workflowIdOf } from './messages.ts';
import { toLiving } from './orders.ts';
import { onPassedOn } from './pass-on.ts';
import { QuickRounds } from './quick-rounds.ts';
import { resolveValues } from './resolve.ts';
import { ReuseRounds } from './reuse-rounds.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import { stepsOfRound } from './run-round.ts';
import {
  type Bindings,
  handBackSignal,
  handedBackSignal,
  type Loop,
  type RoundsArguments,
  type RoundsResult,
  type Values,
  visibleTo,
} from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

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
          runChild<RoundsResult>(context, `${path}[${state.index}..${upTo}]`, {
            role: 'rounds',
            owner: path,
            joins: true,
            ...own,
          }),
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
  const { owner, step, state: before, max, upTo, bindings, joins, ...facts } = args;
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
  onPassedOn(handBackSignal, handBack);
  mailbox.orders.roundBegan(owner, before.index - 1);
  // Its steps are those of the loop; only the workflow is another.
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts, mailbox) };
  try {
    state.set(owner, 'running');
    return await runRounds({ owner, step, state: before, max, upTo, bindings, joins }, context, () => handsBack);
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}

type Rounds = Pick<RoundsArguments, 'owner' | 'step' | 'state' | 'max' | 'upTo' | 'bindings' | 'joins'>;

/** Rounds from `state.index` to `upTo`, or until others are wanted; `end` is null where the loop goes on after that. */
async function runRounds(
  { owner, step, max, upTo, bindings, joins, ...given }: Rounds,
  context: ScopeContext,
  handsBack: () => boolean,
): Promise<RoundsResult> {
  let state = given.state;
  const all: Values[] = [];
  const reuse = new ReuseRounds({ owner, step, max, upTo, bindings }, context);
  const quick = new QuickRounds(joins === true);
  for (;;) {
    const { index, carry } = state;
    if (handsBack()) return { all, state, end: null };
    if (index > max) return { all, state, end: { ended: 'max', reason: `All ${max} rounds were run.` } };
    if (index > upTo) return { all, state, end: null };
    const body = bodyOfRound(step, index);
    const { scope, next, until, plateau, budgetMs, gain, endWhenEmpty } = body;
    if (budgetMs !== undefined && Date.now() - state.startedAtMs >= budgetMs) {
      return {
        all,
        state,
        end: { ended: 'budget', reason: `${wallTime(budgetMs)} were up before round ${index}.` },
      };
    }
    const look = reuse.look(state);
    if (look !== null) await look;
    const found = reuse.take(index);
    if (found === null && endWhenEmpty !== undefined && (await isEmpty(carry[endWhenEmpty]))) {
      const reason = `No image is left in "${endWhenEmpty}" before round ${index}.`;
      return { all, state, end: { ended: 'empty', reason } };
    }
    // It may have come meanwhile.
    if (handsBack()) return { all, state, end: null };
    context.mailbox.orders.roundBegan(owner, index);
    const path = `${owner}[${index}]`;
    const own = {
      step: { scope, next, until, metric: plateau?.metric, gain, endWhenEmpty },
      bindings: { ...bindings, carry, round: roundValues(state) },
    };
    const beganAtMs = Date.now();
    const run = (): Promise<RoundResult> =>
      quick.mayJoin(step, index, upTo)
        ? inside(context, path, (within) => stepsOfRound(own, within))
        : runChild<RoundResult>(context, path, { role: 'round', ...own });
    const round = found ?? (await inPlaceOf(context, owner, run));
    quick.ended(round, Date.now() - beganAtMs);
    reuse.ended(round);
    if (round.emptied) {
      const reason = `Round ${index} found no image for "${endWhenEmpty}".`;
      return { all, state, end: { ended: 'empty', reason } };
    }
    all.push(round.next);
    const after = stateAfter(body, state, round, max);
    ({ state } = after);
    if (after.end !== null) return { all, state, end: after.end };
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
