/** A `repeat` step in the plan: what it carries from round to round, its body, and `round.gain`. */

import {
  anyType,
  type ExpressionType,
  isAssignable,
  listType,
  numberType,
  type RecordType,
  stringType,
  typeName,
} from '../spec/expression-types.ts';
import { type PlainValue, pointerTo } from '../spec/types.ts';
import { checkGuards, expressionType, placeOf } from './checks.ts';
import { beforeRun, durationMs, type StepFrame } from './compile-kind.ts';
import { compileScope, conditionOf, type ScopeView } from './compile-scope.ts';
import { type Draft, type InsertedDraft, type RepeatDraft, stepsRead } from './drafts.ts';
import { LayeredMap } from './layered-map.ts';
import { roundsMax } from './limits.ts';
import { plannedScope } from './parts.ts';
import {
  type Compiling,
  checkSlot,
  expressionsOf,
  isConstant,
  placeInSlot,
  planSlot,
  planValue,
  type Slot,
} from './slots.ts';
import { stepKinds } from './step-kinds.ts';
import type { Json, Plateau, RepeatStep } from './types.ts';
import { ownFailure } from './usual-failure.ts';
import { typesOf } from './value-types.ts';
import { expressionOf } from './values.ts';

export function compileRepeat(
  compiling: Compiling,
  draft: RepeatDraft,
  frame: StepFrame,
  outer: ScopeView,
): RepeatStep | null {
  const { spec, pointer } = draft;
  const repeatPointer = pointerTo(pointer, 'repeat');
  const max = planMax(compiling, draft, outer);
  if (max.mayBeZero) outer.mayBeEmpty.add(draft.id);
  else outer.mayBeEmpty.delete(draft.id);

  const carryPointer = pointerTo(repeatPointer, 'carry');
  const carryTypes = typesOf(compiling, spec.repeat.carry, carryPointer, draft.slots, outer.names, `"${draft.id}"`);
  const planned = planValue(compiling, spec.repeat.carry ?? {}, carryPointer, draft.slots) as { [name: string]: Json };
  const nextPointer = pointerTo(pointer, 'next');
  const gain = draft.bodyReadsGain ? insertGain(compiling, draft, carryTypes, planned) : null;
  const body: readonly Draft[] = gain === null ? draft.body : [...draft.body, gain.step];

  const compiled = compileScope(
    compiling,
    body,
    {
      steps: outerSteps(outer, draft.id),
      mayBeEmpty: outer.mayBeEmpty,
      mayBeAbsent: new Set([...outer.mayBeAbsent, 'round.previous']),
      names: new Map<string, ExpressionType>([
        ...outer.names,
        ['carry', { type: 'record', role: 'carry', owner: `carry of "${draft.id}"`, fields: carryTypes }],
        ['round', roundType(previousType(draft, nextPointer, carryTypes))],
      ]),
    },
    gain?.step.id,
  );
  const { names } = compiled.view;
  for (const slot of draft.inner.values()) {
    // Over something absent `until` does not hold, and a round without a metric does not count.
    const asks = slot === draft.until || slot === draft.metric;
    checkGuards(compiling, slot, asks ? { ...compiled.view, mayBeAbsent: new Set() } : compiled.view, undefined);
  }
  const until = draft.until === undefined ? null : conditionOf(compiling, draft.until, names, `until of "${draft.id}"`);
  const nextTypes = typesOf(compiling, spec.next, nextPointer, draft.inner, names, `next of "${draft.id}"`);
  checkNext(compiling, draft, nextPointer, carryTypes, nextTypes);
  const plateau = planPlateau(compiling, draft, names);
  const budgetMs = planBudget(compiling, draft);
  outer.steps.set(draft.id, outputsType(draft, nextTypes));

  const emptyKey = hardSelectionKey(draft, nextPointer, carryTypes);
  if (!compiled.complete) return null;
  return {
    type: 'repeat',
    ...frame,
    max: max.value,
    ...(until === null ? {} : { until: until.when ?? 'true' }),
    ...(plateau === null ? {} : { plateau }),
    ...(budgetMs === null ? {} : { budgetMs }),
    carry: gain === null ? planned : { ...planned, ...gain.carry },
    scope: plannedScope(compiled.steps),
    next: planValue(compiling, spec.next ?? {}, nextPointer, draft.inner) as { [name: string]: Json },
    ...(gain === null ? {} : { gain: gain.step.id }),
    ...(emptyKey === null ? {} : { endWhenEmpty: emptyKey }),
    ...ownFailure(compiling, spec.onFailure),
  };
}

