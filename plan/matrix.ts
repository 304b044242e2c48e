/** The combinations of a matrix: axes, then `exclude`, then `include`, as users of GitHub Actions know them; and their names. */

import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';
import type { Json, PlannedLeg } from './types.ts';

export type Combination = { readonly [name: string]: Json };

export interface Matrix {
  readonly axes: { readonly [name: string]: readonly Json[] };
  readonly exclude: readonly Combination[];
  readonly include: readonly Combination[];
}

/** How many combinations the axes have before `exclude` and `include`. */
export function combinationsOf(axes: Matrix['axes']): number {
  const lists = Object.values(axes);
  return lists.length === 0 ? 0 : lists.reduce((count, values) => count * values.length, 1);
}

/**
 * https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations: an entry of
 * `include` joins each combination whose axes it does not change, and may replace what an earlier entry added; one that
 * joins none is a combination of its own, which later entries do not join.
 */
export function expandMatrix({ axes, exclude, include }: Matrix): Combination[] {
  let originals: Combination[] = Object.keys(axes).length === 0 ? [] : [{}];
  for (const [name, values] of Object.entries(axes)) {
    originals = originals.flatMap((combination) => values.map((value) => ({ ...combination, [name]: value })));
  }
  originals = originals.filter((combination) => !exclude.some((entry) => holdsAll(combination, entry)));
  const joined: { [name: string]: Json }[] = originals.map((combination) => ({ ...combination }));
  const added: Combination[] = [];
  for (const entry of include) {
    let joins = false;
    originals.forEach((original, at) => {
      const changes = Object.keys(entry).some(
        (name) => Object.hasOwn(axes, name) && !isSame(original[name]!, entry[name]!),
      );
      if (changes) return;
      Object.assign(joined[at]!, entry);
      joins = true;
    });
    if (!joins) added.push(entry);
  }
  return [...joined, ...added];
}

function holdsAll(combination: Combination, entry: Combination): boolean {
  return Object.entries(entry).every(
    ([name, value]) => Object.hasOwn(combination, name) && isSame(combination[name]!, value),
  );
}

function isSame(a: Json, b: Json): boolean {
  return a === b || canonicalJson(a) === canonicalJson(b);
}

/** Legs become file names of the run record. */
const nameLengthMax = 64;
const valueLengthMax = 24;

/**
 * `lr=0.01,width=0.25`: by the values alone, in the order of the names, so that neither the order of the file nor other
 * legs change a leg's path. Values that are no short words are cut and told apart by a digest.
 */
export function nameLegs(combinations: readonly Combination[]): PlannedLeg[] {
  const names = combinations.map(nameOf);
  const taken = new Map<string, number>();
  for (const name of names) taken.set(name, (taken.get(name) ?? 0) + 1);
  return combinations.map((values, at) => {
    const name = names[at]!;
    // The number 1 and the text "1" look alike.
    return { name: taken.get(name) === 1 ? name : `${name}-${shortDigest(values)}`, values };
  });
}

/** Positions of two combinations with the same values, or null. */
export function duplicateOf(combinations: readonly Combination[]): readonly [number, number] | null {
  const seen = new Map<string, number>();
  for (const [at, values] of combinations.entries()) {
    const key = canonicalJson(values);
    const first = seen.get(key);
    if (first !== undefined) return [first, at];
    seen.set(key, at);
  }
  return null;
}

function nameOf(values: Combination): string {
  const pairs = Object.keys(values)
    .sort()
    .map((name) => `${name}=${wordOf(values[name]!)}`);
  const name = pairs.join(',');
  return name.length <= nameLengthMax ? name : `${name.slice(0, nameLengthMax - 9)}-${shortDigest(values)}`;
}

function wordOf(value: Json): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : '';
  if (/^[A-Za-z0-9_.+-]+$/.test(text) && text.length <= valueLengthMax) return text;
  const word = text.replace(/[^A-Za-z0-9_.+-]+/g, '-').slice(0, valueLengthMax - 9);
  return `${word}${word === '' ? '' : '-'}${shortDigest(value)}`;
}

function shortDigest(value: Json): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 8);
}
