/** A scope on its way to the plan: each step with its expressions and the names that it reads, before any order or type. */

import {
  type ImportStepSpec,
  isRecord,
  type KindStepSpec,
  type LegsStepSpec,
  pointerTo,
  type RepeatStepSpec,
  type StepSpec,
  type StepSpecs,
} from '../spec/types.ts';
import { approveRow, askedValues } from './approve-row.ts';
import { foreignRow } from './foreign-row.ts';
import { resolveImport } from './imports.ts';
import {
  type Compiling,
  expressionsOf,
  isConstant,
  planSlot,
  readCondition,
  readSlots,
  type Slot,
  type SlotExpression,
} from './slots.ts';
import { type StepKind, stepKinds } from './step-kinds.ts';
import type { Json, PlannedValue } from './types.ts';

interface DraftBase {
  readonly id: string;
  /** How messages call it: its id, also where it is the only step of a leg. */
  readonly name: string;
  readonly pointer: string;
  /** Expressions that see the step's own scope, by pointer. */
  readonly slots: ReadonlyMap<string, Slot>;
  readonly when?: Slot | boolean;
  /** Ids of `needs`, with their pointers. */
  readonly needs: readonly { readonly id: string; readonly pointer: string }[];
  /** Steps that it reads, in its scope or further out. */
  readonly reads: ReadonlySet<string>;
  readonly readsGain: boolean;
}

export interface KindDraft extends DraftBase {
  readonly type: 'kind';
  readonly spec: KindStepSpec;
  /** Absent for a step of which too little is known. */
  readonly row?: StepKind;
  /** `evaluate` at every label version that the run makes. */
  readonly allVersions: boolean;
}

export interface RepeatDraft extends DraftBase {
  readonly type: 'repeat';
  readonly spec: RepeatStepSpec;
  readonly body: readonly Draft[];
  /** Expressions that see the body: of `until` and `next`. */
  readonly inner: ReadonlyMap<string, Slot>;
  readonly until?: Slot;
  readonly metric?: Slot;
  /** Whether `until`, `next` or a step of the body reads `round.gain`. */
  readonly bodyReadsGain: boolean;
  /** Whether a step of the body makes new label versions. */
  readonly reviews: boolean;
}

/** A step, or a sub-graph, that runs once for each leg. */
export interface FanOutDraft extends DraftBase {
  readonly type: 'fan-out';
  readonly spec: KindStepSpec | LegsStepSpec | ImportStepSpec;
  /** The steps of a leg; a step of a kind stands alone, with the id ''. */
  readonly body: readonly Draft[];
  /** Expressions that see the body: of `outputs`. */
  readonly inner: ReadonlyMap<string, Slot>;
  /** A list that steps or params give. */
  readonly forEach?: Slot;
  /** A condition that reads what only a leg sees, and so is asked for each leg. */
  readonly legWhen?: Slot;
  readonly reviews: boolean;
}

/** The steps of another file. */
export interface ImportDraft extends DraftBase {
  readonly type: 'pipeline';
  readonly spec: ImportStepSpec;
  readonly reviews: boolean;
}

/** A step that the compiler puts into a round; its values are planned already. */
export interface InsertedDraft extends DraftBase {
  readonly type: 'inserted';
  readonly row: StepKind;
  readonly with: { readonly [name: string]: Json };
}

export type Draft = KindDraft | RepeatDraft | FanOutDraft | ImportDraft | InsertedDraft;

export function draftScope(compiling: Compiling, steps: StepSpecs, pointer: string): Draft[] {
  return Object.entries(steps).map(([id, spec]) => {
    const at = pointerTo(pointer, id);
    if ('repeat' in spec) return draftRepeat(compiling, id, spec, at);
    if (spec.matrix !== undefined || spec.forEach !== undefined || 'steps' in spec) {
      return draftFanOut(compiling, id, spec, at);
    }
    return 'pipeline' in spec ? draftImport(compiling, id, spec, at) : draftKind(compiling, id, spec, at);
  });
}

function draftKind(
  compiling: Compiling,
  id: string,
  spec: KindStepSpec,
  pointer: string,
  name: string = id,
): KindDraft {
  const slots = new Map<string, Slot>();
  const read = (value: Json | undefined, ...keys: readonly string[]) => {
    if (value !== undefined) readSlots(compiling, value, pointerTo(pointer, ...keys), slots);
  };
  read(spec.with, 'with');
  read(spec.retry as Json | undefined, 'retry');
  read(spec.timeout, 'timeout');
  read(spec.heartbeat, 'heartbeat');
  read(groupOf(spec), 'concurrency', 'group');
  read(askedValues(spec.approve), 'approve');
  return {
    type: 'kind',
    id,
    name,
    spec,
    pointer,
    slots,
    ...commonParts(compiling, spec, pointer, slots),
    row: rowOf(spec),
    allVersions: spec.uses === 'evaluate' && labelsOf(compiling, spec, pointer, slots) === 'all',
  };
}

