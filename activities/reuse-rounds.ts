/** Finds whole rounds of a loop that are there already, each on what the one before handed on. */

import { bodyOfRound } from '../plan/loop-body.ts';
import { type LoopState, type RoundResult, roundResult, roundValues, stateAfter } from '../plan/round-end.ts';
import type { ActivityStep, LoopBody, RepeatStep } from '../plan/types.ts';
import { bytesOf } from '../plan/value-bytes.ts';
import type { ActivityDeps } from './attempt.ts';
import { type ReusedSteps, type ReuseRequest, reuseSteps } from './reuse-steps.ts';
import { countImages } from './run-control.ts';

export interface ReuseRoundsRequest extends Pick<ReuseRequest, 'run' | 'seed' | 'environment' | 'bindings'> {
  /** Path of the loop. */
  readonly owner: string;
  readonly step: Pick<RepeatStep, keyof Omit<LoopBody, 'from'> | 'bodies'>;
  readonly state: LoopState;
  readonly max: number;
  /** The last round to look for. */
  readonly upTo: number;
}

/** A look takes seconds at most, and what travels to the workflow stays well below what Temporal refuses. */
const stepsMax = 500;
const bytesMax = 256 * 1024;

/**
 * What came of the rounds from `state.index` on, as far as every step's result is recorded; each of those steps is recorded
 * as done in this run. Stops where the workflow has to decide: a step that is skipped, a loop that ends.
 */
export async function reuseRounds(deps: ActivityDeps, request: ReuseRoundsRequest): Promise<readonly RoundResult[]> {
  const { step, max, upTo } = request;
  const found: RoundResult[] = [];
  let { state } = request;
  let steps = 0;
  for (let bytes = 0; state.index <= Math.min(max, upTo) && bytes < bytesMax; ) {
    const body = bodyOfRound(step, state.index);
    steps += body.scope.steps.length;
    if (steps > stepsMax) break;
    const round = await reuseRound(deps, request, body, state);
    if (round === null) break;
    found.push(round);
    bytes += bytesOf(round.next);
    const after = stateAfter(body, state, round, max);
    ({ state } = after);
    if (round.emptied || after.end !== null) break;
  }
  return found;
}

/** Null where the run must see to the round. */
async function reuseRound(
  deps: ActivityDeps,
  { run, seed, environment, owner, bindings }: ReuseRoundsRequest,
  { scope, plateau, endWhenEmpty, budgetMs, ...body }: LoopBody,
  state: LoopState,
): Promise<RoundResult | null> {
  const steps = scope.steps.filter(
    (step): step is ActivityStep => step.type === 'activity' && step.group === undefined,
  );
  // How much time is left is for the workflow's clock to say.
  if (steps.length < scope.steps.length || scope.parts !== undefined || budgetMs !== undefined) return null;
  const selection = endWhenEmpty === undefined ? undefined : state.carry[endWhenEmpty];
  if (selection !== undefined && (await countImages(deps, { selection })) === 0) return null;
  const outer: { [id: string]: ReusedSteps[string] } = { ...(bindings.steps as ReusedSteps) };
  // An outer step of the same name must not be seen.
  for (const { id } of steps) delete outer[id];
  const seen = { ...bindings, steps: outer, carry: state.carry, round: roundValues(state) };
  const path = `${owner}[${state.index}]`;
  const made = await reuseSteps(deps, { run, seed, environment, path, steps, ended: [], bindings: seen });
  if (Object.keys(made).length < steps.length) return null;
  try {
    const end = { ...body, endWhenEmpty, metric: plateau?.metric };
    return { ...roundResult(end, { ...seen, steps: { ...outer, ...made } }), reused: true };
  } catch {
    // The workflow comes to the same, and says so.
    return null;
  }
}
