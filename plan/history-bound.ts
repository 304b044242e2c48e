/**
 * How long the histories of a run's workflows can become, and which parts of the plan are child workflows so that they
 * do not become longer. For a run in which every step succeeds at once or after its own retries, which cost no events:
 * each hold with its retry, and each message of a reviewer, adds `eventsPerMessage` at most.
 */

import {
  legsMax,
  legsNested,
  legsPerBatch,
  roundsInline,
  roundsMax,
  roundsPerBatch,
  searchEventsMax,
  trialsAtOnce,
} from './limits.ts';
import { innerPath, stepPath } from './paths.ts';
import { partsOfScope } from './step-events.ts';
import type { FanOutStep, Json, Plan, PlannedScope, PlannedStep, RepeatStep } from './types.ts';

export interface HistoryBound {
  /**
   * Path of the part that the workflow runs, with `[]` for a round or leg, `[..]` for a batch of them, `[all]` for all
   * batches, `#2` for the second part of a scope, `#end1` for the first of its `finally`; '' is the root.
   */
  readonly workflow: string;
  /** Why it is a workflow of its own. */
  readonly runs: 'run' | 'part' | 'rounds' | 'round' | 'fan-out' | 'legs' | 'leg' | 'search' | 'pipeline';
  /** At most so many events. */
  readonly events: number;
  /** At most so many such workflows within the one around it. */
  readonly count: number;
}

// https://docs.temporal.io/workflow-execution/event: what each thing adds, the workflow task (3) that it wakes included.
const task = 3;
const activity = 3 + task;
const timer = 2 + task;
const childWorkflow = 3 + 2 * task;
const signalSent = 2 + task;
const signalTaken = 1 + task;
/** Started, and its end. */
const ownFrame = 2 + task;

/** A message of a reviewer or of somebody who retries: taken, passed on, written, answered. */
export const eventsPerMessage = 2 + task + 2 * signalSent + 2 * signalTaken + activity;

/** What a part adds to the workflow that runs it, and to those above, whom it tells that it waits. */
interface Cost {
  readonly own: number;
  /** Changes of state that its parent hears of. */
  readonly states: number;
  /** Messages between a gate and the root, beside the decisions. */
  readonly rootMessages: number;
  /** Those that go through the workflows between; fewer, where there are several at a time. */
  readonly relayed: number;
}

const nothing: Cost = { own: 0, states: 0, rootMessages: 0, relayed: 0 };
const add = (a: Cost, b: Cost): Cost => ({
  own: a.own + b.own,
  states: a.states + b.states,
  rootMessages: a.rootMessages + b.rootMessages,
  relayed: a.relayed + b.relayed,
});
const times = (cost: Cost, count: number): Cost => ({
  own: cost.own * count,
  states: cost.states * count,
  rootMessages: cost.rootMessages * count,
  relayed: cost.relayed * count,
});

/** What is inside tells the workflows around of its gates, and they the root. */
const bundled = (cost: Cost): Cost => ({ ...cost, rootMessages: 0, relayed: cost.rootMessages + cost.relayed });

/** A workflow passes on what its children tell it, and what comes of that. */
const passing = ({ states, relayed }: Cost): number =>
  states * (signalTaken + signalSent) + relayed * (2 * (signalTaken + signalSent) + timer);

/** The root first, then what is inside of it, in the order of the plan. */
export function historyBounds(plan: Plan): HistoryBound[] {
  const inner: HistoryBound[] = [];
  const { own, states, rootMessages, relayed } = scopeCost(plan.root, '', inner);
  // open-run, perhaps load-plan, close-run; each change of state is recorded; gates tell the root, which answers.
  const turns = plan.root.concurrency === undefined ? 0 : turn;
  const events =
    ownFrame + 3 * activity + turns + own + states * activity + (rootMessages + relayed) * (signalTaken + signalSent);
  return [{ workflow: '', runs: 'run', events, count: 1 }, ...inner];
}

function scopeCost(scope: PlannedScope, within: string, found: HistoryBound[]): Cost {
  const { steps, parts, finally: atEnd = [], finallyParts } = scope;
  const body = partsCost({ steps, parts }, `${within}#`, within, found);
  return add(body, partsCost({ steps: atEnd, parts: finallyParts }, `${within}#end`, within, found));
}

