/** Which steps of a plan a run would reuse, which it would run and what changed, and which nobody can tell yet. */

import { fingerprintOf, stepSeed } from '../artifacts/fingerprint.ts';
import { readStepResult } from '../artifacts/step-results.ts';
import type { Store } from '../artifacts/store.ts';
import { legsOf } from '../plan/legs.ts';
import { bodyOfRound } from '../plan/loop-body.ts';
import { kindOf, scopeOfLeg, stepPath } from '../plan/paths.ts';
import { plateauReason, type Standing, standingAfter } from '../plan/plateau.ts';
import { stepKinds } from '../plan/step-kinds.ts';
import type {
  FanOutStep,
  Json,
  KindStep,
  LoopBody,
  PipelineStep,
  Plan,
  PlannedScope,
  PlannedStep,
  RepeatStep,
} from '../plan/types.ts';
import { resolveValue } from '../plan/values.ts';
import { AbsentValueError, type ExpressionScope, evaluateExpression, parseExpression } from '../spec/expression.ts';
import { referencesOf } from '../spec/expression-references.ts';
import { type EarlierWork, nearestWork } from './earlier-work.ts';
import { type Change, unknownValue } from './step-changes.ts';

export type Outlook = 'reuse' | 'run' | 'unknown' | 'skip';

export interface Forecast {
  readonly path: string;
  readonly kind: string;
  readonly outlook: Outlook;
  /** Of `run` and `unknown` in a few words; where `changes` say more, they are the reason. */
  readonly reason?: string;
  /** The earlier step that did most nearly the same work. */
  readonly nearest?: { readonly run: string; readonly path: string };
  /** What differs from it, as far as that is known. */
  readonly changes?: readonly Change[];
}

/** What is known of the steps that others read. */
interface Known {
  readonly scope: ExpressionScope;
  /** Steps whose outputs are not known, with their paths. */
  readonly open: ReadonlyMap<string, string>;
  readonly skipped: ReadonlySet<string>;
}

/** Every step of the root, and of each round as far as earlier rounds are known; then one line for the rest. */
export async function forecastPlan(plan: Plan, store: Store | null, earlier: EarlierWork = []): Promise<Forecast[]> {
  const forecasts: Forecast[] = [];
  await forecastScope({ plan, store, earlier, forecasts }, plan.root, '', {
    scope: { steps: {} },
    open: new Map(),
    skipped: new Set(),
  });
  forecastEnd(forecasts, plan.root, '', 'the run has');
  return forecasts;
}

/** Whether the others will be done only the run tells, and what depends on it. */
function forecastEnd(forecasts: Forecast[], scope: PlannedScope, within: string, others: string): void {
  for (const step of scope.finally ?? []) {
    const path = stepPath(within, step.id);
    forecasts.push({ path, kind: kindOf(step), outlook: 'unknown', reason: `unknown until ${others} ended` });
  }
}

interface Forecasting {
  readonly plan: Plan;
  readonly store: Store | null;
  readonly earlier: EarlierWork;
  readonly forecasts: Forecast[];
}

type End =
  | { readonly outputs: { readonly [name: string]: Json } }
  | { readonly open: true }
  | { readonly skipped: true };

async function forecastScope(context: Forecasting, scope: PlannedScope, prefix: string, outer: Known): Promise<Known> {
  const own = new Set(scope.steps.map(({ id }) => id));
  const steps = new Map(
    Object.entries(outer.scope.steps as { readonly [id: string]: Json }).filter(([id]) => !own.has(id)),
  );
  const open = new Map([...outer.open].filter(([id]) => !own.has(id)));
  const skipped = new Set([...outer.skipped].filter((id) => !own.has(id)));
  const known = (): Known => ({ scope: { ...outer.scope, steps: Object.fromEntries(steps) }, open, skipped });
  for (const step of scope.steps) {
    const path = stepPath(prefix, step.id);
    const end = await forecastStep(context, step, path, known());
    if ('outputs' in end) steps.set(step.id, end.outputs);
    else if ('skipped' in end) skipped.add(step.id);
    else open.set(step.id, path);
  }
  return known();
}

