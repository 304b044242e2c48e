/** The steps of one scope: their order, the checks of what they read, and their form in the plan. */

import { anyType, type ExpressionType } from '../spec/expression-types.ts';
import { checkCycle, checkGuards, checkNeeds, expressionType } from './checks.ts';
import { compileFanOut } from './compile-fan-out.ts';
import { compileImport } from './compile-import.ts';
import { compileKind, reviewedVersions, type StepFrame } from './compile-kind.ts';
import { compileRepeat } from './compile-repeat.ts';
import { type Draft, type InsertedDraft, type KindDraft, makesVersions } from './drafts.ts';
import { LayeredMap } from './layered-map.ts';
import { dependentsOf, orderOf } from './order.ts';
import { type Compiling, checkSlot, isConstant, placeInSlot, planSlot, type Slot } from './slots.ts';
import type { StepKind } from './step-kinds.ts';
import type { Json, PlannedStep } from './types.ts';
import { expressionOf } from './values.ts';

/** What the steps of a scope see from outside. */
export interface Surroundings {
  readonly steps: ReadonlyMap<string, ExpressionType>;
  /** Loops that may have no round. */
  readonly mayBeEmpty: ReadonlySet<string>;
  /** `matrix.epochs`, `round.previous`: names that are not always there. */
  readonly mayBeAbsent: ReadonlySet<string>;
  /** `carry`, `round`, `matrix`, `item`, `index`, as far as they are there. */
  readonly names: ReadonlyMap<string, ExpressionType>;
}

/** The scope while its steps are compiled one after the other, each after those it reads. */
export interface ScopeView {
  /** Types by name, as expressions of the scope see them; steps that come later have no type yet. */
  readonly names: ReadonlyMap<string, ExpressionType>;
  readonly steps: Map<string, ExpressionType>;
  readonly mayBeEmpty: Set<string>;
  readonly mayBeAbsent: ReadonlySet<string>;
  /** Drafts in the order of the plan, so far. */
  readonly before: Draft[];
  /** Steps that may be skipped, because of their own `when` or of what they read. */
  readonly skippable: Set<string>;
}

export interface CompiledScope {
  readonly steps: readonly PlannedStep[];
  readonly view: ScopeView;
  /** False where a problem leaves steps out. */
  readonly complete: boolean;
}

/** `gainId`: the inserted step that `round.gain` stands for. */
export function compileScope(
  compiling: Compiling,
  drafts: readonly Draft[],
  outer: Surroundings,
  gainId?: string,
): CompiledScope {
  const view = viewOf(compiling, drafts, outer);
  const edges = edgesOf(compiling, drafts, gainId);
  const { sorted, cycles } = orderOf(edges);
  for (const cycle of cycles)
    checkCycle(
      compiling,
      cycle.map((at) => drafts[at]!),
    );

  const steps: PlannedStep[] = [];
  let complete = cycles.length === 0;
  // Steps of a circle come last: their problems are still worth knowing.
  const inOrder = new Set([...sorted, ...drafts.keys()]);
  for (const at of inOrder) {
    const draft = drafts[at]!;
    const needs = [...edges[at]!].sort((a, b) => a - b).map((needed) => drafts[needed]!);
    if (draft.when !== undefined || [...draft.reads].some((id) => view.skippable.has(id))) view.skippable.add(draft.id);
    const base = { id: draft.id, needs: needs.map((needed) => needed.id), ...planWhen(compiling, draft, view) };
    for (const slot of draft.slots.values()) checkGuards(compiling, slot, view, draft.when);
    const step = compileStep(compiling, draft, base, view, needs);
    if (step === null) complete = false;
    else steps.push(step);
    view.before.push(draft);
  }
  return { steps, view, complete };
}

function compileStep(
  compiling: Compiling,
  draft: Draft,
  frame: StepFrame,
  view: ScopeView,
  needs: readonly Draft[],
): PlannedStep | null {
  if (draft.type === 'repeat') return compileRepeat(compiling, draft, frame, view);
  if (draft.type === 'fan-out') return compileFanOut(compiling, draft, frame, view);
  if (draft.type === 'pipeline') return compileImport(compiling, draft, frame, view);
  return compileKind(compiling, draft, frame, view, reviewedVersions(draft, needs, view));
}

