/** Expressions of a file where they stand: parsed, with what they read, folded where params alone decide them. */

import type { Diagnostic, Problem } from '../spec/diagnostic.ts';
import { type ASTNode, ExpressionError, evaluateExpression, parseExpression, textOfValue } from '../spec/expression.ts';
import { checkExpression, type ExpressionNames } from '../spec/expression-check.ts';
import { type Reference, referencesOf } from '../spec/expression-references.ts';
import { bareExpression, type EmbeddedExpression, hasExpression, splitExpressions } from '../spec/expression-text.ts';
import { anyType, type ExpressionType, stringType, typeName } from '../spec/expression-types.ts';
import { placeInScalar } from '../spec/scalar-place.ts';
import { isRecord, type ParsedSpec, pointerTo, type Range } from '../spec/types.ts';
import type { ParsedPipeline } from './compile.ts';
import { plannedSecret, secretOf, secretPlaces, secretsIn } from './secrets.ts';
import type { Json, PlannedValue } from './types.ts';
import { expressionOf, hasMark, textPartsOf } from './values.ts';

/** What the compiler knows while it goes through a file. */
export interface Compiling {
  readonly parsed: ParsedSpec;
  /** Values of params, as far as they are known. */
  readonly params: { readonly [name: string]: Json };
  /** Params of an imported pipeline whose values come up in the run. */
  readonly fromRun: ReadonlySet<string>;
  readonly paramsType: ExpressionType;
  /** Slots with a type that does not fit: to compute them would only repeat that. */
  readonly faulty: Set<Slot>;
  readonly problems: Problem[];
  /** What the expressions of the file read, in the order in which they were found. */
  readonly reads: FoundRead[];
  /** Names that each text with expressions sees, with their types, by pointer: what an editor completes from. */
  readonly names: Map<string, ExpressionNames>;
  readonly importing: Importing;
  /** In `finally`, where a step that gives up has failed unless it says otherwise: a run that has ended should not wait. */
  readonly atEnd?: boolean;
  /** By their source; those that cannot be parsed are not kept. */
  readonly parsedExpressions: Map<string, ParsedExpression>;
}

export interface ParsedExpression {
  readonly node: ASTNode;
  readonly references: readonly Reference[];
}

/** What the files of one compilation share. */
export interface Importing {
  /** Files that steps name, by their resolved paths. */
  readonly files: ReadonlyMap<string, ParsedPipeline | { readonly why: string }>;
  /** From the first file to the one that is compiled. */
  readonly chain: readonly string[];
  /** Diagnostics of files that were imported. */
  readonly elsewhere: Diagnostic[];
}

/** `steps.train.AP` in the text at `pointer`. */
export interface FoundRead {
  readonly pointer: string;
  /** `steps`, `params`, `carry`, `round`. */
  readonly root: string;
  /** The first name behind it, and the second. */
  readonly name: string;
  readonly output?: string;
  /** Its place in the file. */
  readonly range: Range;
  /** That of the first name alone. */
  readonly nameRange: Range;
}

/** One string of the file that holds expressions. */
export interface Slot {
  readonly pointer: string;
  readonly text: string;
  /** Text and expressions in order; one expression alone where `whole`. */
  readonly parts: readonly (string | SlotExpression)[];
  readonly whole: boolean;
}

export interface SlotExpression extends EmbeddedExpression {
  /** Null where it cannot be parsed; that was reported. */
  readonly node: ASTNode | null;
  readonly references: readonly Reference[];
}

/** The slots of a value: of a string itself, of a list or mapping those inside. By pointer. */
export function readSlots(
  compiling: Compiling,
  value: Json | undefined,
  pointer: string,
  slots: Map<string, Slot>,
): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) readSlots(compiling, item, pointerTo(pointer, i), slots);
  } else if (isRecord(value)) {
    for (const [key, item] of Object.entries(value)) readSlots(compiling, item, pointerTo(pointer, key), slots);
  } else if (hasExpression(value)) {
    const split = splitExpressions(value);
    if (split.unclosedAt !== undefined) {
      const range = placeOfText(compiling, pointer, value, { start: split.unclosedAt, end: split.unclosedAt + 3 });
      compiling.problems.push({
        code: 'EXPRESSION_SYNTAX',
        range,
        message: 'This expression has no end.',
        hint: 'An expression ends with }}.',
      });
      slots.set(pointer, { pointer, text: value, parts: [unreadable()], whole: true });
      return;
    }
    const parts = split.whole === undefined ? split.parts : [split.whole];
    slots.set(pointer, {
      pointer,
      text: value,
      parts: parts.map((part) => (typeof part === 'string' ? part : readExpression(compiling, value, pointer, part))),
      whole: split.whole !== undefined,
    });
  }
}

