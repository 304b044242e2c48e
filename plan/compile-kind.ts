/** A step of a kind in the plan: its parameters checked, filled with defaults, with its policies. */

import { describeSchema } from '../spec/describe-schema.ts';
import { durationForm, parseDurationMs } from '../spec/duration.ts';
import { hasExpression } from '../spec/expression-text.ts';
import { type ExpressionType, type RecordType, typeName } from '../spec/expression-types.ts';
import { kindSchema, type Schema } from '../spec/schemas.ts';
import { isRecord, pointerTo } from '../spec/types.ts';
import { acceptedTypes, validateParameters } from '../spec/validate.ts';
import { checkInput, expressionType, placeOf } from './checks.ts';
import { compileApprove } from './compile-approve.ts';
import { compileForeign } from './compile-foreign.ts';
import type { ScopeView } from './compile-scope.ts';
import { withDefaults } from './defaults.ts';
import { type Draft, groupOf, type InsertedDraft, type KindDraft, parametersOf } from './drafts.ts';
import { mayHoldSecret, secretsOfStep } from './secrets.ts';
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
import type { StepKind } from './step-kinds.ts';
import type { ActivityStep, Json, PlannedStep, RetryPolicy } from './types.ts';
import { usualFailure } from './usual-failure.ts';
import { asData } from './values.ts';

/** What every planned step has. */
export interface StepFrame {
  readonly id: string;
  readonly needs: readonly string[];
  readonly when?: string;
}

/** Null where too little is known of the step. `versions`: CEL for the label versions that an evaluation shows. */
export function compileKind(
  compiling: Compiling,
  draft: KindDraft | InsertedDraft,
  frame: StepFrame,
  view: ScopeView,
  versions: string | null,
): PlannedStep | null {
  const { row } = draft;
  if (row === undefined) {
    for (const slot of draft.slots.values()) checkSlot(compiling, slot, view.names, `"${draft.name}"`);
    return null;
  }
  if (draft.type === 'kind' && draft.spec.approve !== undefined) {
    return compileApprove(compiling, draft, draft.spec.approve, frame, view);
  }
  if (draft.type === 'kind' && draft.spec.activity !== undefined) {
    const how = { retry: planRetry(compiling, draft, row), timeoutMs: planTimeout(compiling, draft, row) };
    const group = planGroup(compiling, draft, view);
    const step = compileForeign(compiling, draft, draft.spec.activity, { ...frame, ...how }, view);
    return group === undefined ? step : { ...step, group };
  }
  const policies =
    draft.type === 'inserted'
      ? { retry: row.retry, timeoutMs: row.timeoutMs }
      : { retry: planRetry(compiling, draft, row), timeoutMs: planTimeout(compiling, draft, row) };
  const parameters = draft.type === 'inserted' ? draft.with : planParameters(compiling, draft, row, view);
  const group = draft.type === 'inserted' ? undefined : planGroup(compiling, draft, view);
  const step: ActivityStep = {
    type: 'activity',
    ...frame,
    kind: row.kind,
    version: row.version,
    with: versions === null ? parameters : { ...parameters, versions: { $: versions } },
    ...secretsOfStep(parameters),
    queue: draft.type === 'inserted' ? row.queue : (draft.spec.queue ?? row.queue),
    timeoutMs: policies.timeoutMs,
    heartbeatMs: row.heartbeatMs,
    retry: policies.retry,
    ...(group === undefined ? {} : { group }),
    onFailure: (draft.type === 'inserted' ? undefined : draft.spec.onFailure) ?? usualFailure(compiling),
  };
  return row.type === 'gate' || row.type === 'search' ? { ...step, type: row.type } : step;
}

/** The name of the concurrency group, a text. */
function planGroup(compiling: Compiling, draft: KindDraft, view: ScopeView): Json | undefined {
  const pointer = pointerTo(draft.pointer, 'concurrency', 'group');
  const slot = draft.slots.get(pointer);
  if (slot === undefined) return groupOf(draft.spec);
  const type = checkSlot(compiling, slot, view.names, `"${draft.name}"`);
  if (!['string', 'number', 'any'].includes(type.type)) {
    const message = `A group is named by a text, but this is ${typeName(type)}.`;
    compiling.problems.push({ code: 'EXPRESSION_TYPE', range: placeInSlot(compiling, slot), message });
  }
  return planSlot(compiling, slot);
}

