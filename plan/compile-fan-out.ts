/** A step with `matrix` or `forEach` in the plan: its legs, what each of them sees, and what they give together. */

import {
  anyType,
  type ExpressionType,
  listType,
  numberType,
  type RecordType,
  typeName,
} from '../spec/expression-types.ts';
import { suggestion } from '../spec/suggest.ts';
import { isRecord, keysOfPointer, type MatrixSpec, type PlainValue, pointerTo, type Range } from '../spec/types.ts';
import { checkLegs } from './check-legs.ts';
import { checkGuards } from './checks.ts';
import { beforeRun, type StepFrame } from './compile-kind.ts';
import { compileScope, conditionOf, type ScopeView } from './compile-scope.ts';
import type { FanOutDraft } from './drafts.ts';
import { LayeredMap } from './layered-map.ts';
import { legsMax } from './limits.ts';
import { type Combination, combinationsOf, duplicateOf, expandMatrix, nameLegs } from './matrix.ts';
import { plannedScope } from './parts.ts';
import { type Compiling, checkSlot, expressionsOf, isConstant, placeInSlot, planValue } from './slots.ts';
import type { FanOutStep, Json, PlannedLeg } from './types.ts';
import { ownFailure } from './usual-failure.ts';
import { commonOf, typeOf, typeOfJson, typesOf } from './value-types.ts';
import { asData } from './values.ts';

export const legsAtOnceDefault = 100;
const legsAtOnceMax = 1_000;

interface PlannedLegs {
  /** Null where they cannot be known, which is reported or due to a missing param. */
  readonly legs: FanOutStep['legs'] | null;
  /** What a leg sees, and what stands in its entry in `all` beside its outputs. */
  readonly names: ReadonlyMap<string, ExpressionType>;
  readonly mayBeAbsent: readonly string[];
}

export function compileFanOut(
  compiling: Compiling,
  draft: FanOutDraft,
  frame: StepFrame,
  outer: ScopeView,
): FanOutStep | null {
  const { spec, pointer, id } = draft;
  // A leg sees no other leg's step: that it reads its own is a circle, reported as one.
  const steps = new LayeredMap(outer.steps, [[id, anyType]]);
  const planned =
    spec.matrix === undefined ? planForEach(compiling, draft, outer) : planMatrix(compiling, draft, spec.matrix, outer);
  const concurrency = planConcurrency(compiling, draft);

  const around = { ...namesAround(outer), ...Object.fromEntries(planned.names) };
  const merged = mergedMatrix(outer, planned);
  const names = new Map(Object.entries(merged === null ? around : { ...around, matrix: merged }));
  const mayBeAbsent = new Set([...outer.mayBeAbsent, ...planned.mayBeAbsent]);
  const compiled = compileScope(compiling, draft.body, { steps, mayBeEmpty: outer.mayBeEmpty, mayBeAbsent, names });
  const { view } = compiled;
  const [only] = draft.body;
  if (only?.id === '' && only.type === 'kind' && planned.legs !== null && 'matrix' in planned.legs) {
    checkLegs(compiling, only, planned.legs.matrix);
  }
  for (const slot of draft.inner.values()) checkGuards(compiling, slot, view, undefined);

  // The condition of a leg stands outside of its steps.
  const seen = new Map([...view.names, ['steps', outer.names.get('steps')!] as const]);
  if (draft.legWhen !== undefined) checkGuards(compiling, draft.legWhen, { ...outer, mayBeAbsent }, undefined);
  const legWhen = draft.legWhen === undefined ? null : conditionOf(compiling, draft.legWhen, seen, `"${id}"`);

  const alone = !('steps' in spec);
  const outputsPointer = pointerTo(pointer, 'outputs');
  const outputs = alone ? undefined : (spec.outputs ?? {});
  const outputTypes = alone
    ? fieldsOf(view.steps.get(''))
    : typesOf(compiling, outputs, outputsPointer, draft.inner, view.names, `outputs of "${id}"`);
  if (!alone) checkOutputNames(compiling, draft, [...planned.names.keys()], Object.keys(outputs ?? {}));
  outer.steps.set(id, outputsType(id, planned.names, outputTypes));

  if (!compiled.complete || planned.legs === null) return null;
  return {
    type: 'fan-out',
    ...frame,
    legs: planned.legs,
    concurrency,
    ...(legWhen?.when === undefined ? {} : { legWhen: legWhen.when }),
    scope: plannedScope(compiled.steps),
    // Where a leg is one step, it is that step which gives up.
    ...ownFailure(compiling, alone && spec.onFailure !== 'hold' ? undefined : spec.onFailure),
    ...(outputs === undefined
      ? {}
      : { outputs: planValue(compiling, outputs, outputsPointer, draft.inner) as { [name: string]: Json } }),
  };
}