/** The slot of `when`, `until` and the like: an expression, bare or in `${{ }}`. */
export function readCondition(compiling: Compiling, text: string, pointer: string, what = 'A condition'): Slot {
  const expression = bareExpression(text);
  if (expression !== null) {
    return { pointer, text, parts: [readExpression(compiling, text, pointer, expression)], whole: true };
  }
  const range = placeOfText(compiling, pointer, text, { start: 0, end: text.length });
  compiling.problems.push({
    code: 'EXPRESSION_SYNTAX',
    range,
    message: `${what} is one expression, bare or in \${{ }}; here is text around it.`,
  });
  return { pointer, text, parts: [unreadable()], whole: true };
}

function unreadable(): SlotExpression {
  return { source: '', range: { start: 0, end: 0 }, node: null, references: [] };
}

function readExpression(
  compiling: Compiling,
  text: string,
  pointer: string,
  expression: EmbeddedExpression,
): SlotExpression {
  try {
    const { node, references } = parsedOf(compiling, expression.source);
    for (const reference of references) {
      if ((reference.root === 'steps' || reference.root === 'params') && reference.keys.length === 0) {
        const range = placeOfText(compiling, pointer, text, shift(reference.range, expression.range.start));
        const message = `"${reference.root}" must be followed by a name, such as ${reference.root}.NAME, because what is read must be known before the run.`;
        compiling.problems.push({ code: 'EXPRESSION_TYPE', range, message });
        return { ...expression, node: null, references: [] };
      }
    }
    for (const reference of references) {
      compiling.reads.push(new ReadAt(compiling, text, pointer, expression.range.start, reference));
    }
    return { ...expression, node, references };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const range = placeOfText(compiling, pointer, text, shift(error.range, expression.range.start));
    const { hint, replacement } = error.remedy ?? {};
    const fix =
      replacement === undefined ? undefined : { title: `Write ${replacement}`, edits: [{ range, text: replacement }] };
    compiling.problems.push({
      code: error.code,
      range,
      message: error.message,
      ...(hint === undefined ? {} : { hint }),
      ...(fix === undefined ? {} : { fix }),
    });
    return { ...expression, node: null, references: [] };
  }
}

/** A read whose places are computed when they are asked, which hardly any is. */
class ReadAt implements FoundRead {
  readonly pointer: string;
  readonly #compiling: Compiling;
  readonly #text: string;
  /** Of the expression in the text. */
  readonly #start: number;
  readonly #reference: Reference;

  constructor(compiling: Compiling, text: string, pointer: string, start: number, reference: Reference) {
    this.pointer = pointer;
    this.#compiling = compiling;
    this.#text = text;
    this.#start = start;
    this.#reference = reference;
  }

  get root(): string {
    return this.#reference.root;
  }

  get name(): string {
    return this.#reference.keys[0]?.name ?? '';
  }

  get output(): string | undefined {
    return this.#reference.keys[1]?.name;
  }

  get range(): Range {
    return this.#placeOf(this.#reference.range);
  }

  get nameRange(): Range {
    return this.#placeOf(this.#reference.keys[0]?.range ?? this.#reference.range);
  }

  #placeOf(part: Range): Range {
    return placeOfText(this.#compiling, this.pointer, this.#text, shift(part, this.#start));
  }
}

/** Files say the same thing many times. */
function parsedOf({ parsedExpressions }: Compiling, source: string): ParsedExpression {
  let found = parsedExpressions.get(source);
  if (found === undefined) {
    const node = parseExpression(source);
    found = { node, references: referencesOf(node) };
    parsedExpressions.set(source, found);
  }
  return found;
}

const shift = (range: Range, by: number): Range => ({ start: range.start + by, end: range.end + by });

function placeOfText(compiling: Compiling, pointer: string, text: string, part: Range): Range {
  const place = compiling.parsed.places.get(pointer);
  if (place === undefined) return { start: 0, end: 0 };
  return placeInScalar(compiling.parsed.source.text, place.value, text, part);
}

