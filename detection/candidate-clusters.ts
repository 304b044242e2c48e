/** The same mistake in many images: candidates that can be decided at once. */

import { createHash } from 'node:crypto';
import { iou } from './box.ts';
import type { Box, Candidate, CandidateType } from './types.ts';

/** Fewer are decided as fast one by one. */
const IMAGES_MIN = 3;
/** Boxes of two images from this IoU on are at one place: what a camera that stands still shows again. */
const SAME_PLACE_IOU = 0.8;
/** A detection that is shifted by more of the label's side than this, or larger by more, differs on purpose. */
const SHIFT = 0.15;

export interface Cluster {
  readonly id: string;
  readonly type: CandidateType;
  /** `place`: the same box in each image. `kind`: the same categories, about the same size, wrong in the same way. */
  readonly by: 'place' | 'kind';
  /** By falling rank. */
  readonly candidates: readonly Candidate[];
  readonly images: number;
  /** Mean of its candidates, 0..1; null where they have none. */
  readonly chance: number | null;
}

/**
 * The candidates, those of a cluster with its id. One is in a cluster of its place where there is one, else of its kind; the
 * ids follow from what the candidates have in common, so that they are the same in the next round.
 */
export function withClusters(candidates: readonly Candidate[]): Candidate[] {
  const medians = medianSides(candidates);
  const groups = [...groupByPlace(candidates)];
  const placed = new Set(groups.flatMap(([, members]) => members));
  const kinds = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    if (placed.has(candidate)) continue;
    const key = kindOf(candidate, medians);
    kinds.set(key, [...(kinds.get(key) ?? []), candidate]);
  }
  const ids = new Map<Candidate, string>();
  for (const [key, members] of [...groups, ...kinds]) {
    if (imageCount(members) < IMAGES_MIN) continue;
    const id = `${key.slice(0, key.indexOf(' '))}-${createHash('sha256').update(key).digest('hex').slice(0, 8)}`;
    for (const member of members) ids.set(member, id);
  }
  return candidates.map((candidate) => {
    const cluster = ids.get(candidate);
    return cluster === undefined ? candidate : { ...candidate, cluster };
  });
}

/** By how many a decision settles, the largest first. */
export function clustersOf(candidates: readonly Candidate[]): Cluster[] {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const { cluster } = candidate;
    if (cluster === undefined) continue;
    const group = groups.get(cluster);
    if (group) group.push(candidate);
    else groups.set(cluster, [candidate]);
  }
  return [...groups]
    .map(([id, members]): Cluster => {
      const chances = members.map(({ chance }) => chance).filter((chance) => chance !== undefined);
      return {
        id,
        type: members[0]!.type,
        by: id.startsWith('place-') ? 'place' : 'kind',
        candidates: members.toSorted((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1)),
        images: imageCount(members),
        chance: chances.length === 0 ? null : chances.reduce((sum, chance) => sum + chance, 0) / chances.length,
      };
    })
    .sort((a, b) => b.candidates.length - a.candidates.length || (a.id < b.id ? -1 : 1));
}

function imageCount(members: readonly Candidate[]): number {
  return new Set(members.map(({ imageId }) => imageId)).size;
}

function boxOf({ annotation, detection }: Candidate): Box {
  return (annotation ?? detection)!.box;
}

function about({ type, annotation, detection }: Candidate): string {
  return `${type} ${annotation?.categoryId ?? '-'} ${detection?.categoryId ?? '-'}`;
}

/** Greedy, by falling rank: a candidate joins the first group at its place, or begins one. */
function groupByPlace(candidates: readonly Candidate[]): Map<string, Candidate[]> {
  const groups: { readonly box: Box; readonly key: string; readonly members: Candidate[] }[] = [];
  // Boxes at one place have centres in the same or in neighbouring cells, so that few have to be compared.
  const cells = new Map<string, number[]>();
  for (const candidate of candidates) {
    const box = boxOf(candidate);
    const side = 2 ** Math.round(Math.log2(sideOf(box)));
    const [column, row] = [Math.floor((box[0] + box[2]) / 2 / side), Math.floor((box[1] + box[3]) / 2 / side)];
    const subject = about(candidate);
    const near = (scale: number): number[] =>
      [-1, 0, 1].flatMap((dx) =>
        [-1, 0, 1].flatMap(
          (dy) =>
            cells.get(
              `${subject} ${scale} ${Math.floor(((column + 0.5) * side) / scale) + dx} ${Math.floor(((row + 0.5) * side) / scale) + dy}`,
            ) ?? [],
        ),
      );
    const found = [side, side / 2, side * 2].flatMap(near).find((index) => {
      return iou(groups[index]!.box, box) >= SAME_PLACE_IOU;
    });
    if (found !== undefined) {
      groups[found]!.members.push(candidate);
      continue;
    }
    const cell = `${subject} ${side} ${column} ${row}`;
    cells.set(cell, [...(cells.get(cell) ?? []), groups.length]);
    groups.push({ box, key: `place ${subject} ${box.map(Math.round).join(' ')}`, members: [candidate] });
  }
  return new Map(
    groups.filter(({ members }) => imageCount(members) >= IMAGES_MIN).map(({ key, members }) => [key, members]),
  );
}

/** Type, categories, size beside the median of the category in octaves, how the detection differs, and who is likely right. */
function kindOf(candidate: Candidate, medians: ReadonlyMap<string, number>): string {
  const { annotation, detection, chance = 0 } = candidate;
  const subject = about(candidate);
  const octave = Math.round(Math.log2(sideOf(boxOf(candidate)) / medians.get(subject)!));
  const difference = annotation && detection ? differenceOf(annotation.box, detection.box) : '';
  return `kind ${subject} ${octave} ${difference} ${chance >= 0.5 ? 'label' : 'model'}`;
}

/** Where the detection lies beside the label, and whether it is smaller or larger: one sign an axis. */
function differenceOf(label: Box, detection: Box): string {
  const [width, height] = [label[2] - label[0], label[3] - label[1]];
  const sign = (difference: number): string => (difference > SHIFT ? '+' : difference < -SHIFT ? '-' : '0');
  return [
    sign((detection[0] + detection[2] - label[0] - label[2]) / 2 / width),
    sign((detection[1] + detection[3] - label[1] - label[3]) / 2 / height),
    sign((detection[2] - detection[0]) / width - 1),
    sign((detection[3] - detection[1]) / height - 1),
  ].join('');
}

function medianSides(candidates: readonly Candidate[]): Map<string, number> {
  const sides = new Map<string, number[]>();
  for (const candidate of candidates) {
    const subject = about(candidate);
    const side = sideOf(boxOf(candidate));
    const own = sides.get(subject);
    if (own) own.push(side);
    else sides.set(subject, [side]);
  }
  return new Map([...sides].map(([key, own]) => [key, own.sort((a, b) => a - b)[own.length >> 1]!]));
}

function sideOf([x1, y1, x2, y2]: Box): number {
  return Math.sqrt((x2 - x1) * (y2 - y1));
}
