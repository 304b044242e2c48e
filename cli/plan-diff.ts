/** What differs between two plans, in the words of the pipeline file. */

import { isSteps } from '../plan/compare-steps.ts';
import { kindOf } from '../plan/paths.ts';
import type { Json, Plan } from '../plan/types.ts';
import type { LineOf } from './file-lines.ts';

/** One line a difference, `steps.train.with.epochs: 10 -> 20 (line 12)`; one for a step added or removed; at most `max` of them. */
export function planDiff(before: Plan, after: Plan, max = 12, lineOf: LineOf = () => undefined): string[] {
  const [was, is] = [before, after].map((plan) => flatten(plan as unknown as Json));
  const [old, now] = [linesOf(was!, is!), linesOf(is!, was!)];
  const lines: string[] = [];
  for (const place of new Set([...old.keys(), ...now.keys()])) {
    const [from, to] = [old.get(place), now.get(place)];
    if (from === to) continue;
    if (from === undefined) lines.push(`${place}: added, ${to}`);
    else if (to === undefined) lines.push(`${place}: removed, was ${from}`);
    else lines.push(`${place}: ${from} -> ${to}`);
    const line = to === undefined ? undefined : lineOf(place);
    if (line !== undefined) lines.push(`${lines.pop()} (line ${line})`);
  }
  return lines.length > max ? [...lines.slice(0, max), moreWords(lines.length - max)] : lines;
}

/** `and 3 more differences` */
export const moreWords = (count: number): string => `and ${count} more difference${count === 1 ? '' : 's'}`;

interface Flat {
  /** Every leaf by its place. */
  readonly leaves: Map<string, string>;
  /** What each step is, by its place. */
  readonly steps: Map<string, string>;
}

/** The leaves; but one line for all of a step that the other plan does not have. */
function linesOf({ leaves, steps }: Flat, other: Flat): Map<string, string> {
  const own = [...steps.keys()].filter((place) => !other.steps.has(place));
  if (own.length === 0) return leaves;
  const lines = new Map<string, string>();
  for (const [place, text] of leaves) {
    const step = own.find((each) => place.startsWith(`${each}.`));
    if (step === undefined) lines.set(place, text);
    else lines.set(step, steps.get(step)!);
  }
  return lines;
}

/** Steps go by their id, because their position changes with every step added. */
function flatten(value: Json, place = '', flat: Flat = { leaves: new Map(), steps: new Map() }): Flat {
  const at = (name: string) => (place === '' ? name : `${place}.${name}`);
  if (isSteps(value)) {
    for (const step of value) {
      const own = at(step.id);
      flat.steps.set(own, kindOf(step));
      flatten(step as unknown as Json, own, flat);
    }
  } else if (Array.isArray(value)) {
    value.forEach((item: Json, index) => {
      flatten(item, `${place}[${index}]`, flat);
    });
  } else if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 1 && (entries[0]![0] === '$' || entries[0]![0] === '$text')) {
      flat.leaves.set(place, JSON.stringify(entries[0]![1]));
      return flat;
    }
    for (const [name, item] of entries) {
      // `root.steps.train` and `scope.steps.train` read as in the file.
      if (name === 'root' || name === 'scope') flatten(item, place, flat);
      else flatten(item, at(name), flat);
    }
  } else flat.leaves.set(place, JSON.stringify(value));
  return flat;
}