function viewOf(compiling: Compiling, drafts: readonly Draft[], outer: Surroundings): ScopeView {
  const steps = new LayeredMap<string, ExpressionType>(outer.steps);
  for (const draft of drafts) {
    const isPlain = draft.type === 'kind' || draft.type === 'inserted';
    steps.set(draft.id, isPlain ? outputsType(draft) : anyType);
  }
  const names = new Map<string, ExpressionType>(outer.names);
  names.set('steps', { type: 'record', role: 'steps', owner: 'the scope', fields: steps });
  names.set('params', compiling.paramsType);
  const own = new Set(drafts.map((draft) => draft.id));
  const mayBeEmpty = new Set([...outer.mayBeEmpty].filter((id) => !own.has(id)));
  return { names, steps, mayBeEmpty, mayBeAbsent: outer.mayBeAbsent, before: [], skippable: new Set() };
}

function outputsType(draft: KindDraft | InsertedDraft): ExpressionType {
  const { row, name } = draft;
  if (row === undefined) return anyType;
  return { type: 'record', role: 'outputs', owner: `step "${name}" (${row.kind})`, fields: outputFields(row) };
}

const fieldsOfRows = new WeakMap<StepKind, ReadonlyMap<string, ExpressionType>>();

/** Types of a kind's outputs; one map for all of its steps. */
function outputFields(row: StepKind): ReadonlyMap<string, ExpressionType> {
  let fields = fieldsOfRows.get(row);
  if (fields === undefined) {
    fields = new Map(Object.entries(row.outputs).map(([name, type]) => [name, expressionType(type)]));
    fieldsOfRows.set(row, fields);
  }
  return fields;
}

/** For each step the steps of the scope that it waits for, as positions in the file. */
function edgesOf(compiling: Compiling, drafts: readonly Draft[], gainId: string | undefined): Set<number>[] {
  const positions = new Map(drafts.map((draft, at) => [draft.id, at]));
  const edges = drafts.map((draft) => {
    checkNeeds(compiling, draft, positions);
    const names = [...draft.reads, ...draft.needs.map(({ id }) => id)];
    if (gainId !== undefined && draft.readsGain) names.push(gainId);
    return new Set(names.flatMap((name) => positions.get(name) ?? []));
  });
  // An evaluation at all label versions waits for every step that makes one, unless that step waits for it.
  drafts.forEach((draft, at) => {
    if (draft.type !== 'kind' || !draft.allVersions) return;
    const behind = dependentsOf(edges, at);
    drafts.forEach((other, position) => {
      if (makesVersions(other) && position !== at && !behind.has(position)) edges[at]!.add(position);
    });
  });
  // A report tells of everything, so it comes after all that does not read it.
  drafts.forEach((draft, at) => {
    if (!isReport(draft)) return;
    const behind = dependentsOf(edges, at);
    drafts.forEach((other, position) => {
      if (!isReport(other) && !behind.has(position)) edges[at]!.add(position);
    });
  });
  return edges;
}

function isReport(draft: Draft): boolean {
  return draft.type === 'kind' && draft.row?.kind === 'report';
}

/** A condition that params alone decide is decided here. */
function planWhen(compiling: Compiling, draft: Draft, view: ScopeView): { when?: string } {
  if (draft.when === undefined || draft.when === true) return {};
  if (draft.when === false) return { when: 'false' };
  return conditionOf(compiling, draft.when, view.names, `"${draft.name}"`) ?? {};
}

/** CEL of a condition in the plan; none where it is always true. */
export function conditionOf(
  compiling: Compiling,
  slot: Slot,
  names: ReadonlyMap<string, ExpressionType>,
  reader: string,
): { when?: string } | null {
  const type = checkSlot(compiling, slot, names, reader);
  const planned: Json = planSlot(compiling, slot);
  const source = expressionOf(planned);
  const isBoolean = type.type === 'boolean' || type.type === 'any';
  if (!isBoolean || (source === null && isConstant(compiling, slot) && typeof planned !== 'boolean')) {
    if (type.type !== 'any') {
      const message = `A condition is true or false; "${slot.text}" is neither.`;
      compiling.problems.push({ code: 'EXPRESSION_TYPE', range: placeInSlot(compiling, slot), message });
    }
    return null;
  }
  if (source !== null) return { when: source };
  return planned === true ? {} : { when: 'false' };
}
