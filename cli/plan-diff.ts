/** What differs between two plans, in the words of the pipeline file. */

import type { Json, Plan } from '../plan/types.ts';
import type { LineOf } from './file-lines.ts';

/** One line a difference, `steps.train.with.epochs: 10 -> 20 (line 12)`; at most `max` of them. */
export function planDiff(before: Plan, after: Plan, max = 12, lineOf: LineOf = () => undefined): string[] {
  const old = flatten(before as unknown as Json);
  const now = flatten(after as unknown as Json);
  const lines: string[] = [];
  for (const place of new Set([...old.keys(), ...now.keys()])) {
    const was = old.get(place);
    const is = now.get(place);
    if (was === is) continue;
    if (was === undefined) lines.push(`${place}: added, ${is}`);
    else if (is === undefined) lines.push(`${place}: removed, was ${was}`);
    else lines.push(`${place}: ${was} -> ${is}`);
    const line = is === undefined ? undefined : lineOf(place);
    if (line !== undefined) lines.push(`${lines.pop()} (line ${line})`);
  }
  return lines.length > max ? [...lines.slice(0, max), `and ${lines.length - max} more differences`] : lines;
}

/** Every leaf by its place. Steps go by their id, because their position changes with every step added. */
function flatten(value: Json, place = '', leaves = new Map<string, string>()): Map<string, string> {
  const at = (name: string) => (place === '' ? name : `${place}.${name}`);
  if (Array.isArray(value)) {
    const isSteps = value.every((item) => typeof item === 'object' && item !== null && 'id' in item);
    value.forEach((item: Json, index) => {
      flatten(item, isSteps ? at((item as { id: string }).id) : `${place}[${index}]`, leaves);
    });
  } else if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 1 && (entries[0]![0] === '$' || entries[0]![0] === '$text')) {
      leaves.set(place, JSON.stringify(entries[0]![1]));
      return leaves;
    }
    for (const [name, item] of entries) {
      // `root.steps.train` and `scope.steps.train` read as in the file.
      if (name === 'root' || name === 'scope') flatten(item, place, leaves);
      else flatten(item, at(name), leaves);
    }
  } else leaves.set(place, JSON.stringify(value));
  return leaves;
}
