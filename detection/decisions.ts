/** What a decision may look like, and when two decisions are the same. */

import { clip } from './box.ts';
import type { Box, Category, Decision, ImageEntry } from './types.ts';

const verdicts: readonly unknown[] = ['accept', 'reject', 'edit', 'ignore', 'add'];

/** Ids of boxes that were drawn where nobody asked. */
export const drawnPattern = /^drawn-[0-9a-f]{16}$/;

/** Whether the decision adds a label that no candidate asks about. */
export const isDrawn = ({ verdict }: Pick<Decision, 'verdict'>): boolean => verdict === 'add';

export type DrawnBox = Decision & { readonly box: Box; readonly categoryId: number; readonly imageId: number };

/** The drawn boxes among decisions of a known form. */
export function drawnAmong<T extends Decision>(decisions: Iterable<T>): (T & DrawnBox)[] {
  return [...decisions].filter((decision): decision is T & DrawnBox => isDrawn(decision));
}

/** The first problem of a list of decisions from outside, or null; nothing about them is taken for granted. */
export function problemOfDecisions(decisions: unknown): string | null {
  if (!Array.isArray(decisions)) return `"decisions" is a list, not ${kindOf(decisions)}.`;
  const seen = new Map<string, string>();
  for (const [index, decision] of decisions.entries()) {
    const problem = problemOfDecision(decision);
    if (problem !== null) return `decisions[${index}]: ${problem}`;
    const { candidateId } = decision as Decision;
    const mark = markOf(decision as Decision);
    if ((seen.get(candidateId) ?? mark) !== mark) {
      return `decisions[${index}]: candidate ${candidateId} is decided twice in the list, and not the same way.`;
    }
    seen.set(candidateId, mark);
  }
  return null;
}

function problemOfDecision(decision: unknown): string | null {
  if (typeof decision !== 'object' || decision === null) return `a decision is an object, not ${kindOf(decision)}.`;
  const { candidateId, verdict, box, categoryId, imageId, reason, seconds, settles, saw } = decision as {
    readonly [name: string]: unknown;
  };
  if (typeof candidateId !== 'string' || candidateId === '') return '"candidateId" is missing.';
  const about = `candidate ${candidateId}`;
  if (!verdicts.includes(verdict)) {
    return `${about} has the verdict ${JSON.stringify(verdict) ?? 'undefined'}; expected one of ${verdicts.join(', ')}.`;
  }
  if (verdict === 'edit' && box === undefined && categoryId === undefined) {
    return `${about} is edited, but has neither "box" ([x1, y1, x2, y2] in pixels of the image) nor "categoryId".`;
  }
  if (verdict === 'add') {
    if (!drawnPattern.test(candidateId)) {
      return `"${candidateId}" is no id of a drawn box; expected "drawn-" and 16 hex digits, chosen by the sender.`;
    }
    if (box === undefined || categoryId === undefined || imageId === undefined) {
      return `${about} adds a label, and needs "imageId", "box" ([x1, y1, x2, y2] in pixels of the image) and "categoryId".`;
    }
    if (!(Number.isInteger(imageId) && (imageId as number) > 0)) {
      return `${about} has the image ${JSON.stringify(imageId)}; expected an image's id.`;
    }
  } else {
    if (drawnPattern.test(candidateId)) return `${about} is a drawn box; its verdict is "add", not "${verdict}".`;
    if (imageId !== undefined) return `${about} has an image, which only "add" takes.`;
    if (verdict !== 'edit' && categoryId !== undefined) return `${about} has a category, which only "edit" takes.`;
  }
  if ((verdict === 'accept' || verdict === 'reject') && box !== undefined) {
    return `${about} has a box, which "${verdict}" does not take; the verdict for another box is "edit".`;
  }
  if (box !== undefined && !isBox(box)) {
    return `${about} has the box ${JSON.stringify(box)}; expected [x1, y1, x2, y2] with x2 > x1 and y2 > y1.`;
  }
  if (categoryId !== undefined && !(Number.isInteger(categoryId) && (categoryId as number) > 0)) {
    return `${about} has the category ${JSON.stringify(categoryId)}; expected a category's id.`;
  }
  if (reason !== undefined && typeof reason !== 'string') return `${about} has a "reason" that is no text.`;
  if (seconds !== undefined && !(typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 0)) {
    return `${about} has "seconds" ${JSON.stringify(seconds)}; expected the time it took, in seconds.`;
  }
  if (settles !== undefined && settles !== true) return `${about} has a "settles" that is not true.`;
  if (saw !== undefined && !(typeof saw === 'string' && /^[0-9a-f]{64}$/.test(saw))) {
    return `${about} has a "saw" that is no digest (64 hex digits).`;
  }
  return null;
}

/** Why a well-formed decision cannot be meant for its image, or null. */
export function misfitOf(
  { box, categoryId }: Pick<Decision, 'box' | 'categoryId'>,
  image: Pick<ImageEntry, 'width' | 'height'>,
  categories: readonly Category[],
): string | null {
  if (box !== undefined) {
    const inside = clip(box, image.width, image.height);
    if (inside[2] <= inside[0] || inside[3] <= inside[1]) {
      return `The box [${box.join(', ')}] lies wholly outside its image of ${image.width} x ${image.height} pixels.`;
    }
  }
  if (categoryId !== undefined && !categories.some(({ id }) => id === categoryId)) {
    const known = categories.map(({ id, name }) => `${id} ${name}`).join(', ');
    return `There is no category ${categoryId}; known are ${known}.`;
  }
  return null;
}

/** What makes two decisions the same: the verdict and what it changes, not the words given as reason, nor how it came about. */
export function markOf({ verdict, box, categoryId, imageId }: Decision): string {
  return [
    verdict,
    ...(box ?? []),
    ...(categoryId === undefined ? [] : [`category ${categoryId}`]),
    ...(imageId === undefined ? [] : [`image ${imageId}`]),
  ].join(' ');
}

function isBox(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) return false;
  const [x1, y1, x2, y2] = value as [number, number, number, number];
  return x2 > x1 && y2 > y1;
}

/** How a message names a value of the wrong type. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
