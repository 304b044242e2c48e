/** A fork whose file has changed: what differs between the two plans of the file is made in the plan of the fork, which no file says. */

import { canonicalJson } from './canonical.ts';
import { isSteps } from './compare-steps.ts';
import { freshScope, freshStep, stepsBehind } from './fork.ts';
import { type PathPart, stepsOf } from './paths.ts';
import {
  type ForkedLeg,
  isArtifactRef,
  type Json,
  type LoopBody,
  type PlannedScope,
  type PlannedStep,
  type RepeatStep,
} from './types.ts';

/** Where a fork left its run, and the mark of what it runs anew. */
export interface ForkPlace {
  readonly from: readonly PathPart[];
  readonly salt: string;
}

/**
 * `was` and `is` are the plans of the file before and after, both with the params of the fork. What is the same in both stays
 * as the fork has it; what is not is as the file has it now, and is marked where the fork runs it anew.
 */
export function followFork(
  fork: PlannedScope,
  { was, is }: { readonly was: PlannedScope; readonly is: PlannedScope },
  { from, salt }: ForkPlace,
): PlannedScope {
  return marked(withChanges(fork, was, is) as PlannedScope, from, salt);
}

type Values = { readonly [name: string]: unknown };

/** Member by member, and steps by their ids: a change of the file wins over what the fork has there. */
function withChanges(own: unknown, was: unknown, is: unknown): unknown {
  if (text(was) === text(is)) return own;
  if (text(own) === text(was)) return is;
  if (isSteps(is) && isSteps(was) && isSteps(own)) return is.map((step) => stepWithChanges(own, was, step));
  return isMapping(is) && isMapping(was) && isMapping(own) ? membersWithChanges(own, was, is) : is;
}

function stepWithChanges(own: readonly PlannedStep[], was: readonly PlannedStep[], step: PlannedStep): unknown {
  const [mine, old] = [own, was].map((steps) => steps.find(({ id }) => id === step.id));
  if (mine === undefined || old === undefined || mine.type !== step.type || old.type !== step.type) return step;
  if (mine.type === 'repeat' && mine.bodies !== undefined) {
    return loopWithChanges(mine, old as RepeatStep, step as RepeatStep);
  }
  const merged = withChanges(mine, old, step);
  if (mine.type !== 'fan-out' || mine.forked === undefined) return merged;
  const [before, after] = [old, step].map((one) => (one as typeof mine).scope);
  const forked = mine.forked.map(({ leg, scope }) => ({ leg, scope: withChanges(scope, before, after) }));
  return { ...(merged as Values), forked };
}

/** Rounds before the one at which the fork left its run are what it reuses, and stay. */
function loopWithChanges(mine: RepeatStep, old: RepeatStep, step: RepeatStep): unknown {
  const { bodies = [], ...plain } = mine;
  const body = (loop: RepeatStep | LoopBody): Values => {
    const { scope, next, until, plateau, budgetMs, gain, endWhenEmpty } = loop;
    return { scope, next, until, plateau, budgetMs, gain, endWhenEmpty };
  };
  const [before, after] = [body(old), body(step)];
  const merged = withChanges({ ...plain, ...before }, old, step) as Values;
  return {
    ...withoutAbsent({ ...merged, ...body(mine) }),
    bodies: bodies.map((each) => ({
      ...withoutAbsent(withChanges(body(each), before, after) as Values),
      from: each.from,
    })),
  };
}

function membersWithChanges(own: Values, was: Values, is: Values): Values {
  const names = new Set([...Object.keys(own), ...Object.keys(is)]);
  const members = [...names].map((name) => [name, withChanges(own[name], was[name], is[name])] as const);
  return withoutAbsent(Object.fromEntries(members));
}

/** As `forkScope` marks it, and what comes after a step that is marked already: the file may have the first one no more. */
function marked(scope: PlannedScope, from: readonly PathPart[], salt: string): PlannedScope {
  const [part, ...rest] = from;
  if (part === undefined) return freshScope(scope, salt);
  const [only] = scope.steps;
  if (only?.id === '') return { ...scope, steps: [markedInside(only, null, from, salt)] };
  const starts = stepsOf(scope).filter(({ id }) => id === part.id);
  const anew = scope.steps.filter((step) => 'fresh' in step && step.fresh === salt);
  const behind = new Set([...starts, ...anew].flatMap(({ id }) => [...stepsBehind(scope, id)]));
  const steps = scope.steps.map((step) => {
    if (behind.has(step.id)) return freshStep(step, salt);
    if (step.id !== part.id) return step;
    return part.leg === null && rest.length === 0 ? freshStep(step, salt) : markedInside(step, part.leg, rest, salt);
  });
  const last = scope.finally?.map((step) => freshStep(step, salt));
  return last === undefined ? { ...scope, steps } : { ...scope, steps, finally: last };
}

function markedInside(step: PlannedStep, leg: string | null, rest: readonly PathPart[], salt: string): PlannedStep {
  if (step.type === 'repeat') {
    const mark = ({ from, scope }: LoopBody) => {
      if (from < Number(leg)) return scope;
      return from === Number(leg) ? marked(scope, rest, salt) : freshScope(scope, salt);
    };
    return { ...step, ...(step.bodies && { bodies: step.bodies.map((body) => ({ ...body, scope: mark(body) })) }) };
  }
  if (step.type === 'fan-out') {
    const { forked } = step;
    const mark = (each: ForkedLeg) => (each.leg === leg ? { ...each, scope: marked(each.scope, rest, salt) } : each);
    return forked === undefined ? step : { ...step, forked: forked.map(mark) };
  }
  return 'scope' in step ? { ...step, scope: marked(step.scope, rest, salt) } : freshStep(step, salt);
}

const text = (value: unknown): string => (value === undefined ? '' : canonicalJson(value));

const withoutAbsent = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** Expressions, texts with some, secrets and artifacts are one value each. */
function isMapping(value: unknown): value is Values {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !isArtifactRef(value as Json) && !['$', '$text', '$secret'].some((name) => name in value);
}
