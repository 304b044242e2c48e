/**
 * What counts of all that people have said about a candidate. Most are asked once, and the first decision counts; some need the
 * opinions of several people, which agree, or differ and are settled by somebody else.
 */

import { iou } from './box.ts';
import { markOf } from './decisions.ts';
import type { Box, Candidate, Decision } from './types.ts';

/** How a candidate is asked, where not once and with all that is known. */
export interface Asking {
  readonly candidateId: string;
  /** People who must look, each by themselves. Absent: one. */
  readonly opinions?: number;
  /** The model's box is hidden. */
  readonly blind?: true;
}

/** A decision, and whose it is. */
export interface Opinion extends Decision {
  readonly by: string;
}

export type Standing<T extends Opinion = Opinion> =
  /** More people must look; `said` is nobody's business but theirs. */
  | { readonly state: 'open'; readonly said: readonly T[]; readonly wanted: number }
  /** All have looked, and no more than half agree. */
  | { readonly state: 'conflict'; readonly said: readonly T[]; readonly wanted: number }
  | { readonly state: 'settled'; readonly said: readonly T[]; readonly wanted: number; readonly verdict: T };

/** Two people who mean the same target do not draw the same pixels; from this IoU on their boxes are one answer. */
const sameAnswerIou = 0.7;

/** Where the candidate stands, by all that was said about it, oldest first. `isKnown`: nobody must settle a known answer. */
export function standingOf<T extends Opinion>(
  candidate: Candidate,
  decisions: readonly T[],
  wanted: number,
  isKnown = false,
): Standing<T> {
  if (wanted <= 1) {
    const [first] = decisions;
    return first === undefined
      ? { state: 'open', said: [], wanted: 1 }
      : { state: 'settled', said: [first], wanted: 1, verdict: first };
  }
  const said: T[] = [];
  for (const one of decisions) {
    if (!one.settles && said.length < wanted && said.every(({ by }) => by !== one.by)) said.push(one);
  }
  const verdict = decisions.find(({ settles }) => settles);
  if (verdict !== undefined) return { state: 'settled', said, wanted, verdict };
  if (said.length < wanted) return { state: 'open', said, wanted };
  const agreed = said.find((one) => 2 * said.filter((other) => agree(candidate, one, other)).length > wanted);
  if (agreed !== undefined) return { state: 'settled', said, wanted, verdict: agreed };
  return isKnown ? { state: 'settled', said, wanted, verdict: said[0]! } : { state: 'conflict', said, wanted };
}

/** Whether two decisions lead to the same label, but for a few pixels. */
export function agree(candidate: Candidate, a: Decision, b: Decision): boolean {
  if (a.verdict === b.verdict && a.verdict !== 'edit') return true;
  if (a.verdict !== 'edit' && b.verdict !== 'edit') return false;
  const [first, second] = [labelAfter(candidate, a), labelAfter(candidate, b)];
  if (first === null || second === null) return false;
  return first.categoryId === second.categoryId && iou(first.box, second.box) >= sameAnswerIou;
}

/** Null where no label is left, or it cannot be told. */
function labelAfter(
  { type, annotation, detection }: Candidate,
  { verdict, box, categoryId }: Decision,
): { readonly box: Box; readonly categoryId: number } | null {
  const before = annotation ?? null;
  switch (verdict) {
    case 'ignore':
    // Of a box that was drawn there are no two opinions.
    case 'add':
      return null;
    case 'reject':
      return before;
    case 'edit': {
      const start = before ?? detection!;
      return { box: box ?? start.box, categoryId: categoryId ?? start.categoryId };
    }
    case 'accept':
      if (type === 'spurious' || type === 'duplicate') return null;
      if (type === 'missing') return detection!;
      return type === 'badly-located'
        ? { box: detection!.box, categoryId: before!.categoryId }
        : { box: before!.box, categoryId: detection!.categoryId };
  }
}

/** Null: it counts. `repeated`: it was said before, by the same person or as the verdict. Else why it cannot be taken. */
export function problemOfOpinion(
  { state, said, wanted, ...settled }: Standing<Opinion & { readonly at?: string }>,
  decision: Decision,
  by: string,
  adjudicators: readonly string[] | undefined,
): string | null {
  const mark = markOf(decision);
  const own = said.find((one) => one.by === by);
  if (state === 'settled') {
    const { verdict } = settled as { verdict: Opinion & { readonly at?: string } };
    if (markOf(verdict) === mark || (!decision.settles && own !== undefined && markOf(own) === mark)) return 'repeated';
    const when = verdict.at === undefined ? '' : ` on ${verdict.at}`;
    return `${verdict.by} decided it as "${markOf(verdict)}"${when}; that counts.`;
  }
  if (decision.settles) {
    if (state === 'open') {
      return `There is nothing to settle: ${said.length} of ${wanted} ${wanted === 1 ? 'opinion is' : 'opinions are'} there.`;
    }
    return mayNotSettle(said, by, adjudicators);
  }
  if (own !== undefined) {
    if (markOf(own) === mark) return 'repeated';
    return `${by} said "${markOf(own)}" about it before; the first opinion counts.`;
  }
  if (state === 'open') return null;
  return `It has its ${wanted} opinions, and they differ: it waits for somebody who settles it, and for no other opinion.`;
}

/** Why this person cannot settle what others do not agree on, or null. */
export function mayNotSettle(
  said: readonly Opinion[],
  by: string,
  adjudicators: readonly string[] | undefined,
): string | null {
  if (adjudicators !== undefined) {
    return adjudicators.includes(by) ? null : `${adjudicators.join(' or ')} must settle it, and not ${by}.`;
  }
  return said.some((one) => one.by === by) ? `${by} gave one of the opinions; somebody else must settle it.` : null;
}
