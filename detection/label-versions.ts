/** Label versions beside each other: what differs, and two made one. Boxes are told apart by their ids, which versions keep. */

import { sortAnnotations } from './annotations.ts';
import type { Annotation, Labels } from './types.ts';

export type LabelDifferenceKind = 'added' | 'removed' | 'moved' | 'reclassed' | 'ignored' | 'restored' | 'changed';

export interface LabelDifference {
  readonly id: string;
  readonly imageId: number;
  /** `moved` may also have another category; `changed` is what no box shows, such as a reason for quarantine. */
  readonly what: LabelDifferenceKind;
  readonly before?: Annotation;
  readonly after?: Annotation;
}

/** In order of image id, then id. */
export function diffLabels(before: readonly Annotation[], after: readonly Annotation[]): LabelDifference[] {
  const [old, now] = [byId(before), byId(after)];
  const all = sortAnnotations([...before, ...after.filter(({ id }) => !old.has(id))]);
  return all.flatMap(({ id, imageId }): LabelDifference[] => {
    const [was, is] = [old.get(id), now.get(id)];
    const what = differenceOf(was, is);
    return what === null ? [] : [{ id, imageId, what, before: was, after: is }];
  });
}

function differenceOf(was: Annotation | undefined, is: Annotation | undefined): LabelDifferenceKind | null {
  if (was === undefined) return 'added';
  if (is === undefined) return 'removed';
  if (same(was, is)) return null;
  if (!was.ignore && is.ignore) return 'ignored';
  if (was.ignore && !is.ignore) return 'restored';
  if (was.box.some((edge, i) => edge !== is.box[i])) return 'moved';
  return was.categoryId === is.categoryId ? 'changed' : 'reclassed';
}

function same(a: Annotation | undefined, b: Annotation | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.imageId === b.imageId &&
    a.categoryId === b.categoryId &&
    a.box.every((edge, i) => edge === b.box[i]) &&
    Boolean(a.ignore) === Boolean(b.ignore) &&
    Boolean(a.crowd) === Boolean(b.crowd) &&
    a.quarantine === b.quarantine &&
    a.area === b.area
  );
}

/** A box that both sides changed, each otherwise. */
export interface MergeConflict {
  readonly id: string;
  readonly imageId: number;
  readonly base?: Annotation;
  readonly ours?: Annotation;
  readonly theirs?: Annotation;
}

export interface MergedLabels {
  /** Of conflicts the side that is preferred; without a preference, what the base has. */
  readonly annotations: readonly Annotation[];
  readonly conflicts: readonly MergeConflict[];
  /** Boxes taken over from one side alone. */
  readonly fromOurs: number;
  readonly fromTheirs: number;
}

/** Three-way, box by box: a change of one side is taken, the same change of both too, different changes are a conflict. */
export function mergeLabels(base: Labels, ours: Labels, theirs: Labels, prefer?: 'ours' | 'theirs'): MergedLabels {
  const [from, left, right] = [base, ours, theirs].map(({ annotations }) => byId(annotations)) as [
    Map<string, Annotation>,
    Map<string, Annotation>,
    Map<string, Annotation>,
  ];
  const kept: Annotation[] = [];
  const conflicts: MergeConflict[] = [];
  let fromOurs = 0;
  let fromTheirs = 0;
  for (const id of new Set([...from.keys(), ...left.keys(), ...right.keys()])) {
    const [was, a, b] = [from.get(id), left.get(id), right.get(id)];
    let taken = was;
    if (same(a, b)) taken = a;
    else if (same(was, b)) {
      taken = a;
      fromOurs++;
    } else if (same(was, a)) {
      taken = b;
      fromTheirs++;
    } else {
      conflicts.push({ id, imageId: (was ?? a ?? b)!.imageId, base: was, ours: a, theirs: b });
      if (prefer !== undefined) taken = prefer === 'ours' ? a : b;
    }
    if (taken !== undefined) kept.push(taken);
  }
  conflicts.sort((a, b) => a.imageId - b.imageId || (a.id < b.id ? -1 : 1));
  return { annotations: sortAnnotations(kept), conflicts, fromOurs, fromTheirs };
}

function byId(annotations: readonly Annotation[]): Map<string, Annotation> {
  return new Map(annotations.map((annotation) => [annotation.id, annotation]));
}
