/** Paths of steps: `rounds[2].train`, `tune[lr=0.01]`; and the steps of a plan that they mean. */

import { bodyOfRound } from './loop-body.ts';
import type { FanOutStep, PlannedScope, PlannedStep } from './types.ts';

/** The path of a step in a scope; the step that a leg consists of has the id '' and the leg's path. */
export function stepPath(scopePath: string, id: string): string {
  if (id === '') return scopePath;
  return scopePath === '' ? id : `${scopePath}.${id}`;
}

/** `rounds[2].train` is within `rounds[2]` and `rounds`, and not within `rounds[20]`; everything is within the root. */
export function isWithin(path: string, outer: string): boolean {
  return outer === '' || path === outer || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[`);
}

/** What records, plans and messages call the step: its kind, or the construct that it is. */
export function kindOf(step: PlannedStep): string {
  if (step.type === 'repeat') return 'repeat';
  if (step.type === 'fan-out') return 'matrix' in step.legs ? 'matrix' : 'forEach';
  return step.type === 'pipeline' ? 'pipeline' : step.kind;
}

/** All steps of a scope, those of `finally` last. */
export const stepsOf = ({ steps, finally: atEnd }: PlannedScope): readonly PlannedStep[] =>
  atEnd === undefined ? steps : [...steps, ...atEnd];

/** The steps inside of a loop or a fan-out; null for a step of a kind. */
export function innerScope(step: PlannedStep): PlannedScope | null {
  return 'scope' in step ? step.scope : null;
}

/** What has steps within it, with all that rounds or legs of it may do. */
interface Part {
  readonly scope: PlannedScope;
  readonly bodies?: readonly { readonly scope: PlannedScope }[];
  readonly forked?: readonly { readonly scope: PlannedScope }[];
}

/** Whether a file with a `finally` of its own is within the step, or is the part. */
export function hasEnd(part: PlannedStep | Part): boolean {
  if (!('scope' in part)) return false;
  const { scope, bodies = [], forked = [] }: Part = part;
  const scopes = [scope, ...[...forked, ...bodies].map((each) => each.scope)];
  return scopes.some(({ steps, finally: end }) => end !== undefined || steps.some(hasEnd));
}

/** What the leg of a fan-out does. */
export const scopeOfLeg = ({ scope, forked }: Pick<FanOutStep, 'scope' | 'forked'>, name: string): PlannedScope =>
  forked?.find(({ leg }) => leg === name)?.scope ?? scope;

/** The path of a step's inner scope before the run, where rounds and legs are alike: `rounds[]`. */
export function innerPath(step: PlannedStep, path: string): string {
  return step.type === 'repeat' || step.type === 'fan-out' ? `${path}[]` : path;
}

export interface PathPart {
  readonly id: string;
  /** Between the brackets: a round, or a leg's name. */
  readonly leg: string | null;
}

/** `tune[lr=0.01].train` has two parts: dots between brackets part nothing. Null where the brackets do not fit. */
export function parsePath(path: string): readonly PathPart[] | null {
  const parts: PathPart[] = [];
  const pattern = /([^.[\]]+)(?:\[([^[\]]*)\])?(?:\.|$)/y;
  while (pattern.lastIndex < path.length) {
    const found = pattern.exec(path);
    if (found === null) return null;
    parts.push({ id: found[1]!, leg: found[2] ?? null });
  }
  return parts.length === 0 || path.endsWith('.') ? null : parts;
}

/** The step of a run's path, whatever its rounds and legs; null where the plan has none. */
export function findStep(scope: PlannedScope, path: string): PlannedStep | null {
  const parts = parsePath(path);
  return parts === null ? null : find(scope, parts);
}

function find(scope: PlannedScope, [part, ...rest]: readonly PathPart[]): PlannedStep | null {
  const step = stepsOf(scope).find(({ id }) => id === part?.id);
  if (part === undefined || step === undefined) return null;
  const takesLeg = step.type === 'repeat' || step.type === 'fan-out';
  if (part.leg === null) {
    if (rest.length === 0) return step;
    const inner = innerScope(step);
    return takesLeg || inner === null ? null : find(inner, rest);
  }
  if (!takesLeg || !isLegName(step, part.leg)) return null;
  const { scope: inner } = step.type === 'repeat' ? bodyOfRound(step, Number(part.leg)) : step;
  const only = inner.steps[0];
  if (only?.id !== '') return rest.length === 0 ? null : find(inner, rest);
  if (rest.length === 0) return only;
  const within = innerScope(only);
  return within === null ? null : find(within, rest);
}

export function isLegName(step: PlannedStep, name: string): boolean {
  if (step.type === 'fan-out' && 'matrix' in step.legs) return step.legs.matrix.some((leg) => leg.name === name);
  return /^[1-9]\d*$/.test(name);
}
