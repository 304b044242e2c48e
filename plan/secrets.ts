/** Secrets in a pipeline file: where they may stand, and how the plan names one without knowing it. */

import type { Schema } from '../spec/schemas.ts';
import { pointerTo } from '../spec/types.ts';
import type { Slot, SlotExpression } from './slots.ts';
import type { PlannedValue } from './types.ts';
import { secretNameOf, textPartsOf } from './values.ts';

/** The secret that the expression is, and is alone: `${{ secrets.NAME }}`. Text may stand before and after. */
export function secretOf(expression: SlotExpression): string | null {
  const [reference] = expression.references;
  const alone = reference?.range.start === 0 && reference.range.end === expression.source.length;
  return alone && reference.root === 'secrets' && reference.keys.length === 1 ? reference.keys[0]!.name : null;
}

/** Where a slot reads a secret, with the place of the reference; empty for most. */
export function secretsIn(
  slot: Slot,
): { readonly expression: SlotExpression; readonly name: string; readonly at: number }[] {
  const found: { readonly expression: SlotExpression; readonly name: string; readonly at: number }[] = [];
  for (const part of slot.parts) {
    if (typeof part === 'string') continue;
    for (const [at, { root, keys }] of part.references.entries()) {
      if (root === 'secrets') found.push({ expression: part, name: keys[0]?.name ?? 'NAME', at });
    }
  }
  return found;
}

/** In a plan, a history and a fingerprint a secret is its name; activities/secrets.ts knows its value. */
export const plannedSecret = (name: string): PlannedValue => ({ $secret: name });

/** Whether the schema of a kind's parameter is marked as one that may hold a secret. */
export function mayHoldSecret(schema: Schema | null): boolean {
  return schema !== null && (schema.secret === true || (schema.anyOf ?? []).some(mayHoldSecret));
}

/**
 * Where a step is given secrets: JSON Pointers into its `with`, to each secret and each text with some in it. The plan says it,
 * because in the run what other steps gave stands beside them, and may look like anything.
 */
export function secretPlaces(value: PlannedValue, pointer = ''): string[] {
  if (secretNameOf(value) !== null) return [pointer];
  const parts = textPartsOf(value);
  if (parts !== null) return parts.some((part) => secretNameOf(part) !== null) ? [pointer] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => secretPlaces(item as PlannedValue, pointerTo(pointer, key)));
}

/** What a planned step says of its secrets: nothing where it has none. */
export function secretsOfStep(values: PlannedValue): { readonly secrets?: readonly string[] } {
  const secrets = secretPlaces(values);
  return secrets.length === 0 ? {} : { secrets };
}