function planParameters(
  compiling: Compiling,
  draft: KindDraft,
  row: StepKind,
  view: ScopeView,
): { readonly [name: string]: Json } {
  const schema = kindSchema(row.kind);
  const pointer = pointerTo(draft.pointer, 'with');
  const raw = parametersOf(draft.spec);
  const folded: { pointer: string; slot: Slot }[] = [];
  for (const slot of draft.slots.values()) {
    if (!slot.pointer.startsWith(`${pointer}/`)) continue;
    const at = slot.pointer.slice(pointer.length);
    const place = placeIn(row, at);
    const type = checkSlot(compiling, slot, view.names, `"${draft.name}"`, place);
    if (type.type === 'secret') continue;
    if (place.input !== null) checkInput(compiling, slot, type, place.input, `"${draft.name}"`, place.name);
    else if (isConstant(compiling, slot)) folded.push({ pointer: at, slot });
    else checkPlainValue(compiling, slot, type, place.schema, place.name);
  }
  const planned = planValue(compiling, raw, pointer, draft.slots) as { readonly [name: string]: Json };
  if (folded.length > 0) checkFolded(compiling, row.kind, raw, pointer, draft.slots, folded);
  return withDefaults(schema, planned) as { readonly [name: string]: Json };
}

/** What a kind takes at a place in its parameters. */
interface ParameterPlace {
  /** `replay.from`. */
  readonly name: string;
  readonly schema: Schema | null;
  /** Whether a secret may stand there. */
  readonly secrets: boolean;
  readonly input: ExpressionType | null;
}

const placesOfRows = new WeakMap<StepKind, Map<string, ParameterPlace>>();

/** By the pointer below `with`. Steps of a kind name the same few places. */
function placeIn(row: StepKind, pointer: string): ParameterPlace {
  const places = placesOfRows.get(row) ?? new Map<string, ParameterPlace>();
  placesOfRows.set(row, places);
  let place = places.get(pointer);
  if (place === undefined) {
    const keys = pointer.split('/').slice(1);
    const schema = schemaAt(kindSchema(row.kind), keys);
    place = { name: keys.join('.'), schema, secrets: mayHoldSecret(schema), input: inputType(row, keys) };
    places.set(pointer, place);
  }
  return place;
}

/** The artifact that an input takes; null where the place is a plain parameter. */
function inputType(row: StepKind, keys: readonly string[]): ExpressionType | null {
  const path = keys.join('.');
  if (Object.hasOwn(row.inputs, path)) return expressionType(row.inputs[path]!);
  const list = keys.slice(0, -1).join('.');
  if (!/^\d+$/.test(keys.at(-1)!) || !Object.hasOwn(row.inputs, list)) return null;
  const type = expressionType(row.inputs[list]!);
  return type.type === 'list' ? type.item : null;
}

function schemaAt(schema: Schema, keys: readonly string[]): Schema | null {
  let found: Schema[] = [schema];
  for (const key of keys) {
    found = found.flatMap(branchesOf).flatMap((branch) => {
      const child = /^\d+$/.test(key) ? branch.items : branch.properties?.[key];
      return typeof child === 'object' ? [child] : [];
    });
  }
  return found.length === 0 ? null : found.length === 1 ? found[0]! : { anyOf: found };
}

const branchesOf = (schema: Schema): readonly Schema[] => schema.anyOf?.flatMap(branchesOf) ?? [schema];

/** A parameter that a step's output decides: only its type is known before the run. */
function checkPlainValue(
  compiling: Compiling,
  slot: Slot,
  type: ExpressionType,
  schema: Schema | null,
  name: string,
): void {
  if (schema === null || type.type === 'any' || type.type === 'null' || type.type === 'secret') return;
  const json = {
    number: 'number',
    string: 'string',
    boolean: 'boolean',
    list: 'array',
    record: 'object',
    artifact: '',
  }[type.type];
  if (acceptedTypes(schema).has(json)) return;
  const range = placeInSlot(compiling, slot, slot.whole ? expressionsOf(slot)[0] : undefined);
  const message = `"${name}" takes ${describeSchema(schema)}, but this is ${typeName(type)}.`;
  compiling.problems.push({ code: 'EXPRESSION_TYPE', range, message });
}

/** A value that params decide is checked like one that was written out. */
function checkFolded(
  compiling: Compiling,
  kind: string,
  raw: { readonly [name: string]: Json },
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
  folded: readonly { pointer: string; slot: Slot }[],
): void {
  // Expressions that stay are written as in the file, where the schema accepts them.
  const remaining = new Map(folded.map(({ slot }) => [slot.pointer, slots.get(slot.pointer)!]));
  const value = asData(planValue(compiling, raw, pointer, remaining));
  const problems = validateParameters(kind, value, (at) => {
    const place = folded.find((each) => at === each.pointer || at.startsWith(`${each.pointer}/`));
    if (place === undefined) return null;
    return { range: placeInSlot(compiling, place.slot), origin: `It comes from ${place.slot.text.trim()}.` };
  });
  compiling.problems.push(...problems);
}

