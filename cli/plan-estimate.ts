/** How long a run will take, from the times of earlier runs: the work of its steps, and the way from start to end. */

import { stepPath } from '../plan/paths.ts';
import { stepKinds } from '../plan/step-kinds.ts';
import type { FanOutStep, Json, Plan, PlannedScope, PlannedStep } from '../plan/types.ts';
import { type EarlierWork, estimateMs, templateOf } from './earlier-work.ts';
import { type Forecast, resolvePartly } from './plan-forecast.ts';

export interface PlanEstimate {
  /** Of all steps that are not reused, rounds that may not come included: an upper bound. */
  readonly workMs: number;
  /** From start to end with one worker for training, without waiting for people. */
  readonly elapsedMs: number;
  /** Of one run of the step, by its path with `[]` for rounds. */
  readonly steps: ReadonlyMap<string, number>;
  /** Steps that were never run before, and so count as nothing. */
  readonly unmeasured: readonly string[];
}

interface Estimating {
  readonly plan: Plan;
  readonly earlier: EarlierWork;
  readonly outlooks: ReadonlyMap<string, Forecast['outlook']>;
  readonly steps: Map<string, number>;
  readonly unmeasured: Set<string>;
}

interface Cost {
  readonly workMs: number;
  /** Of the work, what the one worker for training does. */
  readonly trainMs: number;
  readonly elapsedMs: number;
}

const nothing: Cost = { workMs: 0, trainMs: 0, elapsedMs: 0 };

export function estimatePlan(plan: Plan, earlier: EarlierWork, forecasts: readonly Forecast[]): PlanEstimate {
  const outlooks = new Map(forecasts.map(({ path, outlook }) => [path, outlook]));
  const estimating: Estimating = { plan, earlier, outlooks, steps: new Map(), unmeasured: new Set() };
  const { workMs, trainMs, elapsedMs } = scopeCost(estimating, plan.root, '');
  // Trainings that the graph lets run side by side wait for each other all the same.
  const bound = Math.max(elapsedMs, trainMs);
  return { workMs, elapsedMs: bound, steps: estimating.steps, unmeasured: [...estimating.unmeasured] };
}

/** The steps of `finally` come after all others. */
function scopeCost(estimating: Estimating, scope: PlannedScope, within: string): Cost {
  const body = stepsCost(estimating, scope.steps, within);
  if (scope.finally === undefined) return body;
  const last = stepsCost(estimating, scope.finally, within);
  return { ...added(body, last), elapsedMs: body.elapsedMs + last.elapsedMs };
}

/** A step begins when the last of those it needs has ended. */
function stepsCost(estimating: Estimating, steps: readonly PlannedStep[], within: string): Cost {
  const ends = new Map<string, number>();
  let total = nothing;
  for (const step of steps) {
    const cost = stepCost(estimating, step, stepPath(within, step.id));
    const begin = Math.max(0, ...step.needs.map((id) => ends.get(id) ?? 0));
    ends.set(step.id, begin + cost.elapsedMs);
    total = {
      workMs: total.workMs + cost.workMs,
      trainMs: total.trainMs + cost.trainMs,
      elapsedMs: Math.max(total.elapsedMs, begin + cost.elapsedMs),
    };
  }
  return total;
}

function stepCost(estimating: Estimating, step: PlannedStep, path: string): Cost {
  const outlook = estimating.outlooks.get(path);
  if (outlook === 'skip') return nothing;
  if (step.type === 'repeat') {
    const costs = roundsOf(estimating, step.max, path).map((index) =>
      scopeCost(estimating, step.scope, `${path}[${index}]`),
    );
    return costs.reduce((sum, cost) => ({ ...added(sum, cost), elapsedMs: sum.elapsedMs + cost.elapsedMs }), nothing);
  }
  if (step.type === 'fan-out') {
    const costs = legsOf(estimating, step, path).map((name) => scopeCost(estimating, step.scope, `${path}[${name}]`));
    const sum = costs.reduce(added, nothing);
    const together = costs.reduce((total, { elapsedMs }) => total + elapsedMs, 0);
    const longest = Math.max(0, ...costs.map(({ elapsedMs }) => elapsedMs));
    return { ...sum, elapsedMs: Math.max(longest, together / step.concurrency) };
  }
  if (step.type === 'pipeline') return scopeCost(estimating, step.scope, path);
  const { plan, earlier, steps, unmeasured } = estimating;
  const { kind, version } = step;
  const identity = {
    kind,
    version,
    with: resolvePartly(step.with, { steps: {} }) as { readonly [name: string]: Json },
  };
  const ms = estimateMs(earlier, identity, path, plan.pipeline);
  if (ms !== null) steps.set(templateOf(path), ms);
  if (outlook === 'reuse') return nothing;
  if (ms === null) {
    unmeasured.add(templateOf(path));
    return nothing;
  }
  return { workMs: ms, trainMs: stepKinds.get(kind)?.queue === 'train' ? ms : 0, elapsedMs: ms };
}

const added = (sum: Cost, cost: Cost): Cost => ({
  workMs: sum.workMs + cost.workMs,
  trainMs: sum.trainMs + cost.trainMs,
  elapsedMs: Math.max(sum.elapsedMs, cost.elapsedMs),
});

/** Names of the legs: as many as the matrix has, or the list had in an earlier run. */
function legsOf({ outlooks, earlier, plan }: Estimating, { legs }: FanOutStep, path: string): readonly string[] {
  if ('matrix' in legs) return legs.matrix.map(({ name }) => name);
  const nameIn = (each: string) => (each.startsWith(`${path}[`) ? [each.slice(path.length + 1).split(']')[0]!] : []);
  const known = [...new Set([...outlooks.keys()].flatMap(nameIn))];
  if (known.length > 0) return known;
  const last = earlier.find(
    ({ header, record }) => header.pipeline === plan.pipeline && nameIn(record.path).length > 0,
  );
  if (last === undefined) return ['1'];
  const records = earlier.filter(({ header }) => header.run === last.header.run);
  return [...new Set(records.flatMap(({ record }) => nameIn(record.path)))];
}

/** Indexes of the rounds that may come. */
function roundsOf({ outlooks, earlier, plan }: Estimating, max: Json, path: string): number[] {
  const known = [...outlooks].filter(([each]) => each.startsWith(`${path}[`));
  const indexes = known.map(([each]) => Number.parseInt(each.slice(path.length + 1), 10));
  // A loop whose rounds are all known has ended where they end, whatever its largest number.
  const over = known.length > 0 && known.every(([, outlook]) => outlook === 'reuse' || outlook === 'skip');
  const before = earlier.find(({ header, record }) => header.pipeline === plan.pipeline && record.path === path);
  const rounds = before?.record.outputs?.rounds;
  const most = typeof max === 'number' ? max : typeof rounds === 'number' ? rounds : 1;
  const last = over ? Math.max(...indexes) : Math.max(most, ...indexes);
  return Array.from({ length: last }, (_, i) => i + 1);
}
