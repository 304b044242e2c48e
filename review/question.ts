/** What one person is shown of a candidate, and the digest of it that the ledger keeps with the answer. */

import { sha256Hex } from '../artifacts/digest.ts';
import { blindViewOf, hidden } from '../detection/blind.ts';
import { viewOf } from '../detection/crop-view.ts';
import type { Annotation, Candidate, Decision, ImageEntry } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { CandidateJson } from './api.ts';

/**
 * `differing`: the opinions that do not agree, for who settles them; without names, because it is the image that decides. Else null:
 * nobody sees what others say before they have said something themselves.
 */
export function questionFor(
  candidate: Candidate,
  image: ImageEntry,
  labels: readonly Annotation[],
  differing: readonly Decision[] | null,
  isBlind: boolean,
): Omit<CandidateJson, 'decision' | 'drawn'> {
  const { annotation, detection, id, type, rank, cluster, iou } = isBlind ? hidden(candidate) : candidate;
  const { fileName, width, height, split, digest } = image;
  const seen = {
    crop: isBlind ? blindViewOf(candidate, width, height) : viewOf(candidate, width, height),
    label: annotation && { categoryId: annotation.categoryId, box: annotation.box },
    detection: detection && { categoryId: detection.categoryId, box: detection.box, score: detection.score },
    others: labels.filter((label) => label.id !== annotation?.id).map(({ categoryId, box }) => ({ categoryId, box })),
    ...(isBlind ? { blind: true as const } : {}),
    ...(differing === null ? {} : { opinions: differing.map(toOpinion) }),
  };
  return {
    id,
    type,
    rank,
    // Each conflict is another one.
    cluster: differing === null ? cluster : undefined,
    iou,
    image: { id: image.id, fileName, width, height, split, digest },
    ...seen,
    saw: sha256Hex(canonicalJson({ candidate: id, image: digest, type, ...seen })),
  };
}

function toOpinion({ verdict, box, categoryId, reason }: Decision) {
  return { verdict, box, categoryId, reason };
}