/** The place in the file of a part of an expression; of all of it without `part`. */
export function placeInSlot(compiling: Compiling, slot: Slot, expression?: SlotExpression, part?: Range): Range {
  const range = part ?? { start: 0, end: expression?.source.length ?? slot.text.length };
  return placeOfText(compiling, slot.pointer, slot.text, shift(range, expression?.range.start ?? 0));
}

/** A problem with offsets in the expression, at its place in the file. */
function problemInSlot(compiling: Compiling, slot: Slot, expression: SlotExpression, problem: Problem): Problem {
  const placeOf = (range: Range) => placeInSlot(compiling, slot, expression, range);
  const { fix, ...rest } = problem;
  const range = placeOf(problem.range);
  if (fix === undefined) return { ...rest, range };
  const edits = fix.edits.map((edit) => ({ ...edit, range: placeOf(edit.range) }));
  return { ...rest, range, fix: { ...fix, edits } };
}

export function expressionsOf(slot: Slot): SlotExpression[] {
  return slot.parts.filter((part) => typeof part !== 'string');
}

/** The type of a slot's value; reports what does not fit inside. `secrets`: whether they may stand here, as they are. */
export function checkSlot(
  compiling: Compiling,
  slot: Slot,
  names: ExpressionNames,
  reader: string,
  { secrets }: { readonly secrets: boolean } = { secrets: false },
): ExpressionType {
  if (reportSecrets(compiling, slot, secrets)) return anyType;
  let type: ExpressionType = stringType;
  compiling.names.set(slot.pointer, names);
  for (const expression of expressionsOf(slot)) {
    if (secretOf(expression) !== null) {
      type = { type: 'secret' };
      continue;
    }
    if (expression.node === null) {
      if (type.type !== 'secret') type = anyType;
      continue;
    }
    const checked = checkExpression(expression.node, expression.source, names, reader, compiling.problems.length);
    for (const problem of checked.problems) {
      compiling.problems.push(problemInSlot(compiling, slot, expression, problem));
    }
    if (checked.problems.length > 0) compiling.faulty.add(slot);
    if (slot.whole) return checked.problems.length > 0 ? anyType : checked.type;
    if (['artifact', 'list', 'record'].includes(checked.type.type)) {
      const message = `${typeName(checked.type)} cannot be part of a text.`;
      const range = placeInSlot(compiling, slot, expression);
      compiling.problems.push({
        code: 'EXPRESSION_TYPE',
        range,
        message: message.charAt(0).toUpperCase() + message.slice(1),
      });
    }
  }
  return type;
}

/** Whether the slot reads a secret where or how it may not. `asTheyAre`: secrets may stand here that nothing is made of. */
function reportSecrets(compiling: Compiling, slot: Slot, asTheyAre: boolean): boolean {
  const found = secretsIn(slot).filter(({ expression }) => !asTheyAre || secretOf(expression) === null);
  for (const { expression, name, at } of found) {
    const range = placeInSlot(compiling, slot, expression, expression.references[at]!.range);
    const message = asTheyAre
      ? `The secret "${name}" can only be handed on as it is; here something would be made of it.`
      : `The secret "${name}" cannot stand here, where it would come into a history, a record or a report.`;
    const hint = asTheyAre
      ? `Write \${{ secrets.${name} }} alone between its braces, with other text and expressions before or behind them.`
      : 'Secrets go to inputs of `activity` steps, and to fields of a kind that are made for them.';
    compiling.problems.push({ code: 'MISPLACED_SECRET', range, message, hint });
  }
  if (found.length > 0) compiling.faulty.add(slot);
  return found.length > 0;
}

/** Whether params alone decide the slot's value, and it is known. */
export function isConstant(compiling: Compiling, slot: Slot): boolean {
  if (compiling.faulty.has(slot)) return false;
  return expressionsOf(slot).every(
    (expression) =>
      expression.node !== null &&
      expression.references.every(
        ({ root, keys }) => root === 'params' && Object.hasOwn(compiling.params, keys[0]?.name ?? ''),
      ),
  );
}

/** The slot in the plan: its value where params alone decide it, else expressions in which params have their values. */
export function planSlot(compiling: Compiling, slot: Slot): PlannedValue {
  const faulty = compiling.faulty.has(slot);
  const parts = slot.parts.map((part): PlannedValue => {
    if (typeof part === 'string') return part;
    const secret = secretOf(part);
    if (secret !== null) return plannedSecret(secret);
    if (faulty) return { $: part.source };
    try {
      if (!expressionIsConstant(compiling, part)) return { $: withParamValues(compiling, part) };
      return asPlanned(evaluateExpression(part.source, { steps: {}, params: compiling.params }));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const place = error instanceof ExpressionError ? error.range : undefined;
      const code = error instanceof ExpressionError ? error.code : 'EXPRESSION_TYPE';
      const range = placeInSlot(compiling, slot, part, place);
      compiling.problems.push({ code, range, message: error.message });
      return null;
    }
  });
  if (slot.whole) return parts[0]!;
  const texts = parts.map((part) => (typeof part === 'object' && part !== null ? null : textOfValue(part)));
  return texts.includes(null) ? { $text: parts } : texts.join('');
}

