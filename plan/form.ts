/**
 * Forms of `approve` steps: the part of JSON Schema that they use, and whether an answer fits. Written out here, because
 * answers are checked in the workflow, where a validator that generates code has no place.
 */

import type { Json } from './types.ts';

/** A yes, a number, a text, or a list of such; what is not one of these would be no field that a person fills in. */
export interface FormField {
  readonly type: 'boolean' | 'integer' | 'number' | 'string' | 'array';
  readonly title?: string;
  readonly description?: string;
  readonly default?: Json;
  readonly enum?: readonly Json[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: FormField;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
}

/** As in schemas/form.schema.json. */
export interface Form {
  readonly type?: 'object';
  readonly title?: string;
  readonly description?: string;
  readonly properties: { readonly [name: string]: FormField };
  readonly required?: readonly string[];
}

export type Answer = { readonly [name: string]: Json };

/** The form of a gate that has none of its own. */
export const yesOrNo: Form = {
  type: 'object',
  properties: {
    approved: { type: 'boolean', title: 'Go on?' },
    comment: { type: 'string', title: 'Comment' },
  },
  required: ['approved'],
};

/** Outputs that every gate has beside the fields of its form. */
export const ownOutputs = ['by', 'expired'] as const;

/** Required fields first, in the order of `required`; the others by name, because a plan keeps no order of keys. */
export function fieldsOf({ properties, required = [] }: Form): [string, FormField][] {
  const first = required.filter((name) => Object.hasOwn(properties, name));
  const others = Object.keys(properties).filter((name) => !first.includes(name));
  return [...first, ...others.sort()].map((name) => [name, properties[name]!]);
}

/** What is wrong with the answer, every fault in one text; null where it fits. It may come from any client. */
export function problemOfAnswer(form: Form, answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    return `An answer is an object with ${listed(fieldsOf(form).map(([name]) => name))}, not ${shown(answer)}.`;
  }
  const given = answer as Answer;
  const known = fieldsOf(form).map(([name]) => name);
  const faults = [
    ...Object.keys(given)
      .filter((name) => !known.includes(name))
      .map((name) => `The form has no field "${name}"; its fields: ${known.join(', ')}.`),
    ...fieldsOf(form).flatMap(([name, field]) => {
      if (Object.hasOwn(given, name)) return fits(field, given[name]!) ? [] : [misfit(name, field, given[name]!)];
      const isMissing = (form.required ?? []).includes(name) && field.default === undefined;
      return isMissing ? [`"${name}" is missing; expected ${describeField(field)}.`] : [];
    }),
  ];
  return faults.length === 0 ? null : faults.join(' ');
}

/** The answer with the defaults of the form where it says nothing, in the order of the form. */
export function completeAnswer(form: Form, answer: Answer): Answer {
  const entries = Object.entries(form.properties).flatMap(([name, field]): [string, Json][] => {
    const value = Object.hasOwn(answer, name) ? answer[name] : field.default;
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries);
}

/** What is wrong with the form itself that its schema cannot say, with the pointer of the place; empty where it is fine. */
export function faultsOfForm(form: Form): { readonly pointer: string; readonly message: string }[] {
  const names = Object.keys(form.properties);
  const faults = (form.required ?? []).flatMap((name, at) =>
    names.includes(name)
      ? []
      : [{ pointer: `/required/${at}`, message: `"${name}" is required, but the form has no such field.` }],
  );
  for (const [name, field] of Object.entries(form.properties)) {
    const pointer = `/properties/${name}`;
    if ((ownOutputs as readonly string[]).includes(name)) {
      const message = `"${name}" cannot be a field: every gate has an output of that name.`;
      faults.push({ pointer, message });
    }
    if (field.pattern !== undefined && !isPattern(field.pattern)) {
      faults.push({ pointer: `${pointer}/pattern`, message: `${shown(field.pattern)} is no regular expression.` });
    } else if (field.default !== undefined && !fits(field, field.default)) {
      faults.push({ pointer: `${pointer}/default`, message: misfit(`${name}.default`, field, field.default) });
    }
  }
  return faults;
}

/** "true or false", "a whole number from 1 to 10", "red or green". */
export function describeField(field: FormField): string {
  if (field.enum !== undefined) return field.enum.map((value) => JSON.stringify(value)).join(' or ');
  switch (field.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number${rangeWords(field)}`;
    case 'number':
      return `a number${rangeWords(field)}`;
    case 'string': {
      const least = field.minLength === undefined ? '' : ` of at least ${field.minLength} characters`;
      const most = field.maxLength === undefined ? '' : ` of at most ${field.maxLength} characters`;
      return `text${least}${most}${field.pattern === undefined ? '' : ` like ${field.pattern}`}`;
    }
    case 'array': {
      const least = field.minItems === undefined ? '' : ` with at least ${field.minItems} of them`;
      const most = field.maxItems === undefined ? '' : ` with at most ${field.maxItems} of them`;
      const items = field.items === undefined ? '' : ` whose entries are each ${describeField(field.items)}`;
      return `a list${items}${field.uniqueItems ? ', none twice' : ''}${least}${most}`;
    }
  }
}

function fits(field: FormField, value: Json): boolean {
  if (field.enum !== undefined && !field.enum.some((one) => JSON.stringify(one) === JSON.stringify(value)))
    return false;
  switch (field.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'integer':
      return Number.isSafeInteger(value) && inRange(field, value as number);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value) && inRange(field, value);
    case 'string': {
      if (typeof value !== 'string') return false;
      const length = [...value].length;
      if (length < (field.minLength ?? 0) || length > (field.maxLength ?? Number.POSITIVE_INFINITY)) return false;
      return field.pattern === undefined || new RegExp(field.pattern, 'u').test(value);
    }
    case 'array': {
      if (!Array.isArray(value)) return false;
      const list = value as readonly Json[];
      if (list.length < (field.minItems ?? 0) || list.length > (field.maxItems ?? Number.POSITIVE_INFINITY))
        return false;
      if (field.uniqueItems && new Set(list.map((item) => JSON.stringify(item))).size < list.length) return false;
      return list.every((item) => (field.items === undefined ? isScalar(item) : fits(field.items, item)));
    }
  }
}

function inRange(field: FormField, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = field;
  if (minimum !== undefined && value < minimum) return false;
  if (maximum !== undefined && value > maximum) return false;
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return false;
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return false;
  if (multipleOf === undefined) return true;
  const steps = value / multipleOf;
  // 0.3 is three steps of 0.1, whatever their quotient in binary is.
  return Math.abs(steps - Math.round(steps)) < 1e-9 * Math.max(1, Math.abs(steps));
}

function rangeWords({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: FormField): string {
  const words = [
    minimum === undefined ? '' : ` from ${minimum}`,
    exclusiveMinimum === undefined ? '' : ` above ${exclusiveMinimum}`,
    maximum === undefined ? '' : ` to ${maximum}`,
    exclusiveMaximum === undefined ? '' : ` below ${exclusiveMaximum}`,
    multipleOf === undefined ? '' : ` in steps of ${multipleOf}`,
  ];
  return words.join('');
}

function misfit(name: string, field: FormField, value: Json): string {
  return `"${name}" is ${shown(value)}; expected ${describeField(field)}.`;
}

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch {
    return false;
  }
}

const isScalar = (value: Json): boolean => typeof value !== 'object';

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function listed(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
