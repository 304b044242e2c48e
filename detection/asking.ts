/** Chooses which candidates of a gate several people look at: by a hash of their ids, so that the same seed chooses the same. */

import type { KnownQuestion } from './known-questions.ts';
import { hashSeed } from './random.ts';
import type { Candidate } from './types.ts';
import type { Asking } from './verdicts.ts';

/** Only those that are asked otherwise than once. Every known answer is asked `count` times: it measures each who gives one. */
export function chooseAsking(
  candidates: readonly Candidate[],
  known: readonly KnownQuestion[],
  { count, share = 1 }: { readonly count: number; readonly share?: number },
  seed: number,
): Asking[] {
  const isKnown = new Set(known.map(({ candidateId }) => candidateId));
  const real = candidates.filter(({ id }) => !isKnown.has(id)).map(({ id }) => id);
  const chosen = [...chooseShare(real, share, 'opinions', seed), ...isKnown];
  return chosen.map((candidateId) => ({ candidateId, opinions: count }));
}

/** The share of the ids, rounded, with the smallest hashes; `what` keeps choices for different ends apart. */
export function chooseShare(ids: readonly string[], share: number, what: string, seed: number): string[] {
  const hashed = ids.map((id) => ({ id, hash: hashSeed(what, seed, id) }));
  hashed.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  return hashed.slice(0, Math.round(share * ids.length)).map(({ id }) => id);
}
