/** `repeat`: round after round, each a child workflow, until a condition holds, the selection is empty, or `max`. */

import { ApplicationFailure } from '@temporalio/workflow';
import { bodyOfRound } from '../plan/loop-body.ts';
import type { Json, RepeatStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { resolveValues } from './resolve.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import { type Bindings, type RoundResult, type Values, visibleTo } from './scope-messages.ts';

/** Outputs: `all` (the `next` values of every round), `last` (where there is one), `rounds`, `ended`, `reason`. */
export async function runLoop(step: RepeatStep, path: string, context: ScopeContext, outer: Bindings): Promise<Values> {
  const { run } = context;
  const inputs = resolveValues({ carry: step.carry, max: step.max }, outer);
  if ('absent' in inputs) throw new Error(`Internal error: ${inputs.absent} is absent, but was there a moment ago.`);
  const max = roundsMax(inputs.value.max ?? null, path);
  let carry = inputs.value.carry as Values;
  await control('record-step', { run, change: { path, kind: 'repeat', state: 'running', with: { max, carry } } });

  const all: Values[] = [];
  let end: { ended: string; reason: string } | null = null;
  while (end === null) {
    const index = all.length + 1;
    const { scope, next, until, gain, endWhenEmpty } = bodyOfRound(step, index);
    if (index > max) end = { ended: 'max', reason: `All ${max} rounds were run.` };
    else if (endWhenEmpty !== undefined && (await isEmpty(carry[endWhenEmpty]))) {
      end = { ended: 'empty', reason: `No image is left in "${endWhenEmpty}" before round ${index}.` };
    } else {
      const round = await inPlaceOf(context, path, () =>
        runChild<RoundResult>(context, `${path}[${index}]`, {
          role: 'round',
          step: { scope, next, until, gain, endWhenEmpty },
          bindings: { ...visibleTo([scope, next, until ?? null], outer), carry, round: { index } },
        }),
      );
      if (round.emptied) {
        end = { ended: 'empty', reason: `Round ${index} found no image for "${endWhenEmpty}".` };
        continue;
      }
      carry = { ...carry, ...round.next };
      all.push(round.next);
      if (round.ended) end = { ended: 'until', reason: `After round ${index}, "${until}" held.` };
    }
  }

  const last = all.at(-1);
  const outputs = { ...end, rounds: all.length, ...(last === undefined ? {} : { last }) };
  await control('record-step', { run, change: { path, kind: 'repeat', state: 'done', outputs } });
  return { ...outputs, all };
}

function roundsMax(max: Json, path: string): number {
  if (typeof max === 'number' && Number.isInteger(max) && max >= 0) return max;
  throw ApplicationFailure.nonRetryable(
    `The loop "${path}" has max ${JSON.stringify(max)}; expected a whole number from 0 on.`,
    'ExpressionFailed',
  );
}

async function isEmpty(selection: Json | undefined): Promise<boolean> {
  return selection !== undefined && (await control('count-images', { selection })) === 0;
}
