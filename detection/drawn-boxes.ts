/** Boxes that reviewers drew where nobody asked: what they become, and which of them say nothing new. */

import { createHash } from 'node:crypto';
import { iou } from './box.ts';
import { type DrawnBox, drawnAmong, isDrawn, misfitOf } from './decisions.ts';
import { DUPLICATE_IOU } from './label-issues.ts';
import type { Annotation, Box, Candidate, Category, Decision, ImageEntry } from './types.ts';

/** Follows from what is drawn: the same box given again is the same decision. */
export function drawnId({ digest }: Pick<ImageEntry, 'digest'>, categoryId: number, box: Box): string {
  const text = [digest, categoryId, ...box].join('\n');
  return `drawn-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

/** As if somebody had asked whether a label is missing there, and was told which. */
export function askedAfterwards(drawn: DrawnBox, { id, digest }: Pick<ImageEntry, 'id' | 'digest'>): Candidate {
  return { id: drawn.candidateId, type: 'missing', imageId: id, imageDigest: digest, rank: 0 };
}

/** Candidates and decisions with drawn boxes among them, for whoever carries decisions out: each as an edited candidate. */
export function withDrawn<T extends Decision>(
  candidates: readonly Candidate[],
  decisions: readonly T[],
  images: ReadonlyMap<number, Pick<ImageEntry, 'id' | 'digest'>>,
): { readonly candidates: readonly Candidate[]; readonly decisions: readonly T[] } {
  const drawn = drawnAmong(decisions).filter(({ imageId }) => images.has(imageId));
  if (drawn.length === 0) return { candidates, decisions };
  return {
    candidates: [...candidates, ...drawn.map((one) => askedAfterwards(one, images.get(one.imageId)!))],
    decisions: decisions.map((one) => (isDrawn(one) ? { ...one, verdict: 'edit' as const } : one)),
  };
}

/** Why a drawn box adds no label, or null. `before` are the boxes drawn earlier, `by` those who did. */
export function misfitOfDrawn(
  drawn: DrawnBox,
  image: Pick<ImageEntry, 'width' | 'height'> | undefined,
  categories: readonly Category[],
  labels: readonly Annotation[],
  before: readonly (DrawnBox & { readonly by?: string })[],
): string | null {
  if (image === undefined) return `The dataset has no image ${drawn.imageId}.`;
  const misfit = misfitOf(drawn, image, categories);
  if (misfit !== null) return misfit;
  const isTwin = ({ categoryId, box }: { readonly categoryId: number; readonly box: Box }) =>
    categoryId === drawn.categoryId && iou(box, drawn.box) > DUPLICATE_IOU;
  const label = labels.find((one) => !one.ignore && isTwin(one));
  if (label !== undefined) {
    return `There is a label of this category on the box [${label.box.map(Math.round).join(', ')}] already.`;
  }
  const twin = before.find(
    (one) => one.imageId === drawn.imageId && one.candidateId !== drawn.candidateId && isTwin(one),
  );
  return twin === undefined ? null : `${twin.by ?? 'Somebody'} has drawn this box before.`;
}