function expressionIsConstant(compiling: Compiling, expression: SlotExpression): boolean {
  return isConstant(compiling, { pointer: '', text: '', parts: [expression], whole: true });
}

/** The source with the params' values in their places: the run knows no params. */
function withParamValues(compiling: Compiling, expression: SlotExpression): string {
  let source = '';
  let from = 0;
  for (const { root, keys, range } of expression.references) {
    if (root !== 'params' || !Object.hasOwn(compiling.params, keys[0]?.name ?? '')) continue;
    const read = expression.source.slice(range.start, range.end);
    source += expression.source.slice(from, range.start);
    source += celLiteral(evaluateExpression(read, { steps: {}, params: compiling.params }));
    from = range.end;
  }
  return source + expression.source.slice(from);
}

/** JSON is CEL, but for negative numbers, which bind less than what may follow. `celOf`: for members. */
function celLiteral(value: Json, celOf: (member: Json) => string = celLiteral): string {
  if (typeof value === 'number') return value < 0 ? `(${value})` : String(value);
  if (Array.isArray(value)) return `[${value.map((item) => celOf(item)).join(', ')}]`;
  if (isRecord(value)) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}: ${celOf(item)}`)
      .join(', ')}}`;
  }
  return JSON.stringify(value);
}

/** CEL that gives what a planned value gives. Of a text with a secret there is none. */
function celOfPlanned(value: PlannedValue): string {
  const parts = textPartsOf(value);
  if (parts !== null) {
    return parts
      .map((part) => (typeof part === 'string' ? celLiteral(part) : `string(${celOfPlanned(part)})`))
      .join(' + ');
  }
  return expressionOf(value) ?? celLiteral(value, celOfPlanned);
}

/** Data as a value of a plan. What looks like a secret, a text or an expression of it becomes an expression that gives it. */
function asPlanned(data: Json): PlannedValue {
  if (Array.isArray(data)) return data.map(asPlanned);
  if (!isRecord(data)) return data;
  if (hasMark(data)) return { $: celLiteral(data) };
  return Object.fromEntries(Object.entries(data).map(([key, item]) => [key, asPlanned(item)]));
}

/**
 * A value of the file as the plan has it; what an expression of params makes null is left out. An object that only looks
 * like a mark becomes an expression that gives it, in which null stays null.
 */
export function planValue(
  compiling: Compiling,
  value: Json,
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
): PlannedValue {
  const slot = slots.get(pointer);
  if (slot !== undefined) return planSlot(compiling, slot);
  if (Array.isArray(value)) return value.map((item, i) => planValue(compiling, item, pointerTo(pointer, i), slots));
  if (!isRecord(value)) return value;
  const entries: [string, PlannedValue][] = [];
  for (const [key, item] of Object.entries(value)) {
    const planned = planValue(compiling, item, pointerTo(pointer, key), slots);
    if (planned !== null) entries.push([key, planned]);
  }
  const planned = Object.fromEntries(entries);
  if (!hasMark(planned)) return planned;
  reportSecretsInside(compiling, planned, pointer, slots);
  return { $: celLiteral(planned, celOfPlanned) };
}

/** No expression gives a secret. */
function reportSecretsInside(
  compiling: Compiling,
  planned: { readonly [key: string]: PlannedValue },
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
): void {
  for (const [key, item] of Object.entries(planned)) {
    for (const place of secretPlaces(item, pointerTo(pointer, key))) {
      const slot = slots.get(place)!;
      for (const { expression, name, at } of secretsIn(slot)) {
        compiling.problems.push({
          code: 'MISPLACED_SECRET',
          range: placeInSlot(compiling, slot, expression, expression.references[at]!.range),
          message: `The secret "${name}" cannot stand in an object whose only key is "${key}", because an expression makes that in the run.`,
          hint: 'Give the object another key too, or hand the secret on beside it.',
        });
      }
    }
  }
}