async function forecastStep(context: Forecasting, step: PlannedStep, path: string, known: Known): Promise<End> {
  const kind = kindOf(step);
  const values = valuesOf(step);
  const waitsFor = firstOpen({ values, when: step.when === undefined ? null : { $: step.when } }, known.open);
  if (waitsFor !== null) return unknownUntil(context, step, path, waitsFor, known);
  try {
    if (step.when !== undefined && evaluateExpression(step.when, known.scope) === false) {
      context.forecasts.push({ path, kind, outlook: 'skip', reason: `when: ${step.when}` });
      return { skipped: true };
    }
    const resolved = resolveValue(values, known.scope) as { readonly [name: string]: Json };
    if (step.type === 'repeat') return await forecastRepeat(context, step, path, resolved, known);
    if (step.type === 'fan-out') return await forecastFanOut(context, step, path, resolved, known);
    if (step.type === 'pipeline') return await forecastImport(context, step, path, resolved);
    return await forecastKind(context, step, path, resolved);
  } catch (error) {
    if (!(error instanceof AbsentValueError)) throw error;
    context.forecasts.push({ path, kind, outlook: 'skip', reason: `it reads ${error.reference}, which is skipped` });
    return { skipped: true };
  }
}

/** What must be known before the step begins. */
function valuesOf(step: PlannedStep): Json {
  if (step.type === 'repeat') return { carry: step.carry, max: step.max };
  if (step.type === 'fan-out') return 'forEach' in step.legs ? { items: step.legs.forEach } : {};
  return step.type === 'pipeline' ? step.params : step.with;
}

async function forecastKind(
  { plan, store, earlier, forecasts }: Forecasting,
  step: KindStep,
  path: string,
  resolved: { readonly [name: string]: Json },
): Promise<End> {
  const { kind, version } = step;
  if (step.type === 'approve') {
    forecasts.push({ path, kind, outlook: 'run', reason: 'asks people in each run' });
    return { open: true };
  }
  const foreign = step.type === 'foreign' ? { reusable: step.reuse, seeded: true } : undefined;
  const row = foreign ?? stepKinds.get(kind)!;
  if (!row.reusable) {
    forecasts.push({ path, kind, outlook: 'run', reason: 'runs anew in each run' });
    return { open: true };
  }
  const { secrets, fresh } = step;
  const outputs = step.type === 'foreign' ? step.outputs : undefined;
  const seed = row.seeded ? stepSeed(plan.seed, path) : undefined;
  const found =
    store === null
      ? null
      : await readStepResult(store, fingerprintOf({ kind, version, with: resolved, secrets, seed, fresh, outputs }));
  if (found !== null) {
    forecasts.push({ path, kind, outlook: 'reuse' });
    return { outputs: found.outputs };
  }
  if (fresh !== undefined) {
    forecasts.push({ path, kind, outlook: 'run', reason: 'the fork runs it anew' });
    return { open: true };
  }
  const nearest = nearestWork(earlier, { kind, version, with: resolved, seed }, path, plan.pipeline);
  const absent = 'no result of the same inputs and parameters is in the store';
  const reason =
    nearest === null || nearest.changes.length > 0 ? absent : 'its earlier result is no longer in the store';
  forecasts.push({ path, kind, outlook: 'run', reason, ...differenceFrom(nearest) });
  return { open: true };
}

function differenceFrom(nearest: ReturnType<typeof nearestWork>): Pick<Forecast, 'nearest' | 'changes'> {
  if (nearest === null) return {};
  const { header, record, changes } = nearest;
  return { nearest: { run: header.run, path: record.path }, changes };
}