function planMax(compiling: Compiling, draft: RepeatDraft, outer: ScopeView): { value: Json; mayBeZero: boolean } {
  const { max } = draft.spec.repeat;
  const pointer = pointerTo(draft.pointer, 'repeat', 'max');
  const slot = draft.slots.get(pointer);
  if (slot === undefined) return { value: max, mayBeZero: max === 0 };
  const type = checkSlot(compiling, slot, outer.names, `"${draft.id}"`);
  const value = planValue(compiling, max, pointer, draft.slots);
  const isRounds = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= roundsMax;
  if (isConstant(compiling, slot) ? !isRounds : type.type !== 'number' && type.type !== 'any') {
    const given = isConstant(compiling, slot) ? JSON.stringify(value) : typeName(type);
    const message = `"max" is ${given}; expected a whole number from 0 to ${roundsMax}.`;
    compiling.problems.push({ code: 'INVALID_VALUE', range: placeInSlot(compiling, slot), message });
  }
  return { value, mayBeZero: !isAtLeastOne(compiling, slot, value) };
}

/** Whether no value that the declaration of a param allows makes it 0. */
function isAtLeastOne(compiling: Compiling, slot: Slot, value: Json): boolean {
  const references = expressionsOf(slot).flatMap((expression) => expression.references);
  if (references.length === 0) return value !== 0;
  const [only] = references;
  const expression = expressionsOf(slot)[0]!;
  const bare =
    references.length === 1 &&
    only!.root === 'params' &&
    only!.range.end - only!.range.start === expression.source.length;
  if (!bare) return false;
  const params = (compiling.parsed.value as { params?: { [name: string]: { minimum?: PlainValue } } }).params;
  const minimum = params?.[only!.keys[0]!.name]?.minimum;
  return typeof minimum === 'number' && minimum >= 1;
}

function outerSteps(outer: ScopeView, id: string): Map<string, ExpressionType> {
  // The loop itself is not there for its own rounds; that it reads itself is a circle, reported as one.
  return new LayeredMap(outer.steps, [[id, anyType]]);
}

function roundType(previous: RecordType): RecordType {
  const gain: RecordType = {
    type: 'record',
    role: 'round',
    owner: 'round.gain',
    fields: new Map(['value', 'low', 'high'].map((name) => [name, numberType])),
  };
  const fields = new Map<string, ExpressionType>([
    ['index', numberType],
    ['gain', gain],
    ['previous', previous],
  ]);
  return { type: 'record', role: 'round', owner: 'round', fields };
}

function outputsType(draft: RepeatDraft, next: ReadonlyMap<string, ExpressionType>): ExpressionType {
  const { id } = draft;
  const remedyFor = (name: string) => loopRemedy(draft, next, name);
  const round: RecordType = { type: 'record', role: 'object', owner: `a round of "${id}"`, fields: next, remedyFor };
  const fields = new Map<string, ExpressionType>([
    ['all', listType(round)],
    ['last', round],
    ...(draft.metric !== undefined
      ? ([
          ['best', round],
          ['bestRound', numberType],
        ] as const)
      : []),
    ['rounds', numberType],
    ['ended', stringType],
    ['reason', stringType],
  ]);
  return { type: 'record', role: 'outputs', owner: `loop "${id}"`, fields, remedyFor };
}

