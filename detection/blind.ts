/** Questions that are asked without the model's box: what is shown, what can be answered, and what the answer says of the model. */

import { iou } from './box.ts';
import { viewOf } from './crop-view.ts';
import { createRandom } from './random.ts';
import type { Box, Candidate, Category, Decision } from './types.ts';

/** Only where the model has a box there is one to hide. */
export const hasModelBox = ({ detection }: Candidate): boolean => detection !== undefined;

/** A box that was drawn without the model's in sight means the same target from this IoU on, as detections are matched. */
const sameTargetIou = 0.5;
/** A hidden box keeps this share of the crop's side from its edges. */
const marginShare = 0.05;

/** As the reviewer sees it: whatever the model said is out of sight. */
export function hidden({ detection: _, iou: __, cluster: ___, ...candidate }: Candidate): Candidate {
  return candidate;
}

/**
 * The part of the image that is shown: as large as with the box, but the box may be anywhere in it, because one in the middle would
 * not be hidden. The same for everybody.
 */
export function blindViewOf(candidate: Candidate, width: number, height: number): Box {
  if (candidate.annotation !== undefined) return viewOf(hidden(candidate), width, height);
  const [x1, y1, x2, y2] = candidate.detection!.box;
  const [left, top, right, bottom] = viewOf(candidate, width, height);
  const random = createRandom(`blind ${candidate.id}`);
  const start = (low: number, high: number, span: number, length: number): number => {
    const margin = marginShare * span;
    // From where the box just touches one margin to where it touches the other, inside the image.
    const first = Math.max(0, high + margin - span);
    const last = Math.min(length - span, low - margin);
    const place = first + random.next() * Math.max(0, last - first);
    return Math.round(Math.min(Math.max(0, place), length - span));
  };
  const x = start(x1, x2, right - left, width);
  const y = start(y1, y2, bottom - top, height);
  return [x, y, x + right - left, y + bottom - top];
}

/** Why the decision cannot be meant for what is asked without the model's box, or null. */
export function problemOfBlind(
  { type }: Candidate,
  { verdict, box, categoryId }: Decision,
  categories: readonly Category[],
): string | null {
  if (verdict === 'accept') {
    return 'It is asked without the model’s box, so there is nothing to accept: say what is right with "edit", or "reject".';
  }
  if (type !== 'missing') return null;
  if (verdict === 'edit' && box === undefined) {
    return 'It is asked without the model’s box: the decision must say where, with a box.';
  }
  if (verdict === 'edit' && categoryId === undefined && categories.length > 1) {
    return `It is asked without what the model sees: the decision must name a category (${categories.map(({ name }) => name).join(', ')}).`;
  }
  return null;
}

/** Whether the decision comes to what the model said; null where it cannot be told, or the model said nothing. */
export function confirms(
  { type, annotation, detection }: Candidate,
  { verdict, box, categoryId }: Decision,
): boolean | null {
  if (detection === undefined || verdict === 'ignore') return null;
  if (verdict !== 'edit') return verdict === 'accept';
  switch (type) {
    case 'missing': {
      const sameCategory = (categoryId ?? detection.categoryId) === detection.categoryId;
      return sameCategory && iou(box ?? detection.box, detection.box) >= sameTargetIou;
    }
    case 'badly-located':
      return box !== undefined && iou(box, detection.box) > iou(box, annotation!.box);
    default:
      return categoryId === detection.categoryId;
  }
}