/** What an evaluation says of its labels, as far as it is known before the run. */
function labelsOf(
  compiling: Compiling,
  spec: KindStepSpec,
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
): PlannedValue | undefined {
  const slot = slots.get(pointerTo(pointer, 'with', 'labels'));
  return slot !== undefined && isConstant(compiling, slot) ? planSlot(compiling, slot) : spec.with?.labels;
}

/** The concurrency group of a step of a kind. */
export function groupOf({ concurrency }: KindStepSpec): string | undefined {
  return typeof concurrency === 'object' ? concurrency.group : undefined;
}

function rowOf(spec: KindStepSpec): StepKind | undefined {
  if (spec.approve !== undefined) return approveRow(spec.approve);
  return spec.activity === undefined ? stepKinds.get(spec.uses) : foreignRow(spec.activity, spec);
}

function draftRepeat(compiling: Compiling, id: string, spec: RepeatStepSpec, pointer: string): RepeatDraft {
  const slots = new Map<string, Slot>();
  const inner = new Map<string, Slot>();
  const { max, until, carry, plateau, budget } = spec.repeat;
  const repeatPointer = pointerTo(pointer, 'repeat');
  readSlots(compiling, max, pointerTo(repeatPointer, 'max'), slots);
  readSlots(compiling, carry, pointerTo(repeatPointer, 'carry'), slots);
  const untilPointer = pointerTo(repeatPointer, 'until');
  const untilSlot = typeof until === 'string' ? readCondition(compiling, until, untilPointer) : undefined;
  if (untilSlot !== undefined) inner.set(untilPointer, untilSlot);
  const plateauPointer = pointerTo(repeatPointer, 'plateau');
  const metricPointer = pointerTo(plateauPointer, 'metric');
  const metric =
    typeof plateau?.metric === 'string'
      ? readCondition(compiling, plateau.metric, metricPointer, 'A metric')
      : undefined;
  if (metric !== undefined) inner.set(metricPointer, metric);
  readSlots(compiling, plateau?.patience, pointerTo(plateauPointer, 'patience'), slots);
  readSlots(compiling, plateau?.minDelta, pointerTo(plateauPointer, 'minDelta'), slots);
  readSlots(compiling, budget, pointerTo(repeatPointer, 'budget'), slots);
  const body = draftScope(compiling, spec.steps, pointerTo(pointer, 'steps'));
  readSlots(compiling, spec.next, pointerTo(pointer, 'next'), inner);

  const parts = commonParts(compiling, spec, pointer, slots);
  const inside = new Set(body.map((draft) => draft.id));
  const readInside = [...body.flatMap((draft) => [...draft.reads]), ...stepsRead(inner.values())];
  return {
    type: 'repeat',
    id,
    name: id,
    spec,
    pointer,
    slots,
    inner,
    body,
    ...parts,
    until: untilSlot,
    metric,
    reads: new Set([...parts.reads, ...readInside.filter((read) => !inside.has(read))]),
    bodyReadsGain: readsGain(inner.values()) || body.some((draft) => draft.readsGain),
    reviews: body.some(makesVersions),
  };
}

function draftImport(
  compiling: Compiling,
  id: string,
  spec: ImportStepSpec,
  pointer: string,
  name: string = id,
): ImportDraft {
  const slots = new Map<string, Slot>();
  readSlots(compiling, spec.with, pointerTo(pointer, 'with'), slots);
  const file = compiling.importing.files.get(resolveImport(compiling.parsed.source.file, spec.pipeline));
  const steps = file !== undefined && 'spec' in file ? file.spec?.steps : undefined;
  const parts = commonParts(compiling, spec, pointer, slots);
  return { type: 'pipeline', id, name, spec, pointer, slots, ...parts, reviews: usesReview(steps) };
}

/** Whether a step of the file, or of a sub-graph in it, is a review. */
function usesReview(steps: StepSpecs | undefined): boolean {
  return Object.values(steps ?? {}).some((step) =>
    'steps' in step ? usesReview(step.steps) : 'uses' in step && step.uses === 'review-labels',
  );
}

/** Names that only a leg sees, by what makes the legs. */
const legNames = { matrix: ['matrix'], forEach: ['item', 'index'] } as const;