/** How to come by what a loop's rounds do not hand on, or by what is read of the loop in place of a round. */
function loopRemedy(draft: RepeatDraft, next: ReadonlyMap<string, ExpressionType>, name: string): string | undefined {
  const ofRound = `steps.${draft.id}.last.${name}`;
  if (next.has(name)) return `A round has it: ${ofRound}, or steps.${draft.id}.all for every round.`;
  const maker = draft.body.find(
    (each) => 'row' in each && each.row !== undefined && Object.hasOwn(each.row.outputs, name),
  );
  if (maker === undefined && next.size > 0) return undefined;
  const source = `\${{ steps.${maker?.id ?? 'STEP'}.${maker === undefined ? 'OUTPUT' : name} }}`;
  return `Rounds hand on what "next" of the loop names: add \`${name}: ${source}\` to it, then read ${ofRound}.`;
}

/** What the round before handed on, as far as it is known before the round itself is compiled. */
function previousType(draft: RepeatDraft, nextPointer: string, carry: ReadonlyMap<string, ExpressionType>): RecordType {
  const fields = Object.keys(draft.spec.next ?? {}).map((name) => {
    const slot = draft.inner.get(pointerTo(nextPointer, name));
    const expression = slot?.whole === true ? expressionsOf(slot)[0] : undefined;
    const [reference] = expression?.node?.op === '.' ? expression.references : [];
    const [step, output] = reference?.root === 'steps' ? reference.keys : [];
    const made = draft.body.find((each) => each.id === step?.name);
    const row = made !== undefined && 'row' in made ? made.row : undefined;
    const type = row?.outputs[output?.name ?? ''];
    return [name, type === undefined ? (carry.get(name) ?? anyType) : expressionType(type)] as const;
  });
  return { type: 'record', role: 'object', owner: `next of "${draft.id}"`, fields: new Map(fields) };
}

function planPlateau(
  compiling: Compiling,
  draft: RepeatDraft,
  names: ReadonlyMap<string, ExpressionType>,
): Plateau | null {
  const { plateau } = draft.spec.repeat;
  const { metric } = draft;
  if (plateau === undefined || metric === undefined) return null;
  const pointer = pointerTo(draft.pointer, 'repeat', 'plateau');
  const type = checkSlot(compiling, metric, names, `plateau of "${draft.id}"`);
  if (type.type !== 'number' && type.type !== 'any') {
    const message = `The metric of a plateau is a number; here is ${typeName(type)}.`;
    compiling.problems.push({ code: 'EXPRESSION_TYPE', range: placeInSlot(compiling, metric), message });
  }
  const numberOf = (name: 'patience' | 'minDelta', otherwise: number, least: number) => {
    const at = pointerTo(pointer, name);
    const value = beforeRun(compiling, plateau[name] ?? null, at, draft.slots);
    if (value === undefined || value === null) return otherwise;
    if (typeof value === 'number' && value >= least && (name === 'minDelta' || Number.isInteger(value))) return value;
    const expected = name === 'minDelta' ? 'a number from 0' : 'a whole number from 1';
    const message = `"${name}" is ${JSON.stringify(value)}; expected ${expected}.`;
    compiling.problems.push({ code: 'INVALID_VALUE', range: placeOf(compiling, at), message });
    return otherwise;
  };
  const planned = planSlot(compiling, metric);
  return {
    metric: expressionOf(planned) ?? JSON.stringify(planned),
    patience: numberOf('patience', 3, 1),
    minDelta: numberOf('minDelta', 0, 0),
    mode: plateau.mode ?? 'max',
  };
}

function planBudget(compiling: Compiling, draft: RepeatDraft): number | null {
  const pointer = pointerTo(draft.pointer, 'repeat', 'budget');
  const value = beforeRun(compiling, draft.spec.repeat.budget ?? null, pointer, draft.slots);
  return value === undefined || value === null ? null : durationMs(compiling, value, pointer);
}