async function forecastRepeat(
  context: Forecasting,
  step: RepeatStep,
  path: string,
  resolved: { readonly [name: string]: Json },
  known: Known,
): Promise<End> {
  const max = resolved.max as number;
  let carry = resolved.carry as { readonly [name: string]: Json };
  const all: { readonly [name: string]: Json }[] = [];
  let standing: Standing = { stale: 0 };
  for (let index = 1; index <= max; index++) {
    const body = bodyOfRound(step, index);
    const previous = all.at(-1);
    const round = await forecastRound(context, body, `${path}[${index}]`, {
      ...known,
      scope: { ...known.scope, carry, round: { index, ...(previous === undefined ? {} : { previous }) } },
    });
    if (round === null) {
      if (index < max) {
        const reason = `unknown until ${path}[${index}] has ended`;
        context.forecasts.push({
          path: `${path}[${index + 1}${index + 1 < max ? `..${max}` : ''}]`,
          kind: 'round',
          outlook: 'unknown',
          reason,
        });
      }
      return { open: true };
    }
    carry = { ...carry, ...round.next };
    all.push(round.next);
    if (body.plateau !== undefined) standing = standingAfter(body.plateau, standing, index, round.metric);
    if (round.over || (body.plateau !== undefined && plateauReason(body.plateau, standing) !== null)) break;
  }
  const last = all.at(-1);
  const best = standing.best === undefined ? undefined : all[standing.best.round - 1];
  return {
    outputs: {
      all,
      rounds: all.length,
      ...(last === undefined ? {} : { last }),
      ...(best === undefined ? {} : { best, bestRound: standing.best!.round }),
    },
  };
}

/** Null where the round's end is not known. */
async function forecastRound(
  context: Forecasting,
  step: LoopBody,
  path: string,
  outer: Known,
): Promise<{ next: { readonly [name: string]: Json }; over: boolean; metric?: number } | null> {
  const ended = await forecastScope(context, step.scope, path, outer);
  const until = [step.until, step.plateau?.metric].map((source) => (source === undefined ? null : { $: source }));
  const gainIsOpen = step.gain !== undefined && ended.open.has(step.gain);
  if (firstOpen([step.next, until], ended.open) !== null || gainIsOpen) return null;
  const steps = ended.scope.steps as { readonly [id: string]: Json };
  const round: { [name: string]: Json } = { ...(outer.scope.round as { readonly [name: string]: Json }) };
  if (step.gain !== undefined) round.gain = steps[step.gain]!;
  const scope: ExpressionScope = { ...ended.scope, round };
  const next = nextOf(step.next, scope);
  if (next === null) return null;
  const metric = valueOrAbsent(step.plateau?.metric, scope);
  const over = valueOrAbsent(step.until, scope) === true;
  return { next, over, ...(typeof metric === 'number' ? { metric } : {}) };
}

/** Undefined over something absent: there `until` does not hold, and a round has no metric. */
function valueOrAbsent(source: string | undefined, scope: ExpressionScope): Json | undefined {
  if (source === undefined) return undefined;
  try {
    return evaluateExpression(source, scope);
  } catch (error) {
    if (error instanceof AbsentValueError) return undefined;
    throw error;
  }
}

/** Every leg; the outputs are known where those of all legs are. */
async function forecastFanOut(
  context: Forecasting,
  step: FanOutStep,
  path: string,
  resolved: { readonly [name: string]: Json },
  known: Known,
): Promise<End> {
  const all: Json[] = [];
  let open = false;
  for (const { name, names } of legsOf(step, path, resolved.items ?? null)) {
    const legPath = `${path}[${name}]`;
    const outer: Known = { ...known, scope: { ...known.scope, ...names } };
    if (step.legWhen !== undefined && evaluateExpression(step.legWhen, outer.scope) === false) {
      const reason = `when: ${step.legWhen}`;
      context.forecasts.push({ path: legPath, kind: kindOf(step), outlook: 'skip', reason });
      continue;
    }
    const ended = await forecastScope(context, scopeOfLeg(step, name), legPath, outer);
    if (ended.open.has('') || firstOpen(step.outputs ?? null, ended.open) !== null) {
      open = true;
      continue;
    }
    const steps = ended.scope.steps as { readonly [id: string]: { readonly [name: string]: Json } };
    const outputs = step.outputs === undefined ? steps[''] : resolveKnown(step.outputs, ended.scope);
    if (outputs !== undefined) all.push({ ...names, ...outputs });
  }
  return open ? { open: true } : { outputs: { all, legs: all.length } };
}

/** The steps of another file, which see its params and nothing else. */
async function forecastImport(
  context: Forecasting,
  step: PipelineStep,
  path: string,
  params: { readonly [name: string]: Json },
): Promise<End> {
  const inside: Known = { scope: { steps: {}, params }, open: new Map(), skipped: new Set() };
  const ended = await forecastScope(context, step.scope, path, inside);
  forecastEnd(context.forecasts, step.scope, path, `the steps of ${path} have`);
  if (firstOpen(step.outputs, ended.open) !== null) return { open: true };
  return { outputs: resolveKnown(step.outputs, ended.scope) };
}