function partsCost(scope: PlannedScope, name: string, within: string, found: HistoryBound[]): Cost {
  if (scope.parts === undefined) return stepsCost(scope.steps, within, found);
  const parts = partsOfScope(scope);
  return parts.map((steps, at) => partCost(steps, within, `${name}${at + 1}`, found)).reduce(add, nothing);
}

/** A part of a scope: its steps have the paths that they would have without parts. */
function partCost(steps: readonly PlannedStep[], within: string, workflow: string, found: HistoryBound[]): Cost {
  const place = found.length;
  const inner = bundled(stepsCost(steps, within, found));
  const events = ownFrame + inner.own + passing(inner);
  found.splice(place, 0, { workflow, runs: 'part', events, count: 1 });
  return { ...inner, own: childWorkflow + inner.states * signalTaken };
}

function stepsCost(steps: readonly PlannedStep[], within: string, found: HistoryBound[]): Cost {
  return steps.map((step) => stepCost(step, stepPath(within, step.id), found)).reduce(add, nothing);
}

/** A turn in a concurrency group: asked for, told to people, granted, given back; counted for all steps that have one. */
const turn = 2 * activity + timer + signalTaken + signalSent;

function stepCost(step: PlannedStep, path: string, found: HistoryBound[]): Cost {
  const cost = workCost(step, path, found);
  return 'group' in step && step.group !== undefined ? add(cost, { ...nothing, own: turn }) : cost;
}

function workCost(step: PlannedStep, path: string, found: HistoryBound[]): Cost {
  switch (step.type) {
    case 'repeat':
      return loopCost(step, path, found);
    case 'fan-out':
      return fanOutCost(step, path, found);
    case 'pipeline':
      // A leg whose only step it is is a workflow of its own already.
      if (step.id === '') return add({ ...nothing, own: 2 * activity }, scopeCost(step.scope, path, found));
      return add({ ...nothing, own: 2 * activity }, childCost(step.scope, path, 'pipeline', 1, found));
    case 'search': {
      const trials = trialsOf(step.with);
      const events = ownFrame + (3 * trials + 1) * activity;
      // What runs when a new history is due has its ends in the old one.
      const renewed = searchEventsMax + trialsAtOnce * 2 * activity;
      found.push({ workflow: path, runs: 'search', events: Math.min(events, renewed), count: 1 });
      return { ...nothing, own: 2 * activity + childWorkflow };
    }
    case 'foreign': {
      // Begun and finished; each attempt is an activity of its own, recorded and waited out where it fails.
      const attempts = Math.max(1, step.retry.max);
      return { ...nothing, own: 2 * activity + attempts * (2 * activity + 2 * timer) };
    }
    default:
      // One that is skipped is recorded by an activity too.
      return isWaiting(step) ? gateCost : { ...nothing, own: activity };
  }
}

const isWaiting = (step: PlannedStep): boolean => step.type === 'gate' || ('form' in step && step.form !== undefined);

/** Opened, reminded, escalated, closed; it begins to wait and ends to, and tells the root of both. */
const gateCost: Cost = {
  own: 4 * activity + 3 * timer + 2 * signalSent + 2 * signalTaken,
  states: 2,
  rootMessages: 2,
  relayed: 0,
};

/** Adds the workflow of the scope, `count` of them in the one that asks; what each costs that one. */
function childCost(
  scope: PlannedScope,
  path: string,
  runs: HistoryBound['runs'],
  count: number,
  found: HistoryBound[],
): Cost {
  const at = found.length;
  const inner = scopeCost(scope, path, found);
  // Told of a change of state by its children, it tells its own parent.
  const events = ownFrame + inner.own + passing(inner);
  found.splice(at, 0, { workflow: path, runs, events, count });
  return { ...inner, own: childWorkflow + inner.states * signalTaken };
}

