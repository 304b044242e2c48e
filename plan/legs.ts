/** The legs of a fan-out: those of its matrix, or one for each entry of a list that came up in the run. */

import { legsMax } from './limits.ts';
import type { FanOutStep, Json } from './types.ts';

export interface Leg {
  /** Between the brackets of its path. */
  readonly name: string;
  /** What only this leg sees: `matrix`, or `item` and `index`. Also part of its entry in `all`. */
  readonly names: { readonly [name: string]: Json };
}

/** `items`: the value of `forEach`. Throws an error that says what is wrong with it. */
export function legsOf(step: FanOutStep, path: string, items: Json): Leg[] {
  if ('matrix' in step.legs) return step.legs.matrix.map(({ name, values }) => ({ name, names: { matrix: values } }));
  if (!Array.isArray(items)) throw new Error(`forEach of "${path}" is ${shown(items)}; expected a list.`);
  if (items.length > legsMax) {
    throw new Error(
      `forEach of "${path}" has ${items.length} entries; at most ${legsMax} legs are possible. Let each leg take several entries.`,
    );
  }
  return items.map((item: Json, at) => ({ name: String(at + 1), names: { item, index: at + 1 } }));
}

function shown(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
