/** What comes of a round: the values that it hands on, whether the loop ends with it, and what the loop knows afterwards. */

import { AbsentValueError, type ExpressionScope, evaluateExpression } from '../spec/expression.ts';
import { valuesBytesMax } from './limits.ts';
import { plateauReason, type Standing, standingAfter } from './plateau.ts';
import type { Json, LoopBody, PlannedValue } from './types.ts';
import { bytesOf } from './value-bytes.ts';
import { resolveValue } from './values.ts';

type Values = { readonly [name: string]: Json };

export interface RoundResult {
  /** Values of `carry` in the next round, and the round's entry in `all`. */
  readonly next: Values;
  /** Whether `until` holds. */
  readonly ended: boolean;
  /** Of the plateau; absent where the round has none. */
  readonly metric?: number;
  /** Whether the round found nothing for the selection of the next: then it made no model, and does not count. */
  readonly emptied: boolean;
  /** Every step of the round was there already. */
  readonly reused?: true;
}

/** The part of a loop's body that tells what comes of a round. */
export interface RoundEnd extends Pick<LoopBody, 'next' | 'until' | 'gain' | 'endWhenEmpty'> {
  /** CEL of the plateau's metric. */
  readonly metric?: string;
}

/** What a loop knows between two rounds. */
export interface LoopState extends Standing {
  readonly carry: Values;
  /** The round that comes next. */
  readonly index: number;
  /** What the round before handed on. */
  readonly previous?: Values;
  readonly startedAtMs: number;
  /** Of all rounds' values so far, as JSON. */
  readonly bytes?: number;
}

export interface LoopEnd {
  readonly ended: string;
  readonly reason: string;
}

/** `seen`: what expressions see once the round's steps have ended. Throws where an expression fails. */
export function roundResult({ next, until, metric, gain, endWhenEmpty }: RoundEnd, seen: ExpressionScope): RoundResult {
  const made = gain === undefined ? undefined : (seen.steps as { readonly [id: string]: Values })[gain];
  const scope = made === undefined ? seen : { ...seen, round: { ...(seen.round as Values), gain: made } };
  return {
    next: nextValues(next, scope),
    ended: isOver(until, scope),
    metric: metricOf(metric, scope),
    emptied: endWhenEmpty !== undefined && isAbsent(next[endWhenEmpty], scope),
  };
}

/** What the loop knows after a round that counts; `end` is null where it goes on. */
export function stateAfter(
  { plateau, until }: Pick<LoopBody, 'plateau' | 'until'>,
  before: LoopState,
  round: RoundResult,
  max: number,
): { readonly state: LoopState; readonly end: LoopEnd | null } {
  const { index, carry } = before;
  const ownBytes = bytesOf(round.next);
  const bytes = (before.bytes ?? 0) + ownBytes;
  const state: LoopState = {
    ...before,
    bytes,
    carry: { ...carry, ...round.next },
    index: index + 1,
    previous: round.next,
    ...(plateau === undefined ? {} : standingAfter(plateau, before, index, round.metric)),
  };
  const ends = (ended: string, reason: string) => ({ state, end: { ended, reason } });
  if (round.ended) return ends('until', `After round ${index}, "${until}" held.`);
  const flat = plateau === undefined ? null : plateauReason(plateau, state);
  if (flat !== null) return ends('plateau', flat);
  // While there is room for one more: what the rounds made must not be lost for being too much.
  if (index < max && bytes + ownBytes > valuesBytesMax) {
    const size = `${(bytes / 1e6).toFixed(1)} MB`;
    return ends(
      'size',
      `After round ${index} the values of all rounds are ${size} together; at most ${valuesBytesMax / 1e6} MB can be handed on.`,
    );
  }
  return { state, end: null };
}

/** What the round's expressions see beside its steps. */
export function roundValues({ index, previous }: LoopState): Values {
  return { index, ...(previous === undefined ? {} : { previous }) };
}

/** A value that reads what a skipped step would have made stays what it was in this round. */
function nextValues(next: { readonly [name: string]: PlannedValue }, seen: ExpressionScope): Values {
  const values: { [name: string]: Json } = {};
  const carry = (seen.carry ?? {}) as Values;
  for (const [name, value] of Object.entries(next)) {
    const found = known(() => resolveValue({ [name]: value }, seen) as Values);
    const kept = found === undefined ? carry[name] : found[name];
    if (kept !== undefined) values[name] = kept;
  }
  return values;
}

const isAbsent = (value: PlannedValue | undefined, seen: ExpressionScope): boolean =>
  value !== undefined && known(() => resolveValue({ value }, seen)) === undefined;

/** A condition over what is not there says nothing, so the loop goes on. */
function isOver(until: string | undefined, seen: ExpressionScope): boolean {
  if (until === undefined) return false;
  const over = known(() => evaluateExpression(until, seen));
  if (over === undefined || typeof over === 'boolean') return over === true;
  throw new Error(`"${until}" is ${JSON.stringify(over)}; a condition must be true or false.`);
}

function metricOf(metric: string | undefined, seen: ExpressionScope): number | undefined {
  if (metric === undefined) return undefined;
  const found = known(() => resolveValue({ metric: { $: metric } }, seen) as Values);
  // A value that is null counts as absent, and `resolveValue` has left it out.
  const value = found?.metric;
  if (value === undefined || typeof value === 'number') return value;
  throw new Error(`The metric "${metric}" is ${JSON.stringify(value)}; expected a number.`);
}

/** Undefined where it reads what is not there. */
function known<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof AbsentValueError) return undefined;
    throw error;
  }
}