/** What stands around the scope's own steps. */
function namesAround(outer: ScopeView): { [name: string]: ExpressionType } {
  return Object.fromEntries([...outer.names].filter(([name]) => name !== 'steps' && name !== 'params'));
}

/** Axes of a matrix further out stay visible. */
function mergedMatrix(outer: ScopeView, { names }: PlannedLegs): ExpressionType | null {
  const around = outer.names.get('matrix');
  const own = names.get('matrix');
  if (around?.type !== 'record' || own?.type !== 'record') return null;
  return { ...own, fields: new Map([...around.fields, ...own.fields]) };
}

function planForEach(compiling: Compiling, draft: FanOutDraft, outer: ScopeView): PlannedLegs {
  const pointer = pointerTo(draft.pointer, 'forEach');
  const { forEach: slot } = draft;
  const value = (draft.spec.forEach ?? []) as PlainValue;
  const type =
    slot === undefined
      ? typeOf(compiling, value, pointer, draft.slots, outer.names, `"${draft.id}"`)
      : checkSlot(compiling, slot, outer.names, `"${draft.id}"`);
  let item = anyType;
  if (type.type === 'list') item = type.item;
  else if (type.type !== 'any' && slot !== undefined) {
    const hint =
      type.type === 'artifact' && type.artifact === 'selection'
        ? 'A selection is images as a whole; a list comes from params or an output that is one.'
        : undefined;
    compiling.problems.push({
      code: 'EXPRESSION_TYPE',
      range: placeInSlot(compiling, slot, expressionsOf(slot)[0]),
      message: `forEach takes a list; here is ${typeName(type)}.`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  const planned = planValue(compiling, value, pointer, draft.slots);
  const known = slot === undefined || isConstant(compiling, slot);
  if (known && Array.isArray(planned)) {
    // An empty list has no type of its own.
    item = commonOf(slot === undefined && type.type === 'list' ? [type.item] : planned.map(typeOfJson));
    if (planned.length > legsMax) {
      compiling.problems.push({
        code: 'INVALID_VALUE',
        range: slot === undefined ? keyPlace(compiling, pointer) : placeInSlot(compiling, slot),
        message: `forEach of "${draft.id}" has ${planned.length} entries; at most ${legsMax} legs are possible.`,
        hint: 'Let each leg take several entries.',
      });
    }
  }
  const names = new Map([
    ['item', item],
    ['index', numberType],
  ]);
  return { legs: { forEach: planned }, names, mayBeAbsent: [] };
}

function planMatrix(compiling: Compiling, draft: FanOutDraft, spec: MatrixSpec, outer: ScopeView): PlannedLegs {
  const pointer = pointerTo(draft.pointer, 'matrix');
  const { include, exclude, ...axes } = spec;
  for (const slot of draft.slots.values()) {
    if (slot.pointer.startsWith(`${pointer}/`)) checkSlot(compiling, slot, outer.names, `"${draft.id}"`);
  }
  const broken = brokenKeys(compiling, spec, pointer);
  const written = new Set([...Object.keys(axes), ...broken, ...(include ?? []).flatMap((entry) => Object.keys(entry))]);
  if (!isKnown(compiling, draft, pointer) || broken.length > 0) {
    // Axes that are broken or unknown are still names.
    const fields = new Map([...written].map((name) => [name, anyType] as const));
    return { legs: null, names: new Map([['matrix', matrixType(draft.id, fields)]]), mayBeAbsent: [] };
  }
  const values = asData(planValue(compiling, spec as PlainValue, pointer, draft.slots));
  const planned = values as { readonly [name: string]: Json };
  const lists: { [name: string]: readonly Json[] } = {};
  let sound = true;
  for (const name of Object.keys(axes)) {
    const values = planned[name];
    if (Array.isArray(values) && values.length > 0) lists[name] = values;
    else {
      sound = false;
      const message = `The axis "${name}" is ${values === undefined ? 'empty' : JSON.stringify(values)}; expected a list with at least one value.`;
      compiling.problems.push({
        code: 'INVALID_VALUE',
        range: valuePlace(compiling, pointerTo(pointer, name)),
        message,
      });
    }
  }
  const combinations = sound ? combine(compiling, draft, pointer, lists, planned) : null;
  const types = typesOfLegs(combinations ?? []);
  if (combinations === null) for (const name of written) types.set(name, anyType);
  const mayBeAbsent = [...types.keys()].filter((name) =>
    (combinations ?? []).some((combination) => !Object.hasOwn(combination, name)),
  );
  const legs: readonly PlannedLeg[] | null = combinations === null ? null : nameLegs(combinations);
  return {
    legs: legs === null ? null : { matrix: legs },
    names: new Map([['matrix', matrixType(draft.id, types)]]),
    mayBeAbsent: mayBeAbsent.map((name) => `matrix.${name}`),
  };
}

/** The combinations, or null with what is wrong reported. */
function combine(
  compiling: Compiling,
  draft: FanOutDraft,
  pointer: string,
  axes: { readonly [name: string]: readonly Json[] },
  planned: { readonly [name: string]: Json },
): readonly Combination[] | null {
  const { problems } = compiling;
  const exclude = listOfRecords(planned.exclude);
  const include = listOfRecords(planned.include);
  let sound = true;
  exclude.forEach((entry, at) => {
    for (const name of Object.keys(entry)) {
      if (Object.hasOwn(axes, name)) continue;
      sound = false;
      problems.push({
        code: 'UNKNOWN_NAME',
        range: keyPlace(compiling, pointerTo(pointer, 'exclude', at, name)),
        message: `exclude names "${name}", but the matrix of "${draft.id}" has no such axis.`,
        hint: suggestion(name, Object.keys(axes), 'Axes'),
      });
    }
  });
  const count = combinationsOf(axes);
  // What is left out counts too: a product of many axes would take all memory before anything is left out.
  const tooMany = count > 20 * legsMax;
  const combinations = !sound || tooMany ? [] : expandMatrix({ axes, exclude, include });
  if (tooMany || combinations.length > legsMax) {
    problems.push({
      code: 'INVALID_VALUE',
      range: keyPlace(compiling, pointer),
      message: `The matrix of "${draft.id}" has ${tooMany ? count : combinations.length} combinations; at most ${legsMax} legs are possible.`,
      hint: 'Give shorter lists, or exclude combinations.',
    });
    return null;
  }
  if (!sound) return null;
  if (combinations.length === 0) {
    problems.push({
      code: 'NO_LEGS',
      range: keyPlace(compiling, pointer),
      message: `The matrix of "${draft.id}" has no combination left: exclude takes away all ${count}.`,
      hint: 'Exclude less, or remove the step.',
    });
    return null;
  }
  const twice = duplicateOf(combinations);
  if (twice !== null) {
    problems.push({
      code: 'DUPLICATE_LEG',
      range: keyPlace(compiling, pointer),
      message: `The matrix of "${draft.id}" has ${JSON.stringify(combinations[twice[1]])} twice.`,
      hint: 'Each combination is one leg; remove one of them.',
    });
    return null;
  }
  return combinations;
}

function listOfRecords(value: Json | undefined): readonly Combination[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isRecord) : [];
}

/** Whether params alone decide the legs and are given; that steps decide them is reported. */
function isKnown(compiling: Compiling, draft: FanOutDraft, pointer: string): boolean {
  let known = true;
  for (const slot of draft.slots.values()) {
    if (!slot.pointer.startsWith(`${pointer}/`) || isConstant(compiling, slot)) continue;
    known = false;
    const reference = expressionsOf(slot)
      .flatMap(({ references }) => references)
      .find(({ root, keys }) => root !== 'params' || compiling.fromRun.has(keys[0]?.name ?? ''));
    if (reference === undefined || compiling.faulty.has(slot)) continue;
    compiling.problems.push({
      code: 'EXPRESSION_TYPE',
      range: placeInSlot(compiling, slot),
      message: 'The legs of a matrix must be known before the run; only params can be read here.',
      hint: 'forEach takes a list that a step gives; it may stand in the steps of a leg.',
    });
  }
  return known;
}

function typesOfLegs(combinations: readonly Combination[]): Map<string, ExpressionType> {
  const types = new Map<string, ExpressionType[]>();
  for (const combination of combinations) {
    for (const [name, value] of Object.entries(combination)) {
      const list = types.get(name);
      if (list === undefined) types.set(name, [typeOfJson(value)]);
      else list.push(typeOfJson(value));
    }
  }
  return new Map([...types].map(([name, list]) => [name, commonOf(list)]));
}

/** Keys of the file that were left out because of an error: they are names all the same. */
function brokenKeys({ parsed }: Compiling, spec: MatrixSpec, pointer: string): string[] {
  let written: PlainValue | undefined = parsed.value;
  for (const key of keysOfPointer(pointer)) written = isRecord(written) ? written[key] : undefined;
  return isRecord(written) ? Object.keys(written).filter((name) => !Object.hasOwn(spec, name)) : [];
}

function matrixType(id: string, fields: ReadonlyMap<string, ExpressionType>): RecordType {
  return { type: 'record', role: 'object', owner: `the matrix of "${id}"`, fields };
}

function planConcurrency(compiling: Compiling, draft: FanOutDraft): number {
  const pointer = pointerTo(draft.pointer, 'concurrency');
  const given = (draft.spec.concurrency ?? null) as Json;
  if (isRecord(given) && !('steps' in draft.spec)) return legsAtOnceDefault;
  const value = beforeRun(compiling, given, pointer, draft.slots);
  if (value === undefined || value === null) return legsAtOnceDefault;
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= legsAtOnceMax) return value as number;
  const message = `"concurrency" is ${JSON.stringify(value)}; expected a whole number from 1 to ${legsAtOnceMax}.`;
  compiling.problems.push({ code: 'INVALID_VALUE', range: valuePlace(compiling, pointer), message });
  return legsAtOnceDefault;
}

function fieldsOf(type: ExpressionType | undefined): ReadonlyMap<string, ExpressionType> | null {
  return type?.type === 'record' ? type.fields : null;
}

/** An entry of `all` also says which leg it is of. */
function checkOutputNames(
  compiling: Compiling,
  draft: FanOutDraft,
  taken: readonly string[],
  names: readonly string[],
): void {
  for (const name of names.filter((each) => taken.includes(each))) {
    compiling.problems.push({
      code: 'INVALID_NAME',
      range: keyPlace(compiling, pointerTo(draft.pointer, 'outputs', name)),
      message: `"${name}" is in every entry of steps.${draft.id}.all already: it says which leg the entry is of.`,
      hint: 'Give the output another name.',
    });
  }
}

/** `outputs`: null where they are not known. */
function outputsType(
  id: string,
  names: ReadonlyMap<string, ExpressionType>,
  outputs: ReadonlyMap<string, ExpressionType> | null,
): ExpressionType {
  const leg: ExpressionType =
    outputs === null
      ? anyType
      : { type: 'record', role: 'object', owner: `a leg of "${id}"`, fields: new Map([...names, ...outputs]) };
  const fields = new Map<string, ExpressionType>([
    ['all', listType(leg)],
    ['legs', numberType],
  ]);
  return { type: 'record', role: 'outputs', owner: `step "${id}"`, fields };
}

function keyPlace(compiling: Compiling, pointer: string): Range {
  const place = compiling.parsed.places.get(pointer);
  return place?.key ?? place?.value ?? { start: 0, end: 0 };
}

function valuePlace(compiling: Compiling, pointer: string): Range {
  return compiling.parsed.places.get(pointer)?.value ?? { start: 0, end: 0 };
}