function loopCost(step: RepeatStep, path: string, found: HistoryBound[]): Cost {
  const max = numberOf(step.max) ?? roundsMax;
  const isInline = max <= (step.perBatch ?? roundsInline);
  const perBatch = Math.min(max, step.perBatch ?? roundsPerBatch);
  const at = found.length;
  // The longest of its bodies stands for all.
  const bodies = [step.scope, ...(step.bodies ?? []).map(({ scope }) => scope)];
  const rounds = bodies.map((scope) => {
    const inside: HistoryBound[] = [];
    const cost = childCost(scope, innerPath(step, path), 'round', isInline ? max : perBatch, inside);
    return { cost, inside };
  });
  const longest = rounds.reduce((a, b) => ((b.inside[0]?.events ?? 0) > (a.inside[0]?.events ?? 0) ? b : a));
  const round = add(longest.cost, { ...nothing, own: step.endWhenEmpty === undefined ? 0 : activity });
  const records = { ...nothing, own: 2 * activity };
  if (isInline) {
    found.push(...longest.inside);
    return add(records, times(round, max));
  }
  const batch = times(round, perBatch);
  const events = ownFrame + batch.own + passing(batch);
  const count = Math.ceil(max / perBatch);
  found.splice(at, 0, { workflow: `${path}[..]`, runs: 'rounds', events, count }, ...longest.inside);
  return add(records, times({ ...batch, own: childWorkflow + batch.states * signalTaken }, count));
}

/**
 * Batches, in a workflow of their own where there are very many. Where the run alone knows how many there are, the scope
 * may have as many as need none.
 */
function batchesCost(
  each: Cost,
  { all, known, nested }: { readonly all: number; readonly known: boolean; readonly nested: number },
  path: string,
  inside: readonly HistoryBound[],
  found: HistoryBound[],
  at: number,
): Cost {
  const total = times(each, all);
  if (all <= nested) {
    found.splice(at, 0, ...inside);
    return total;
  }
  const events = ownFrame + total.own + passing(total);
  found.splice(at, 0, { workflow: path, runs: 'fan-out', events, count: 1 }, ...inside);
  const below = { ...total, own: childWorkflow + total.states * signalTaken };
  const beside = times(each, nested);
  return known || below.own > beside.own ? below : { ...total, own: beside.own };
}

/** Slots come back a quarter at a time (workflows/run-batch.ts). */
const slotMessages = 6;

function fanOutCost(step: FanOutStep, path: string, found: HistoryBound[]): Cost {
  const legs = 'matrix' in step.legs ? step.legs.matrix.length : (listOf(step.legs.forEach)?.length ?? legsMax);
  const perBatch = Math.max(1, Math.min(legs, step.perBatch ?? legsPerBatch));
  const at = found.length;
  const longest = [step, ...(step.forked ?? [])]
    .map(({ scope }) => {
      const inside: HistoryBound[] = [];
      return { cost: childCost(scope, innerPath(step, path), 'leg', perBatch, inside), inside };
    })
    .reduce((most, each) => (each.inside[0]!.events > most.inside[0]!.events ? each : most));
  const batch = times(bundled(longest.cost), perBatch);
  const count = Math.ceil(legs / perBatch);
  // Where there are several, a batch is given slots, and gives back those that it does not need.
  const slots = count > 1 ? slotMessages * (signalSent + signalTaken) : 0;
  const events = ownFrame + batch.own + passing(batch) + slots;
  const inside: HistoryBound[] = [{ workflow: `${path}[..]`, runs: 'legs', events, count }, ...longest.inside];
  const each = { ...batch, own: childWorkflow + batch.states * signalTaken + slots };
  const isKnown = 'matrix' in step.legs || listOf(step.legs.forEach) !== null;
  const of = { all: count, known: isKnown, nested: Math.ceil(legsNested / perBatch) };
  return add({ ...nothing, own: 2 * activity }, batchesCost(each, of, `${path}[all]`, inside, found, at));
}

/** Combinations of a capacity search; lists that come up in the run are as long as those of its defaults. */
function trialsOf(parameters: { readonly [name: string]: Json }): number {
  const sizes = ['depth', 'width', 'imageSize', 'anchors'].map((name) => listOf(parameters[name])?.length ?? 1);
  return sizes.reduce((product, length) => product * Math.max(1, length), 1);
}

const numberOf = (value: Json): number | null => (typeof value === 'number' ? value : null);

const listOf = (value: Json | undefined): readonly Json[] | null =>
  Array.isArray(value) ? (value as readonly Json[]) : null;