function draftFanOut(
  compiling: Compiling,
  id: string,
  spec: KindStepSpec | LegsStepSpec | ImportStepSpec,
  pointer: string,
): FanOutDraft {
  const slots = new Map<string, Slot>();
  const inner = new Map<string, Slot>();
  readSlots(compiling, spec.matrix as Json | undefined, pointerTo(pointer, 'matrix'), slots);
  // As an object it is a group, which each leg enters by itself.
  if (!isRecord(spec.concurrency) || 'steps' in spec) {
    readSlots(compiling, spec.concurrency as Json | undefined, pointerTo(pointer, 'concurrency'), slots);
  }
  const forEachPointer = pointerTo(pointer, 'forEach');
  const forEach =
    typeof spec.forEach === 'string' ? readCondition(compiling, spec.forEach, forEachPointer, 'A list') : undefined;
  if (forEach !== undefined) slots.set(forEachPointer, forEach);
  else readSlots(compiling, spec.forEach as Json | undefined, forEachPointer, slots);

  const { when, ...alone } = spec;
  const body =
    'steps' in spec
      ? draftScope(compiling, spec.steps, pointerTo(pointer, 'steps'))
      : [draftAlone(compiling, { ...(alone as KindStepSpec | ImportStepSpec), needs: [] }, pointer, id)];
  if ('steps' in spec) readSlots(compiling, spec.outputs, pointerTo(pointer, 'outputs'), inner);

  const parts = commonParts(compiling, spec, pointer, slots);
  const own: readonly string[] = legNames[spec.matrix === undefined ? 'forEach' : 'matrix'];
  const asksLeg = typeof parts.when === 'object' && expressionsOf(parts.when).some(readsAny(own));
  if (asksLeg) slots.delete(parts.when.pointer);
  const legWhen = asksLeg ? parts.when : undefined;
  const inside = new Set(body.map((draft) => draft.id));
  const innerSlots = [...inner.values(), ...(legWhen === undefined ? [] : [legWhen])];
  const readInside = [...body.flatMap((draft) => [...draft.reads]), ...stepsRead(innerSlots)];
  return {
    type: 'fan-out',
    id,
    name: id,
    spec,
    pointer,
    slots,
    inner,
    body,
    ...parts,
    when: asksLeg ? undefined : when === undefined ? undefined : parts.when,
    forEach,
    legWhen,
    reads: new Set([...parts.reads, ...readInside.filter((read) => !inside.has(read))]),
    readsGain: parts.readsGain || readsGain(innerSlots) || body.some((draft) => draft.readsGain),
    reviews: body.some(makesVersions),
  };
}

/** The only step of a leg. */
function draftAlone(compiling: Compiling, spec: KindStepSpec | ImportStepSpec, pointer: string, name: string): Draft {
  return 'pipeline' in spec
    ? draftImport(compiling, '', spec, pointer, name)
    : draftKind(compiling, '', spec, pointer, name);
}

const readsAny =
  (roots: readonly string[]) =>
  ({ references }: SlotExpression): boolean =>
    references.some(({ root }) => roots.includes(root));

/** Whether the step makes new label versions, itself or inside. */
export function makesVersions(draft: Draft): boolean {
  return 'reviews' in draft ? draft.reviews : draft.row?.kind === 'review-labels';
}

function commonParts(
  compiling: Compiling,
  spec: StepSpec,
  pointer: string,
  slots: Map<string, Slot>,
): Pick<DraftBase, 'when' | 'needs' | 'reads' | 'readsGain'> {
  const whenPointer = pointerTo(pointer, 'when');
  const when = typeof spec.when === 'string' ? readCondition(compiling, spec.when, whenPointer) : spec.when;
  if (typeof when === 'object') slots.set(whenPointer, when);
  const needs = (spec.needs ?? []).map((id, i) => ({ id, pointer: pointerTo(pointer, 'needs', i) }));
  return { when, needs, reads: new Set(stepsRead(slots.values())), readsGain: readsGain(slots.values()) };
}

export function stepsRead(slots: Iterable<Slot>): string[] {
  return rootsRead(slots, 'steps');
}

function readsGain(slots: Iterable<Slot>): boolean {
  return rootsRead(slots, 'round').includes('gain');
}

/** First keys of the references with this root. */
function rootsRead(slots: Iterable<Slot>, root: string): string[] {
  const names: string[] = [];
  for (const slot of slots) {
    for (const part of slot.parts) {
      if (typeof part === 'string') continue;
      for (const { root: own, keys } of part.references)
        if (own === root && keys[0] !== undefined) names.push(keys[0].name);
    }
  }
  return names;
}

/** The parameters of a step as the file has them; inserted steps have theirs planned. */
export function parametersOf(spec: KindStepSpec): { readonly [name: string]: Json } {
  return isRecord(spec.with) ? spec.with : {};
}
