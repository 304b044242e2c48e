/** Whether the sight of the model's box sways reviewers: how often they say what it says, with it and without it. */

import { confirms, hasModelBox } from './blind.ts';
import { type Estimate, shareOf } from './reviewer-trust.ts';
import type { GateRules } from './standings.ts';
import type { Candidate, ImageEntry } from './types.ts';
import type { Opinion } from './verdicts.ts';

/** One answer about what the model said. */
export interface ConfirmedClaim {
  readonly blind: boolean;
  readonly confirmed: boolean;
}

export interface Anchoring {
  /** Answers with the model's box in sight, and the share that came to what it says. */
  readonly shown: Estimate & { readonly count: number };
  readonly blind: Estimate & { readonly count: number };
  /** Shown less blind: how much of the agreement the sight of the box makes. */
  readonly difference: Estimate;
}

export interface SplitAnchoring {
  readonly of: 'test' | 'others';
  readonly anchoring: Anchoring;
}

/** Of test images and of others by themselves, because another share of theirs may be blind. Undefined where nothing is. */
export function anchoringsOf(
  candidates: readonly Candidate[],
  answers: readonly Opinion[],
  rules: GateRules,
  images: readonly ImageEntry[],
): SplitAnchoring[] | undefined {
  if (!candidates.some(({ id }) => rules.isBlind(id))) return undefined;
  const isTest = new Set(images.filter(({ split }) => split === 'test').map(({ id }) => id));
  const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
  return (['test', 'others'] as const).flatMap((of): SplitAnchoring[] => {
    const claims = answers.flatMap((answer): ConfirmedClaim[] => {
      const candidate = byId.get(answer.candidateId);
      // Who settles has seen what others said, and nobody is no reviewer.
      if (candidate === undefined || answer.settles || answer.by === 'nobody') return [];
      if (rules.isKnown(candidate.id) || !hasModelBox(candidate)) return [];
      const confirmed = confirms(candidate, answer);
      if (confirmed === null || isTest.has(candidate.imageId) !== (of === 'test')) return [];
      return [{ blind: rules.isBlind(candidate.id), confirmed }];
    });
    const anchoring = anchoringOf(claims);
    return anchoring === null ? [] : [{ of, anchoring }];
  });
}

/** Null where one of the two was not asked. Which questions are blind is chosen by chance, so nothing else differs. */
export function anchoringOf(claims: readonly ConfirmedClaim[]): Anchoring | null {
  const share = (blind: boolean) => {
    const own = claims.filter((one) => one.blind === blind);
    const estimate = shareOf(own.filter(({ confirmed }) => confirmed).length, own.length);
    return estimate && { ...estimate, count: own.length };
  };
  const [shown, blind] = [share(false), share(true)];
  if (shown === null || blind === null) return null;
  return { shown, blind, difference: differenceOf(shown, blind) };
}

/** Of two independent shares: Newcombe's interval from those of Wilson (1998, method 10). */
function differenceOf(a: Estimate, b: Estimate): Estimate {
  const value = a.value - b.value;
  return {
    value,
    low: value - Math.hypot(a.value - a.low, b.high - b.value),
    high: value + Math.hypot(a.high - a.value, b.value - b.low),
  };
}
