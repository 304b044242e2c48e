/** Chooses which candidates of a gate are asked otherwise than once and with all that is known, by seeded hashes of their ids. */

import { hasModelBox } from './blind.ts';
import type { KnownQuestion } from './known-questions.ts';
import { hashSeed } from './random.ts';
import type { Candidate, Split } from './types.ts';
import type { Asking } from './verdicts.ts';

export interface AskingWishes {
  /** So many people for a share of the candidates. */
  readonly several?: { readonly count: number; readonly share?: number };
  /** The model's box is hidden for a share of the candidates, and for all of a share of the test images. */
  readonly blind?: { readonly share?: number; readonly testImages?: number };
}

/**
 * Only those that are asked in a way of their own. Every known answer is asked of as many people as are wanted, because it measures
 * each of them; none is blind, because what a reviewer draws beside it may be right.
 */
export function chooseAsking(
  candidates: readonly Candidate[],
  known: readonly KnownQuestion[],
  { several, blind }: AskingWishes,
  splitOf: (candidate: Candidate) => Split | undefined,
  seed: number,
): Asking[] {
  const isKnown = new Set(known.map(({ candidateId }) => candidateId));
  const real = candidates.filter(({ id }) => !isKnown.has(id));
  const { count = 1, share = 1 } = several ?? {};
  const doubled = new Set(
    count > 1
      ? [
          ...choose(
            real.map(({ id }) => id),
            share,
            'opinions',
            seed,
          ),
          ...isKnown,
        ]
      : [],
  );

  const hideable = real.filter(hasModelBox);
  const hiddenIds = new Set(
    choose(
      hideable.map(({ id }) => id),
      blind?.share ?? 0,
      'blind',
      seed,
    ),
  );
  const ofTest = hideable.filter((candidate) => splitOf(candidate) === 'test');
  const testImages = [...new Set(ofTest.map(({ imageDigest }) => imageDigest))];
  const blindImages = new Set(choose(testImages, blind?.testImages ?? 0, 'blind images', seed));
  for (const { id, imageDigest } of ofTest) if (blindImages.has(imageDigest)) hiddenIds.add(id);

  return candidates.flatMap(({ id }): Asking[] => {
    if (!doubled.has(id) && !hiddenIds.has(id)) return [];
    return [
      {
        candidateId: id,
        ...(doubled.has(id) ? { opinions: count } : {}),
        ...(hiddenIds.has(id) ? { blind: true as const } : {}),
      },
    ];
  });
}

/** The share of the ids, rounded, with the smallest hashes; `what` keeps choices for different ends apart. */
export function choose(ids: readonly string[], share: number, what: string, seed: number): string[] {
  const hashed = ids.map((id) => ({ id, hash: hashSeed(what, seed, id) }));
  hashed.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  return hashed.slice(0, Math.round(share * ids.length)).map(({ id }) => id);
}
