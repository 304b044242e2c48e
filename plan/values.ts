/** Values of a plan with their expressions: computed in the workflow, once the steps they read have ended. */

import { type ExpressionScope, evaluateExpression, textOfValue } from '../spec/expression.ts';
import type { Json, PlannedValue } from './types.ts';

/**
 * The value with every expression in it computed. An expression that gives null leaves its key out, so that an
 * optional input can depend on a condition. Throws `AbsentValueError` where it reads an output of a skipped step.
 */
export function resolveValue(value: PlannedValue, scope: ExpressionScope): Json {
  if (Array.isArray(value)) return value.map((item) => resolveValue(item, scope));
  if (typeof value !== 'object' || value === null) return value;
  const source = expressionOf(value);
  if (source !== null) return evaluateExpression(source, scope);
  const parts = textPartsOf(value);
  if (parts !== null) return resolveText(parts, scope);
  const entries: [string, Json][] = [];
  for (const [key, item] of Object.entries(value as { readonly [key: string]: PlannedValue })) {
    const resolved = resolveValue(item, scope);
    if (resolved !== null || item === null) entries.push([key, resolved]);
  }
  return Object.fromEntries(entries);
}

/** Text in one piece; where secrets are part of it, a `$text` of them and of the texts between, for an activity to join. */
function resolveText(parts: readonly PlannedValue[], scope: ExpressionScope): Json {
  const pieces: Json[] = [];
  for (const part of parts) {
    if (secretNameOf(part) !== null) {
      pieces.push(part);
      continue;
    }
    const text = textOf(resolveValue(part, scope));
    const before = pieces.at(-1);
    if (typeof before === 'string') pieces[pieces.length - 1] = before + text;
    else pieces.push(text);
  }
  const [only = ''] = pieces;
  return pieces.length <= 1 && typeof only === 'string' ? only : { $text: pieces };
}

/** The name of `{ "$secret": NAME }`; null for any other value. */
export function secretNameOf(value: PlannedValue): string | null {
  const name = onlyKey(value, '$secret');
  return typeof name === 'string' ? name : null;
}

/** The CEL of `{ "$": CEL }`; null for any other value. */
export function expressionOf(value: PlannedValue): string | null {
  const source = onlyKey(value, '$');
  return typeof source === 'string' ? source : null;
}

/** The parts of `{ "$text": [...] }`; null for any other value. */
export function textPartsOf(value: PlannedValue): readonly PlannedValue[] | null {
  const parts = onlyKey(value, '$text');
  return Array.isArray(parts) ? parts : null;
}

/** Whether a plan takes the value for an expression, a text with some, or a secret, and not for what it is. */
export function hasMark(value: PlannedValue): boolean {
  return expressionOf(value) !== null || textPartsOf(value) !== null || secretNameOf(value) !== null;
}

/** A planned value that waits for no step and no secret, as data. */
export const asData = (value: PlannedValue): Json => resolveValue(value, { steps: {} });

function onlyKey(value: PlannedValue, key: string): PlannedValue | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] === key ? (value as { readonly [key: string]: PlannedValue })[key] : undefined;
}

function textOf(value: Json): string {
  const text = textOfValue(value);
  if (text === null) throw new Error('A list or an object cannot be part of a text.');
  return text;
}
