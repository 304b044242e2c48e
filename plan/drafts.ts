/** A scope on its way to the plan: each step with its expressions and the names that it reads, before any order or type. */

import { isRecord, type KindStepSpec, pointerTo, type RepeatStepSpec, type StepSpecs } from '../spec/types.ts';
import { type Compiling, expressionsOf, isConstant, planSlot, readCondition, readSlots, type Slot } from './slots.ts';
import { type StepKind, stepKinds } from './step-kinds.ts';
import type { Json } from './types.ts';

interface DraftBase {
  readonly id: string;
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
  /** Whether `until`, `next` or a step of the body reads `round.gain`. */
  readonly bodyReadsGain: boolean;
  /** Whether a step of the body makes new label versions. */
  readonly reviews: boolean;
}

/** A step that the compiler puts into a round; its values are planned already. */
export interface InsertedDraft extends DraftBase {
  readonly type: 'inserted';
  readonly row: StepKind;
  readonly with: { readonly [name: string]: Json };
}

export type Draft = KindDraft | RepeatDraft | InsertedDraft;

export function draftScope(compiling: Compiling, steps: StepSpecs, pointer: string): Draft[] {
  return Object.entries(steps).map(([id, spec]) => {
    const at = pointerTo(pointer, id);
    return 'repeat' in spec ? draftRepeat(compiling, id, spec, at) : draftKind(compiling, id, spec, at);
  });
}

function draftKind(compiling: Compiling, id: string, spec: KindStepSpec, pointer: string): KindDraft {
  const slots = new Map<string, Slot>();
  const withPointer = pointerTo(pointer, 'with');
  readSlots(compiling, spec.with, withPointer, slots);
  readSlots(compiling, spec.retry as Json | undefined, pointerTo(pointer, 'retry'), slots);
  readSlots(compiling, spec.timeout, pointerTo(pointer, 'timeout'), slots);
  const labels = slots.get(pointerTo(withPointer, 'labels'));
  const chosen =
    labels !== undefined && isConstant(compiling, labels) ? planSlot(compiling, labels) : spec.with?.labels;
  return {
    type: 'kind',
    id,
    spec,
    pointer,
    slots,
    ...commonParts(compiling, spec, pointer, slots),
    row: stepKinds.get(spec.uses),
    allVersions: spec.uses === 'evaluate' && chosen === 'all',
  };
}

function draftRepeat(compiling: Compiling, id: string, spec: RepeatStepSpec, pointer: string): RepeatDraft {
  const slots = new Map<string, Slot>();
  const inner = new Map<string, Slot>();
  const { max, until, carry } = spec.repeat;
  const repeatPointer = pointerTo(pointer, 'repeat');
  readSlots(compiling, max, pointerTo(repeatPointer, 'max'), slots);
  readSlots(compiling, carry, pointerTo(repeatPointer, 'carry'), slots);
  const untilPointer = pointerTo(repeatPointer, 'until');
  const untilSlot = typeof until === 'string' ? readCondition(compiling, until, untilPointer) : undefined;
  if (untilSlot !== undefined) inner.set(untilPointer, untilSlot);
  const body = draftScope(compiling, spec.steps, pointerTo(pointer, 'steps'));
  readSlots(compiling, spec.next, pointerTo(pointer, 'next'), inner);

  const parts = commonParts(compiling, spec, pointer, slots);
  const inside = new Set(body.map((draft) => draft.id));
  const readInside = [...body.flatMap((draft) => [...draft.reads]), ...stepsRead(inner.values())];
  return {
    type: 'repeat',
    id,
    spec,
    pointer,
    slots,
    inner,
    body,
    ...parts,
    until: untilSlot,
    reads: new Set([...parts.reads, ...readInside.filter((read) => !inside.has(read))]),
    bodyReadsGain: readsGain(inner.values()) || body.some((draft) => draft.readsGain),
    reviews: body.some((draft) => (draft.type === 'repeat' ? draft.reviews : draft.row?.kind === 'review-labels')),
  };
}

function commonParts(
  compiling: Compiling,
  spec: KindStepSpec | RepeatStepSpec,
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
  return [...slots]
    .flatMap(expressionsOf)
    .flatMap((expression) => expression.references)
    .filter((reference) => reference.root === root)
    .flatMap((reference) => reference.keys.slice(0, 1).map((key) => key.name));
}

/** The parameters of a step as the file has them; inserted steps have theirs planned. */
export function parametersOf(spec: KindStepSpec): { readonly [name: string]: Json } {
  return isRecord(spec.with) ? spec.with : {};
}
