/** Which step, param or carried value a name in a pipeline file means, and every place that names it. */

import type { FoundRead } from '../../plan/slots.ts';
import { isRecord, type ParsedSpec, type PlainValue, pointerTo, type Range } from '../../spec/types.ts';

/** The value at a pointer; undefined where there is none. */
export function valueAt(value: PlainValue, pointer: string): PlainValue | undefined {
  let at: PlainValue | undefined = value;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    at = Array.isArray(at) ? at[Number(key)] : isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  }
  return at;
}

/** Pointers of the mappings of steps that a place sees, the nearest first: names there hide those further out. */
export function scopesOf(parsed: ParsedSpec, pointer: string): string[] {
  const keys = pointer.split('/').slice(1);
  const scopes: string[] = [];
  let at = '';
  keys.forEach((key, depth) => {
    const isStepsKey = key === 'steps' && isRecord(valueAt(parsed.value, pointerTo(at, 'steps')));
    // Expressions of a loop or a fan-out that are asked after its steps see these.
    const after = key === 'next' || key === 'outputs' || (key === 'repeat' && keys[depth + 1] === 'until');
    const inner = pointerTo(at, 'steps');
    if (isStepsKey) scopes.unshift(inner);
    else if (depth === 0 && key === 'finally') scopes.unshift('/steps', '/finally');
    else if (after && depth > 0 && parsed.places.has(inner) && !scopes.includes(inner)) scopes.unshift(inner);
    at = `${at}/${key}`;
  });
  return scopes.length === 0 ? ['/steps'] : scopes;
}

/** The pointer of what a name means where it is read; null where nothing has that name. */
export function targetOf(parsed: ParsedSpec, read: Pick<FoundRead, 'root' | 'name' | 'pointer'>): string | null {
  const { root, name, pointer } = read;
  if (root === 'steps') {
    for (const scope of scopesOf(parsed, pointer)) {
      const target = pointerTo(scope, name);
      if (parsed.places.has(target)) return target;
    }
    return null;
  }
  if (root === 'params') return present(parsed, pointerTo('/params', name));
  if (root !== 'carry' && root !== 'matrix') return null;
  // That of the nearest step around which has it.
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const target = root === 'carry' ? pointerTo(at, 'repeat', 'carry', name) : pointerTo(at, 'matrix', name);
    if (parsed.places.has(target)) return target;
  }
  return null;
}

function present(parsed: ParsedSpec, pointer: string): string | null {
  return parsed.places.has(pointer) ? pointer : null;
}

/** The entries of `needs`, with the step that each means. */
export function needsOf(parsed: ParsedSpec): { readonly target: string; readonly range: Range }[] {
  const found: { target: string; range: Range }[] = [];
  for (const [pointer, place] of parsed.places) {
    const match = /^(.*)\/[^/]+\/needs\/\d+$/.exec(pointer);
    const id = match === null ? undefined : valueAt(parsed.value, pointer);
    if (typeof id !== 'string') continue;
    found.push({ target: pointerTo(match![1]!, id), range: place.value });
  }
  return found;
}

/** Every place that names the target: its own key, what reads it, what needs it. */
export function placesNaming(parsed: ParsedSpec, reads: readonly FoundRead[], target: string): Range[] {
  const key = parsed.places.get(target)?.key;
  const places = key === undefined ? [] : [key];
  for (const read of reads) if (targetOf(parsed, read) === target) places.push(read.nameRange);
  for (const need of needsOf(parsed)) if (need.target === target) places.push(need.range);
  if (/\/carry\/[^/]+$/.test(target)) {
    // What a round hands on has the name that it is found under.
    const next = parsed.places.get(target.replace(/\/repeat\/carry\/([^/]+)$/, '/next/$1'))?.key;
    if (next !== undefined) places.push(next);
  }
  const seen = new Set<number>();
  return places.filter(({ start }) => !seen.has(start) && seen.add(start)).sort((a, b) => a.start - b.start);
}
