/** Checks of steps against each other: a small function each, which adds to the problems. */

import type { Problem } from '../spec/diagnostic.ts';
import { type Reference, referencesOf } from '../spec/expression-references.ts';
import { type ExpressionType, isAssignable, typeName } from '../spec/expression-types.ts';
import { nameFix } from '../spec/fixes.ts';
import { isWorthLooking, suggestion } from '../spec/suggest.ts';
import type { Range } from '../spec/types.ts';
import type { ScopeView } from './compile-scope.ts';
import type { Draft } from './drafts.ts';
import { type Compiling, expressionsOf, placeInSlot, type Slot, type SlotExpression } from './slots.ts';
import type { ValueType } from './step-kinds.ts';

/** `needs` names steps of the same scope, because only they can be waited for there. */
export function checkNeeds(compiling: Compiling, draft: Draft, ids: ReadonlyMap<string, unknown>): void {
  for (const { id, pointer } of draft.needs) {
    if (ids.has(id)) continue;
    const look = isWorthLooking(compiling.problems.length, ids.size);
    const others = [...ids.keys()].filter((other) => other !== draft.id);
    const range = placeOf(compiling, pointer);
    compiling.problems.push({
      code: 'UNKNOWN_STEP',
      range,
      message: `"${draft.id}" needs "${id}", but no step of its scope is named so.`,
      hint: suggestion(id, others, 'Steps here', look),
      ...(look ? nameFix(id, others, range) : {}),
    });
  }
}

/** Steps that wait for each other, named in a circle; shown where the first of them reads the next. */
export function checkCycle(compiling: Compiling, circle: readonly Draft[]): void {
  const first = circle[0]!;
  const next = circle[1] ?? first;
  const names = [...circle, first].map((draft) => draft.id).join(' -> ');
  const itself = circle.length === 1;
  const message = itself
    ? `"${first.id}" waits for itself.`
    : `These steps wait for each other: ${names} (each reads or needs the next).`;
  const hint = itself ? 'A step reads only what other steps give.' : 'Remove one of these references.';
  // The rest of the circle: where each of the others waits for the one after it.
  const related = circle.slice(1).map((draft, at) => {
    const awaited = circle[at + 2] ?? first;
    return { range: waitPlace(compiling, draft, awaited.id), message: `"${draft.id}" waits for "${awaited.id}".` };
  });
  const range = waitPlace(compiling, first, next.id);
  const problem: Problem = { code: 'CYCLE', range, message, hint, ...(itself ? {} : { related }) };
  compiling.problems.push(problem);
}

function waitPlace(compiling: Compiling, draft: Draft, id: string): Range {
  for (const slot of slotsWithin(draft)) {
    for (const expression of expressionsOf(slot)) {
      const reference = expression.references.find(({ root, keys }) => root === 'steps' && keys[0]?.name === id);
      if (reference !== undefined) return placeInSlot(compiling, slot, expression, reference.range);
    }
  }
  const need = draft.needs.find((each) => each.id === id);
  if (need !== undefined) return placeOf(compiling, need.pointer);
  const place = compiling.parsed.places.get(draft.pointer);
  return place?.key ?? place?.value ?? { start: 0, end: 0 };
}

function slotsWithin(draft: Draft): Slot[] {
  const own = [...draft.slots.values()];
  return 'body' in draft ? [...own, ...draft.inner.values(), ...draft.body.flatMap(slotsWithin)] : own;
}

