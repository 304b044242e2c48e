/** Where in the pipeline file a change was made: the line of the parameter, and the param that its value comes from. */

import type { Compilation } from '../plan/compile.ts';
import type { Json } from '../plan/types.ts';
import { lineStartsOf, positionAt } from '../spec/diagnostic.ts';
import type { ParsedSpec, Range } from '../spec/types.ts';
import { type Change, describeChange } from './step-changes.ts';

/** A pipeline file with the places of what stands in it. */
export interface PlacedSource {
  readonly text: string;
  readonly sources: Compilation['sources'];
  /** Of the file's params. */
  readonly places: ParsedSpec['places'];
  readonly params: { readonly [name: string]: Json };
}

export interface PlacedChange extends Change {
  /** 1-based line of the parameter, or of its step where the file leaves it to its default. */
  readonly line?: number;
  /** The pipeline's param behind it, where that has another value than it had then. */
  readonly param?: { readonly name: string; readonly was?: Json; readonly is?: Json; readonly line?: number };
}

/** `paramsBefore` are those of the run that the change is seen from. */
export function placeChange(
  change: Change,
  path: string,
  source: PlacedSource,
  paramsBefore: { readonly [name: string]: Json },
): PlacedChange {
  const step = path.replace(/\[[^\]]*\]/g, '');
  const range = change.what === 'code' || change.what === 'seed' ? undefined : rangeOf(source, step, change.name);
  const starts = lineStartsOf(source.text);
  const lineAt = (place: Range | undefined) => (place === undefined ? undefined : positionAt(starts, place.start).line);
  const line = lineAt(range ?? source.sources.get(step));
  const written = range === undefined ? '' : source.text.slice(range.start, range.end);
  const names = [...written.matchAll(/\bparams\.(\w+)/g)].map(([, name]) => name!);
  const name = names.find((each) => JSON.stringify(paramsBefore[each]) !== JSON.stringify(source.params[each]));
  const placed = { ...change, ...(line === undefined ? {} : { line }) };
  if (name === undefined) return placed;
  const declared = source.places.get(`/params/${name}/default`) ?? source.places.get(`/params/${name}`);
  const paramLine = lineAt(declared?.value);
  const param = {
    name,
    ...(paramsBefore[name] === undefined ? {} : { was: paramsBefore[name] }),
    ...(source.params[name] === undefined ? {} : { is: source.params[name] }),
    ...(paramLine === undefined ? {} : { line: paramLine }),
  };
  return { ...placed, param };
}

/** `epochs 25 -> 30 (line 33, params.epochs)`. */
export function describePlaced(change: PlacedChange): string {
  const where = [
    change.line === undefined ? '' : `line ${change.line}`,
    change.param === undefined ? '' : `from params.${change.param.name}`,
  ].filter((part) => part !== '');
  return where.length === 0 ? describeChange(change) : `${describeChange(change)} (${where.join(', ')})`;
}

/** Of `replay.share` the innermost part that the file has; undefined where it has none. */
function rangeOf({ sources }: PlacedSource, step: string, name: string): Range | undefined {
  for (let keys = name.split('.'); keys.length > 0; keys = keys.slice(0, -1)) {
    const range = sources.get(`${step}.with.${keys.join('.')}`);
    if (range !== undefined) return range;
  }
  return undefined;
}
