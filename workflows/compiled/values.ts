/** Values as compiled workflows read them: what is not there is noticed, and a number means what a person means. */

import { ApplicationFailure } from '@temporalio/workflow';
import type { Json } from '../../plan/types.ts';
import { AbsentValueError, textOfValue } from '../../spec/expression.ts';
import type { Values } from '../scope-messages.ts';

/**
 * The value, of which reading a field that is not there throws `AbsentValueError`: so the step that reads it is skipped,
 * and `has` can ask before. `name`: what messages call it.
 */
export function present<Value>(value: unknown, name: string): Value {
  if (typeof value !== 'object' || value === null) return value as Value;
  const view = new Proxy(value, {
    get: (target, key) => {
      const field: unknown = Reflect.get(target, key);
      // Methods of lists, and the names by which JSON and promises ask what they have before them.
      if (typeof key === 'symbol' || typeof field === 'function' || key === 'toJSON' || key === 'then') return field;
      if (!Object.hasOwn(target, key)) {
        if (Array.isArray(target)) return field;
        throw new AbsentValueError(`${name}.${key}`);
      }
      return present(field, Array.isArray(target) ? `${name}[${key}]` : `${name}.${key}`);
    },
  });
  return view as Value;
}

/** Whether it can be read, and is not null. */
export function has(read: () => unknown): boolean {
  try {
    return read() !== null;
  } catch (error) {
    if (error instanceof AbsentValueError) return false;
    throw error;
  }
}

/** Undefined where it reads what is not there. */
export function orUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof AbsentValueError) return undefined;
    throw error;
  }
}

/** Values by name, of which those that read what is not there are left out. */
export function known(read: { readonly [name: string]: () => unknown }): Values {
  const values: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(read)) {
    const found = orUndefined(value);
    if (found !== null) values[name] = found;
  }
  return plainValues(values);
}

/** The value without what is undefined in it. Throws a failure of the step where a number is too large to be one. */
export function plain(value: unknown): Json {
  if (typeof value === 'number' && !Number.isFinite(value)) throw wrong(`${value} is no number that can be passed on.`);
  if (Array.isArray(value)) return value.map((item: unknown) => plain(item ?? null));
  if (typeof value !== 'object' || value === null) return value as Json;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, plain(item)]));
}

export const plainValues = (values: object): Values => plain(values) as Values;

// What the type checker cannot know of a value of another program, or of a list's length.

export function at<Item>(list: readonly Item[], index: number): Item {
  if (Number.isInteger(index) && index >= 0 && index < list.length) return list[index]!;
  throw wrong(`Index ${index} of a list with ${list.length} entries; the first has index 0.`);
}

/** An entry of a value of any type: by its index in a list, by its name in an object. */
export function entry(value: unknown, key: unknown): Json {
  if (Array.isArray(value)) return at(value as Json[], number(key));
  if (typeof value !== 'object' || value === null) throw wrong(`${shown(value)} has no "${String(key)}".`);
  const name = text(key);
  if (!Object.hasOwn(value, name)) throw new AbsentValueError(name);
  return (value as { readonly [name: string]: Json })[name]!;
}

export function number(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw wrong(`Expected a number, but this is ${shown(value)}.`);
}

export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw wrong(`Expected text, but this is ${shown(value)}.`);
}

export function truth(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw wrong(`Expected true or false, but this is ${shown(value)}.`);
}

export function list(value: unknown): readonly Json[] {
  if (Array.isArray(value)) return value as Json[];
  throw wrong(`Expected a list, but this is ${shown(value)}.`);
}

/** How a plain value is written inside text. */
export function written(value: unknown): string {
  const result = textOfValue(value as Json);
  if (result !== null) return result;
  throw wrong('A list or an object cannot be part of a text.');
}

/** Of numbers, of texts, or of lists. */
export function add(a: unknown, b: unknown): Json {
  if (typeof a === 'string' && typeof b === 'string') return a + b;
  if (Array.isArray(a) && Array.isArray(b)) return [...(a as Json[]), ...(b as Json[])];
  return number(a) + number(b);
}

export function divide(a: number, b: number): number {
  if (b === 0) throw wrong('Division by zero.');
  return a / b;
}

export function remainder(a: number, b: number): number {
  if (b === 0) throw wrong('Division by zero.');
  return a % b;
}

/** Below 0 where `a` comes before `b`: two numbers, or two texts by their UTF-16 units. */
export function order(a: unknown, b: unknown): number {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  const difference = number(a) - number(b);
  return difference < 0 ? -1 : difference > 0 ? 1 : 0;
}

/** Equal in all parts. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  const other = b as { readonly [key: string]: unknown };
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && same((a as typeof other)[key], other[key]));
}

/** Whether the list has an equal entry, or the object the key. */
export function contains(container: unknown, value: unknown): boolean {
  if (Array.isArray(container)) return container.some((item) => same(item, value));
  if (typeof container === 'object' && container !== null) return Object.hasOwn(container, text(value));
  throw wrong(`"in" looks into a list or an object; here is ${shown(container)}.`);
}

export function size(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length;
  throw wrong(`${shown(value)} has no size.`);
}

export function least(numbers: readonly unknown[]): number {
  if (numbers.length === 0) throw wrong('min of an empty list.');
  return Math.min(...numbers.map(number));
}

export function greatest(numbers: readonly unknown[]): number {
  if (numbers.length === 0) throw wrong('max of an empty list.');
  return Math.max(...numbers.map(number));
}

/** A number, or one that a decimal text says. */
export function numberFrom(value: unknown): number {
  const isDecimal = typeof value === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value);
  return number(isDecimal ? Number(value) : value);
}

function wrong(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'ExpressionFailed');
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