/** Reading what may not be there, such as the last round of none, skips the reader after hours; so a condition must come before. */
export function checkGuards(
  compiling: Compiling,
  slot: Slot,
  { mayBeEmpty, mayBeAbsent }: Pick<ScopeView, 'mayBeEmpty' | 'mayBeAbsent'>,
  when: Slot | boolean | undefined,
): void {
  if (mayBeEmpty.size === 0 && mayBeAbsent.size === 0) return;
  const outer =
    typeof when === 'object' && when !== slot ? expressionsOf(when).flatMap(({ references }) => references) : [];
  for (const expression of expressionsOf(slot)) {
    for (const { root, keys, range, conditions } of expression.references) {
      const [step, output] = keys;
      const name = `${root}.${step?.name}`;
      if (mayBeAbsent.has(name)) {
        const asked = [...outer, ...conditions.flatMap(referencesOf)];
        if (asked.some((reference) => asksForName(reference, name))) continue;
        const why = root === 'round' ? 'there is none in the first round' : 'not every leg has it';
        compiling.problems.push({
          code: 'MAYBE_ABSENT',
          range: placeInSlot(compiling, slot, expression, range),
          message: `${name} is read, but ${why}.`,
          hint: `Ask before: has(${name}) ? ${name}${root === 'round' ? '.NAME' : ''} : OTHER.`,
        });
        continue;
      }
      if (
        root !== 'steps' ||
        step === undefined ||
        !['last', 'best'].includes(output?.name ?? '') ||
        !mayBeEmpty.has(step.name)
      )
        continue;
      const asked = [...outer, ...conditions.flatMap(referencesOf)];
      if (asked.some((reference) => asksForRounds(reference, step.name))) continue;
      compiling.problems.push({
        code: 'UNGUARDED_LAST',
        range: placeInSlot(compiling, slot, expression, range),
        message: `steps.${step.name}.${output!.name} is read, but with max 0 "${step.name}" has no round.`,
        hint: `Ask before: size(steps.${step.name}.all) > 0 ? steps.${step.name}.${output!.name}.NAME : OTHER.`,
      });
    }
  }
}

function asksForName({ root, keys }: Reference, name: string): boolean {
  const [first] = keys;
  if (`${root}.${first?.name}` === name) return true;
  return name === 'round.previous' && root === 'round' && first?.name === 'index';
}

function asksForRounds({ root, keys }: Reference, step: string): boolean {
  return root === 'steps' && keys[0]?.name === step && ['all', 'last', 'rounds'].includes(keys[1]?.name ?? '');
}

/** An input takes one kind of artifact. */
export function checkInput(
  compiling: Compiling,
  slot: Slot,
  type: ExpressionType,
  expected: ExpressionType,
  reader: string,
  name: string,
): void {
  if (isAssignable(type, expected)) return;
  const [expression] = expressionsOf(slot);
  const given = slot.whole && expression !== undefined ? expression.source : slot.text;
  const shown = given.length > 60 ? 'this' : given;
  const range = placeInSlot(compiling, slot, slot.whole ? expression : undefined);
  const better = slot.whole && expression !== undefined ? fittingReads(compiling, slot, expression, expected) : [];
  compiling.problems.push({
    code: 'WRONG_ARTIFACT',
    range,
    message: `${reader} takes ${typeName(expected)} for "${name}", but ${shown} is ${typeName(type)}.`,
    ...(better.length === 0 ? {} : { hint: `Did you mean ${better.join(' or ')}?` }),
    // Another output may be the wrong step as well; a step without any leaves no choice.
    ...(better.length === 1 && type.type === 'record'
      ? { fix: { title: `Read ${better[0]}`, edits: [{ range, text: better[0]! }] } }
      : {}),
  });
}

/** For `steps.data` or one output of it: the outputs of that step which would fit. */
function fittingReads(
  compiling: Compiling,
  slot: Slot,
  expression: SlotExpression,
  expected: ExpressionType,
): string[] {
  const read = /^steps\.(\w+)(?:\.\w+)?$/.exec(expression.source);
  const steps = compiling.names.get(slot.pointer)?.get('steps');
  const step = read === null || steps?.type !== 'record' ? undefined : steps.fields.get(read[1]!);
  if (read === null || step?.type !== 'record') return [];
  const fitting = [...step.fields].filter(([, type]) => type.type !== 'any' && isAssignable(type, expected));
  return fitting.map(([output]) => `steps.${read[1]}.${output}`);
}

/** A type of the table of step kinds, as expressions have it. */
export function expressionType(type: ValueType): ExpressionType {
  if (typeof type === 'string') return { type };
  if ('artifact' in type) return { type: 'artifact', artifact: type.artifact };
  return { type: 'list', item: expressionType(type.list) };
}

export function placeOf(compiling: Compiling, pointer: string): Range {
  return compiling.parsed.places.get(pointer)?.value ?? { start: 0, end: 0 };
}