/** Without those that read what a skipped step would have made. */
function resolveKnown(values: { readonly [name: string]: Json }, scope: ExpressionScope) {
  const resolved: { [name: string]: Json } = {};
  for (const [name, value] of Object.entries(values)) {
    try {
      resolved[name] = resolveValue(value, scope);
    } catch (error) {
      if (!(error instanceof AbsentValueError)) throw error;
    }
  }
  return resolved;
}

/** Null where a skipped step leaves something out: then the loop may end for reasons that only the run finds. */
function nextOf(next: RepeatStep['next'], scope: ExpressionScope): { readonly [name: string]: Json } | null {
  try {
    return resolveValue(next, scope) as { readonly [name: string]: Json };
  } catch (error) {
    if (error instanceof AbsentValueError) return null;
    throw error;
  }
}

function unknownUntil(context: Forecasting, step: PlannedStep, path: string, waitsFor: string, known: Known): End {
  const reason = `unknown until ${waitsFor} has ended`;
  const kind = kindOf(step);
  if ('fresh' in step) {
    context.forecasts.push({ path, kind, outlook: 'run', reason: `the fork runs it anew, after ${waitsFor}` });
    return { open: true };
  }
  const difference = 'scope' in step ? {} : knownDifference(context, step, path, known);
  context.forecasts.push({ path, kind, outlook: 'unknown', reason, ...difference });
  return { open: true };
}

/** What has changed whatever the steps before it bring. */
function knownDifference(
  { plan, earlier }: Forecasting,
  { kind, version, with: values }: KindStep,
  path: string,
  known: Known,
): Pick<Forecast, 'nearest' | 'changes'> {
  const parameters = resolvePartly(values, known.scope, known.open) as { readonly [name: string]: Json };
  // An activity of another program has no row, and is given a seed.
  const seed = (stepKinds.get(kind)?.seeded ?? true) ? stepSeed(plan.seed, path) : undefined;
  const nearest = nearestWork(earlier, { kind, version, with: parameters, seed }, path, plan.pipeline);
  // Other work at another place is no earlier form of this step.
  if (nearest === null || nearest.record.path !== path || nearest.header.pipeline !== plan.pipeline) return {};
  return nearest.changes.length === 0 ? {} : differenceFrom(nearest);
}

/** A value of a step's `with`, in which `unknownValue` stands for what cannot be computed yet. */
export function resolvePartly(
  value: Json,
  scope: ExpressionScope,
  open: ReadonlyMap<string, string> = new Map(),
): Json {
  if (typeof value !== 'object' || value === null) return value;
  if ('$' in value || '$text' in value) {
    if (firstOpen(value, open) !== null) return unknownValue;
    try {
      return resolveValue(value, scope);
    } catch {
      return unknownValue;
    }
  }
  if (Array.isArray(value)) return value.map((item) => resolvePartly(item, scope, open));
  const entries = Object.entries(value as { readonly [key: string]: Json });
  const resolved = entries.map(([key, item]): [string, Json] => [key, resolvePartly(item, scope, open)]);
  // As in `resolveValue`: an expression that gives null leaves its parameter out.
  return Object.fromEntries(resolved.filter(([key, item]) => item !== null || value[key as never] === null));
}

/** Path of the first step that a value reads and whose outputs are not known. */
function firstOpen(value: Json, open: ReadonlyMap<string, string>): string | null {
  if (open.size === 0) return null;
  for (const source of expressionsIn(value)) {
    for (const { root, keys } of referencesOf(parseExpression(source))) {
      const path = root === 'steps' ? open.get(keys[0]?.name ?? '') : undefined;
      if (path !== undefined) return path;
    }
  }
  return null;
}

function expressionsIn(value: Json): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries = Object.entries(value as { readonly [key: string]: Json });
  return entries.flatMap(([key, item]) => (key === '$' && typeof item === 'string' ? [item] : expressionsIn(item)));
}
