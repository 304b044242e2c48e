/** Parameters of a leg's only step that its combination decides, checked for each leg as if they were written out. */

import { ExpressionError, evaluateExpression } from '../spec/expression.ts';
import { isRecord, pointerTo } from '../spec/types.ts';
import { validateParameters } from '../spec/validate.ts';
import type { KindDraft } from './drafts.ts';
import { type Compiling, expressionsOf, placeInSlot, type Slot } from './slots.ts';
import type { Json, PlannedLeg } from './types.ts';

/** One problem for each place, with the first leg that has it. */
export function checkLegs(compiling: Compiling, draft: KindDraft, legs: readonly PlannedLeg[]): void {
  const given = draft.spec.with;
  if (draft.row === undefined || !isRecord(given)) return;
  const pointer = pointerTo(draft.pointer, 'with');
  const decided = [...draft.slots.values()].filter(
    (slot) => slot.pointer.startsWith(`${pointer}/`) && isDecided(compiling, slot),
  );
  if (decided.length === 0) return;
  const told = new Set<Slot>();
  for (const { name, values } of legs) {
    const scope = { steps: {}, params: compiling.params, matrix: values };
    const known = new Map<string, Json>();
    for (const slot of decided) {
      const value = valueIn(slot, scope);
      if (value !== undefined) known.set(slot.pointer, value);
    }
    const whole = filled(given, pointer, known);
    const problems = validateParameters(draft.row.kind, whole, (at) => {
      const slot = decided.find((each) => isAtOrUnder(`${pointer}${at}`, each.pointer));
      if (slot === undefined || told.has(slot) || !known.has(slot.pointer)) return null;
      told.add(slot);
      return { range: placeInSlot(compiling, slot), origin: `It comes from ${slot.text.trim()} in the leg ${name}.` };
    });
    compiling.problems.push(...problems);
    if (told.size === decided.length) return;
  }
}

/** Whether the combination and known params alone decide the whole value. */
function isDecided(compiling: Compiling, slot: Slot): boolean {
  if (!slot.whole || compiling.faulty.has(slot)) return false;
  const references = expressionsOf(slot).flatMap((expression) => expression.references);
  return (
    references.some(({ root }) => root === 'matrix') &&
    expressionsOf(slot).every(({ node }) => node !== null) &&
    references.every(
      ({ root, keys }) =>
        root === 'matrix' || (root === 'params' && Object.hasOwn(compiling.params, keys[0]?.name ?? '')),
    )
  );
}

/** Undefined where this leg has no such value, or one further out has it. */
function valueIn(slot: Slot, scope: Parameters<typeof evaluateExpression>[1]): Json | undefined {
  try {
    return evaluateExpression(expressionsOf(slot)[0]!.source, scope);
  } catch (error) {
    if (error instanceof ExpressionError || (error instanceof Error && error.name === 'AbsentValueError'))
      return undefined;
    throw error;
  }
}

function filled(value: Json, pointer: string, known: ReadonlyMap<string, Json>): Json {
  const own = known.get(pointer);
  if (own !== undefined) return own;
  if (Array.isArray(value)) return value.map((item: Json, at) => filled(item, pointerTo(pointer, at), known));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, filled(item, pointerTo(pointer, key), known)]),
  );
}

function isAtOrUnder(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}
