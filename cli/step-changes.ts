/** What differs between the work of a step and the same step's work earlier: parameters, inputs, code, seed. */

import { identityParameters, type StepIdentity } from '../artifacts/fingerprint.ts';
import { isArtifactRef, type Json } from '../plan/types.ts';

export interface Change {
  /** `files`: the content of a folder; `input`: another artifact. */
  readonly what: 'parameter' | 'input' | 'files' | 'code' | 'seed';
  /** As in `with`: `epochs`, `replay.share`; `version` and `seed` for those. */
  readonly name: string;
  /** Absent where there was nothing. */
  readonly was?: Json;
  readonly is?: Json;
}

/** Stands in `with` for what nobody knows before another step has ended; it differs from nothing. */
export const unknownValue = { unknown: 'until another step has ended' } as const;

export function changesBetween(was: StepIdentity, is: StepIdentity): Change[] {
  const changes: Change[] = [];
  if (was.version !== is.version) changes.push({ what: 'code', name: 'version', was: was.version, is: is.version });
  const before = leavesOf(identityParameters(was.with));
  const after = leavesOf(identityParameters(is.with));
  const unknown = [...after].filter(([, value]) => value === unknownValue).map(([name]) => name);
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    if (unknown.some((open) => name === open || name.startsWith(`${open}.`))) continue;
    const [old, now] = [before.get(name), after.get(name)];
    if (old !== undefined && now !== undefined && same(old, now)) continue;
    changes.push({
      what: whatOf(now ?? old!),
      name,
      ...(old === undefined ? {} : { was: old }),
      ...(now === undefined ? {} : { is: now }),
    });
  }
  if (was.seed !== is.seed) {
    changes.push({
      what: 'seed',
      name: 'seed',
      ...(was.seed === undefined ? {} : { was: was.seed }),
      ...(is.seed === undefined ? {} : { is: is.seed }),
    });
  }
  return changes;
}

/** `epochs 25 -> 30`, `dataset is another one`. */
export function describeChange({ what, name, was, is }: Change): string {
  switch (what) {
    case 'code':
      return `the step's code changed (version ${String(was)} -> ${String(is)})`;
    case 'files':
      return `the files of ${name} changed`;
    case 'seed':
      return 'the seed is another one';
    case 'input':
      if (was === undefined) return `${name} was not given before`;
      return is === undefined ? `${name} is no longer given` : `${name} is another artifact`;
    case 'parameter':
      if (was === undefined) return `${name} ${show(is)}, not given before`;
      return is === undefined ? `${name} no longer given, was ${show(was)}` : `${name} ${show(was)} -> ${show(is)}`;
  }
}

function whatOf(value: Json): Change['what'] {
  if (!isArtifactRef(value)) return 'parameter';
  return value.artifact === 'tree' ? 'files' : 'input';
}

function same(a: Json, b: Json): boolean {
  if (isArtifactRef(a) && isArtifactRef(b)) return a.digest === b.digest;
  return JSON.stringify(a) === JSON.stringify(b);
}

const longestShown = 60;

function show(value: Json | undefined): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > longestShown ? `${text.slice(0, longestShown - 1)}…` : text;
}

/** Values by their place. A list of plain values is one leaf, because a person changes it as one. */
function leavesOf(value: Json, place = '', leaves = new Map<string, Json>()): Map<string, Json> {
  const at = (name: string | number) => (place === '' ? String(name) : `${place}.${name}`);
  if (value === unknownValue || isArtifactRef(value)) leaves.set(place, value);
  else if (Array.isArray(value) && value.some((item) => typeof item === 'object' && item !== null)) {
    for (const [i, item] of value.entries()) leavesOf(item, at(i), leaves);
  } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [name, item] of Object.entries(value)) leavesOf(item, at(name), leaves);
  } else leaves.set(place, value);
  return leaves;
}