/** What a round hands on must be what the next one expects. */
function checkNext(
  compiling: Compiling,
  draft: RepeatDraft,
  pointer: string,
  carry: ReadonlyMap<string, ExpressionType>,
  next: ReadonlyMap<string, ExpressionType>,
): void {
  for (const [name, type] of next) {
    const expected = carry.get(name);
    if (expected === undefined || isAssignable(type, expected)) continue;
    const at = pointerTo(pointer, name);
    const slot = draft.inner.get(at);
    const range =
      slot === undefined
        ? compiling.parsed.places.get(at)!.value
        : placeInSlot(compiling, slot, expressionsOf(slot)[0]);
    const message = `next.${name} is ${typeName(type)}, but carry.${name} begins as ${typeName(expected)}.`;
    const begins = compiling.parsed.places.get(pointerTo(draft.pointer, 'repeat', 'carry', name))?.value;
    const related = begins === undefined ? [] : [{ range: begins, message: `carry.${name} begins here.` }];
    compiling.problems.push({ code: 'WRONG_ARTIFACT', range, message, hint: 'Both must be of one kind.', related });
  }
}

/** The selection that the next round works on, where a round's own mining finds it: empty, there is nothing to learn. */
function hardSelectionKey(
  draft: RepeatDraft,
  nextPointer: string,
  carry: ReadonlyMap<string, ExpressionType>,
): string | null {
  for (const [name, type] of carry) {
    if (type.type !== 'artifact' || type.artifact !== 'selection') continue;
    const slot = draft.inner.get(pointerTo(nextPointer, name));
    const expression = slot?.whole === true ? expressionsOf(slot)[0] : undefined;
    const [reference] = expression?.references ?? [];
    if (reference?.root !== 'steps' || expression?.node?.op !== '.') continue;
    const [step, output] = reference.keys;
    const mine = draft.body.find((each) => each.id === step?.name);
    if (mine !== undefined && 'row' in mine && mine.row?.kind === 'mine' && output?.name === 'hardImages') {
      return name;
    }
  }
  return null;
}

/**
 * The step behind `round.gain`: AP of the round's model minus AP of the one before, on the validation images that the
 * loop began with. Those are carried along under a name of their own, because an inner step may hide the outer one.
 */
function insertGain(
  compiling: Compiling,
  draft: RepeatDraft,
  carry: ReadonlyMap<string, ExpressionType>,
  planned: { readonly [name: string]: Json },
): { step: InsertedDraft; carry: { readonly [name: string]: Json } } | null {
  const namesOf = (kind: string) =>
    [...carry].filter(([, type]) => type.type === 'artifact' && type.artifact === kind).map(([name]) => name);
  const next = draft.spec.next ?? {};
  const models = namesOf('model').filter((name) => Object.hasOwn(next, name));
  const datasets = namesOf('dataset');
  const [model] = models;
  const [dataset] = datasets;
  if (models.length !== 1 || datasets.length !== 1 || model === undefined || dataset === undefined) {
    const list = (names: readonly string[]) => (names.length === 0 ? 'none' : names.join(', '));
    const anyUnknown = [...carry.values()].some((type) => type.type === 'any');
    if (!anyUnknown) {
      const place = compiling.parsed.places.get(pointerTo(draft.pointer, 'repeat'));
      compiling.problems.push({
        code: 'AMBIGUOUS_GAIN',
        range: place?.key ?? place?.value ?? { start: 0, end: 0 },
        message: `round.gain compares one model of carry and next on one dataset of carry; here models: ${list(models)}; datasets: ${list(datasets)}.`,
        hint: 'Carry exactly one model and one dataset, or compare with steps of your own.',
      });
    }
    return null;
  }
  const pointer = pointerTo(draft.pointer, 'next', model);
  const slot = draft.inner.get(pointer);
  const taken = new Set([...draft.body.map((step) => step.id), ...carry.keys()]);
  const id = freeName('gain', taken);
  const datasetKey = freeName('gainDataset', taken);
  const step: InsertedDraft = {
    type: 'inserted',
    id,
    name: id,
    pointer: '',
    slots: new Map(),
    needs: [],
    reads: new Set(slot === undefined ? [] : stepsRead([slot])),
    readsGain: false,
    row: stepKinds.get('compare-models')!,
    with: {
      old: { $: `carry.${model}` },
      new: planValue(compiling, next[model]!, pointer, draft.inner),
      dataset: { $: `carry.${datasetKey}` },
    },
  };
  return { step, carry: { [datasetKey]: planned[dataset] ?? null } };
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted;
  for (let i = 2; taken.has(name); i++) name = `${wanted}${i}`;
  return name;
}