function planTimeout(compiling: Compiling, draft: KindDraft, row: StepKind): number {
  const pointer = pointerTo(draft.pointer, 'timeout');
  const value = beforeRun(compiling, draft.spec.timeout ?? null, pointer, draft.slots);
  if (value === undefined || value === null) return row.timeoutMs;
  return durationMs(compiling, value, pointer) ?? row.timeoutMs;
}

function planRetry(compiling: Compiling, draft: KindDraft, row: StepKind): RetryPolicy {
  const pointer = pointerTo(draft.pointer, 'retry');
  const value = beforeRun(compiling, (draft.spec.retry ?? null) as Json, pointer, draft.slots);
  if (value === undefined || value === null) return row.retry;
  if (isRecord(value)) {
    const { max, initial, factor, longest, on, except } = value;
    const initialMs = initial === undefined ? row.retry.initialMs : durationMs(compiling, initial, pointer);
    const maxMs = longest === undefined ? row.retry.maxMs : durationMs(compiling, longest, pointer);
    return {
      max: Number(max),
      initialMs: initialMs ?? row.retry.initialMs,
      factor: typeof factor === 'number' ? factor : row.retry.factor,
      maxMs: Math.max(maxMs ?? row.retry.maxMs, initialMs ?? 0),
      ...(on === undefined ? {} : { on: on as readonly string[] }),
      ...(except === undefined ? {} : { except: except as readonly string[] }),
    };
  }
  if (Number.isInteger(value) && (value as number) >= 0) return { ...row.retry, max: value as number };
  const message = `"retry" is ${JSON.stringify(value)}; expected a whole number from 0.`;
  compiling.problems.push({ code: 'INVALID_VALUE', range: placeOf(compiling, pointer), message });
  return row.retry;
}

/** A value that the plan must know; undefined where steps decide it, which is reported. */
export function beforeRun(
  compiling: Compiling,
  value: Json,
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
): Json | undefined {
  const slot = slots.get(pointer);
  if (slot === undefined) return value;
  if (isConstant(compiling, slot)) return planSlot(compiling, slot);
  const unknownParams = expressionsOf(slot).every(({ references }) =>
    references.every(({ root, keys }) => root === 'params' && !compiling.fromRun.has(keys[0]?.name ?? '')),
  );
  if (!unknownParams) {
    const message = 'This must be known before the run; only params can be read here.';
    compiling.problems.push({ code: 'EXPRESSION_TYPE', range: placeInSlot(compiling, slot), message });
  }
  return undefined;
}

export function durationMs(compiling: Compiling, value: Json, pointer: string): number | null {
  const ms = typeof value === 'string' ? parseDurationMs(value) : null;
  if (ms === null && !hasExpression(value)) {
    const message = `${JSON.stringify(value)} is no duration; expected ${durationForm}.`;
    compiling.problems.push({ code: 'INVALID_VALUE', range: placeOf(compiling, pointer), message });
  }
  return ms;
}

/**
 * CEL for the label versions that the steps before an evaluation make, in the order of the plan; null for a step that
 * shows only the given one. A review that may be skipped counts where it was not.
 */
export function reviewedVersions(draft: Draft, needs: readonly Draft[], view: ScopeView): string | null {
  if (draft.type !== 'kind' || !draft.allVersions) return null;
  const parts: string[] = [];
  for (const step of view.before) {
    if (!needs.includes(step)) continue;
    const guarded = (list: string, read: string) =>
      view.skippable.has(step.id) ? `(has(${read}) ? ${list} : [])` : list;
    if (step.type === 'pipeline') {
      const type = view.steps.get(step.id);
      const keys = step.reviews && type?.type === 'record' ? datasetsOf(type) : [];
      for (const key of keys) parts.push(`(has(steps.${step.id}.${key}) ? [steps.${step.id}.${key}] : [])`);
    } else if ('body' in step) {
      for (const key of datasetKeys(view.steps.get(step.id))) {
        const all = `steps.${step.id}.all`;
        // A round or leg may have skipped its review.
        const some = step.type === 'repeat' ? `${all}.map(r, r.${key})` : `${all}.map(r, has(r.${key}), r.${key})`;
        parts.push(guarded(some, all));
      }
    } else if (step.row?.kind === 'review-labels') {
      const read = `steps.${step.id}.dataset`;
      parts.push(guarded(`[${read}]`, read));
    }
  }
  return parts.length === 0 ? '[]' : parts.join(' + ');
}

/** Names in the entries of a step's `all` that hold a dataset. */
function datasetKeys(type: ExpressionType | undefined): string[] {
  const all = type?.type === 'record' ? type.fields.get('all') : undefined;
  if (all?.type !== 'list' || all.item.type !== 'record') return [];
  return datasetsOf(all.item);
}

function datasetsOf({ fields }: RecordType): string[] {
  return [...fields]
    .filter(([, field]) => field.type === 'artifact' && field.artifact === 'dataset')
    .map(([name]) => name);
}
