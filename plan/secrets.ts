/** Secrets in a pipeline file: where they may stand, and how the plan names one without knowing it. */

import type { Schema } from '../spec/schemas.ts';
import type { Slot, SlotExpression } from './slots.ts';
import type { PlannedValue } from './types.ts';

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
