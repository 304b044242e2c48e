/** A gate's candidates as boxes for an annotation tool, and what a person made of the boxes as decisions. */

import { clip, iou } from '../box.ts';
import type { DrawnBox } from '../decisions.ts';
import { drawnId } from '../drawn-boxes.ts';
import type { Coercion } from '../formats/types.ts';
import type { Annotation, Box, Candidate, Category, Decision, ImageEntry } from '../types.ts';

/** A box in a tool's file. */
export interface ToolBox {
  /** Id of the candidate, where the tool kept it. */
  readonly candidate?: string;
  /** Name. */
  readonly category: string;
  readonly box: Box;
  /** Score of a detection, to show. */
  readonly score?: number;
  /** Where it stands in the file, for messages. */
  readonly place: string;
}

export interface ToolImage {
  readonly fileName: string;
  /** As the tool understands the image; null where its format does not say. */
  readonly width: number | null;
  readonly height: number | null;
  readonly boxes: readonly ToolBox[];
}

/** What a reader finds in a file: images that a person has been through, and what it changed to understand them. */
export interface ToolFile {
  readonly images: readonly ToolImage[];
  readonly coercions: readonly Coercion[];
}

export interface AskedGate {
  readonly candidates: readonly Candidate[];
  readonly decided: ReadonlyMap<string, Decision>;
  readonly images: readonly ImageEntry[];
  readonly categories: readonly Category[];
  /** Boxes that were drawn where nobody asked. */
  readonly drawn: readonly DrawnBox[];
  /** Of an image, whether asked about or not: a new box on one of them is no label that is missing. */
  labels(imageId: number): readonly Annotation[];
}

/** Boxes nearer than this in every edge were not moved: tools round, some to a hundredth of a pixel. */
const SAME_EDGE_PX = 0.5;
/** A box without an id is the candidate that it overlaps best, from this IoU on. */
const SAME_BOX_IOU = 0.3;
/** A new box from this IoU on with a label or a drawn box of its category is no other target: tools do not show these labels. */
const SAME_TARGET_IOU = 0.5;

interface State {
  readonly box: Box;
  readonly categoryId: number;
}

/** What stands in the file for a candidate; null: no box. */
function stateOf({ type, annotation, detection }: Candidate, decision: Decision | undefined): State | null {
  const { verdict } = decision ?? {};
  const label = annotation && { box: annotation.box, categoryId: annotation.categoryId };
  if (verdict === 'edit') {
    const before = label ?? detection!;
    return { box: decision!.box ?? before.box, categoryId: decision!.categoryId ?? before.categoryId };
  }
  if (type === 'missing')
    return verdict === 'reject' ? null : { box: detection!.box, categoryId: detection!.categoryId };
  if (verdict !== 'accept') return label!;
  return proposalOf({ type, annotation, detection });
}

/** What an accepted candidate with a label becomes. */
function proposalOf({
  type,
  annotation,
  detection,
}: Pick<Candidate, 'type' | 'annotation' | 'detection'>): State | null {
  if (type === 'badly-located') return { box: detection!.box, categoryId: annotation!.categoryId };
  if (type === 'wrong-class') return { box: annotation!.box, categoryId: detection!.categoryId };
  return null;
}

/**
 * Every image with a candidate that nobody has decided, or with `all` every image with one or with a drawn box; its boxes in
 * question, and what was drawn in it.
 */
export function boxesInQuestion(
  { candidates, decided, images, categories, drawn }: AskedGate,
  all = false,
): ToolImage[] {
  const names = new Map(categories.map(({ id, name }) => [id, name]));
  const shown = candidates.filter(({ id }) => {
    const decision = decided.get(id);
    // No tool can say that a place is to be ignored.
    return decision === undefined || (all && decision.verdict !== 'ignore');
  });
  return images.flatMap((image): ToolImage[] => {
    const own = shown.filter(({ imageId }) => imageId === image.id);
    const added = drawn.filter(({ imageId }) => imageId === image.id);
    if (own.length === 0 && !(all && added.length > 0)) return [];
    const boxes = own.flatMap((candidate): ToolBox[] => {
      const state = stateOf(candidate, decided.get(candidate.id));
      if (state === null) return [];
      return [
        {
          candidate: candidate.id,
          category: names.get(state.categoryId)!,
          box: state.box,
          score: candidate.detection?.score,
          place: candidate.id,
        },
      ];
    });
    for (const { candidateId, categoryId, box } of added) {
      boxes.push({ candidate: candidateId, category: names.get(categoryId)!, box, place: candidateId });
    }
    return [{ fileName: image.fileName, width: image.width, height: image.height, boxes }];
  });
}

export interface ReadDecisions {
  readonly decisions: readonly Decision[];
  readonly coercions: readonly Coercion[];
  /** What the file says and no decision can: a label that was removed though it was asked where it lies, a new box on another label. */
  readonly left: readonly { readonly image: string; readonly place: string; readonly what: string }[];
}

/** Decisions about the candidates of the images in the file. `orientation` is the EXIF orientation of an image, 1 to 8. */
export function decisionsFromFile(
  gate: AskedGate,
  file: string,
  { images, coercions }: ToolFile,
  orientation: (image: ImageEntry) => number,
): ReadDecisions {
  const log: Coercion[] = [...coercions];
  const left: { image: string; place: string; what: string }[] = [];
  const decisions: Decision[] = [];
  const byName = new Map(gate.categories.map((category) => [category.name, category.id]));
  for (const corrected of images) {
    const image = findImage(gate.images, corrected.fileName);
    if (image === undefined) {
      left.push({ image: corrected.fileName, place: '', what: 'the gate asks about no image of this name.' });
      continue;
    }
    const boxes: (ToolBox & State)[] = [];
    for (const one of corrected.boxes) {
      const categoryId = byName.get(one.category);
      if (categoryId === undefined) {
        const known = gate.categories.map(({ name }) => name).join(', ');
        left.push({
          image: image.fileName,
          place: one.place,
          what: `there is no category "${one.category}"; known are ${known}.`,
        });
        continue;
      }
      const box = mendBox(one, image, corrected, file, log, orientation);
      if (box === null)
        left.push({ image: image.fileName, place: one.place, what: 'the box has no area inside the image.' });
      else boxes.push({ ...one, box, categoryId });
    }
    const own = gate.candidates.filter(({ imageId }) => imageId === image.id);
    decisions.push(...judgeImage(gate, image, own, boxes, left));
  }
  return { decisions, coercions: log, left };
}

/** By its name, or where the tool changed folder or ending, by the part that is left if only one image has it. */
function findImage(images: readonly ImageEntry[], given: string): ImageEntry | undefined {
  // Label Studio names a file by the address it is served from.
  const name = given.replace(/^.*[?&]d=(images\/)?/, '');
  const exact = images.find(({ fileName }) => fileName === name);
  if (exact !== undefined) return exact;
  const stem = (path: string) => path.replace(/\.[^./]+$/, '');
  const same = images.filter(({ fileName }) => stem(fileName) === stem(name));
  if (same.length === 1) return same[0];
  const base = (path: string) => stem(path).split('/').at(-1);
  const alike = images.filter(({ fileName }) => base(fileName) === base(name));
  return alike.length === 1 ? alike[0] : undefined;
}

function mendBox(
  { box: given, place }: ToolBox,
  image: ImageEntry,
  { width, height, fileName }: ToolImage,
  file: string,
  log: Coercion[],
  orientation: (image: ImageEntry) => number,
): Box | null {
  let box = given;
  const where = `${fileName} ${place}`;
  const coerce = (what: string, became: Box) => {
    log.push({ file, place: where, what, was: words(box), became: words(became) });
    box = became;
  };
  const [x1, y1, x2, y2] = box;
  if (x2 < x1 || y2 < y1) {
    coerce('negative size', [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)]);
  }
  const isTurned =
    width !== null && height !== null && width === image.height && height === image.width && width !== height;
  if (isTurned) {
    const turned = turn(box, orientation(image), width, height);
    if (turned !== null) coerce('image without its EXIF rotation', turned);
  } else if (width !== null && height !== null && (width !== image.width || height !== image.height)) {
    const [sx, sy] = [image.width / width, image.height / height];
    coerce(`image of ${width} x ${height} pixels`, [box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy]);
  }
  const inside = clip(box, image.width, image.height);
  if (inside[2] <= inside[0] || inside[3] <= inside[1]) return null;
  const beyond = Math.max(...box.map((edge, i) => Math.abs(edge - inside[i]!)));
  if (beyond > 0.01) coerce('box partly outside the image', inside);
  return inside;
}

/** From the stored pixels to the upright image; null for orientations that do not exchange the sides. */
function turn([x1, y1, x2, y2]: Box, orientation: number, width: number, height: number): Box | null {
  switch (orientation) {
    case 5:
      return [y1, x1, y2, x2];
    case 6:
      return [height - y2, x1, height - y1, x2];
    case 7:
      return [height - y2, width - x2, height - y1, width - x1];
    case 8:
      return [y1, width - x2, y2, width - x1];
    default:
      return null;
  }
}

function judgeImage(
  gate: AskedGate,
  image: ImageEntry,
  candidates: readonly Candidate[],
  boxes: readonly (ToolBox & State)[],
  left: { image: string; place: string; what: string }[],
): Decision[] {
  const matched = matchBoxes(gate, candidates, boxes);
  const decisions: Decision[] = [];
  for (const candidate of candidates) {
    const { id: candidateId, type } = candidate;
    const found = matched.get(candidate);
    // One that was decided before need not be in the file.
    if (found === undefined && gate.decided.has(candidateId)) continue;
    if (found === undefined && (type === 'badly-located' || type === 'wrong-class')) {
      left.push({
        image: image.fileName,
        place: candidateId,
        what: `its label was removed, but the question (${type}) is what becomes of it: decide with edit, reject or ignore.`,
      });
      continue;
    }
    decisions.push(verdictOn(candidate, found));
  }
  const used = new Set(matched.values());
  const fresh = boxes.filter((box) => !used.has(box));
  return [...decisions, ...addedBoxes(gate, image, fresh, left)];
}

/** Boxes that belong to no candidate: targets that nobody asked about, unless a label or a drawn box is there already. */
function addedBoxes(
  gate: AskedGate,
  image: ImageEntry,
  boxes: readonly (ToolBox & State)[],
  left: { image: string; place: string; what: string }[],
): Decision[] {
  const added: Decision[] = [];
  const drawn = gate.drawn.filter(({ imageId }) => imageId === image.id);
  for (const { candidate, box, categoryId, place } of boxes) {
    const same = drawn.find(({ candidateId }) => candidateId === candidate);
    if (same !== undefined && same.categoryId === categoryId && samePlace(same.box, box)) continue;
    const on = [...gate.labels(image.id), ...drawn, ...added.map((one) => ({ ...one, box: one.box! }))].find(
      (one) => one.categoryId === categoryId && iou(one.box, box) >= SAME_TARGET_IOU,
    );
    if (on === undefined && same === undefined) {
      added.push({ candidateId: drawnId(image, categoryId, box), verdict: 'add', imageId: image.id, box, categoryId });
      continue;
    }
    const why = same === undefined ? 'lies on a label that nobody asked about' : 'was drawn and is decided';
    left.push({ image: image.fileName, place, what: `the box ${words(box)} ${why}; it changes nothing.` });
  }
  return added;
}

function verdictOn(candidate: Candidate, found: (ToolBox & State) | undefined): Decision {
  const { id: candidateId, annotation, detection } = candidate;
  if (found === undefined) return { candidateId, verdict: candidate.type === 'missing' ? 'reject' : 'accept' };
  const is = (state: State | null | undefined) =>
    state != null && samePlace(state.box, found.box) && state.categoryId === found.categoryId;
  if (annotation === undefined) {
    if (is(detection)) return { candidateId, verdict: 'accept' };
  } else if (is(annotation)) return { candidateId, verdict: 'reject' };
  else if (is(proposalOf(candidate))) return { candidateId, verdict: 'accept' };
  return { candidateId, verdict: 'edit', box: found.box, categoryId: found.categoryId };
}

function samePlace(a: Box, b: Box): boolean {
  return a.every((edge, i) => Math.abs(edge - b[i]!) <= SAME_EDGE_PX);
}

/** By id where the tool kept it; of the rest, the pairs that overlap most. */
function matchBoxes(
  gate: AskedGate,
  candidates: readonly Candidate[],
  boxes: readonly (ToolBox & State)[],
): Map<Candidate, ToolBox & State> {
  const matched = new Map<Candidate, ToolBox & State>();
  const free = new Set(boxes);
  for (const box of boxes) {
    const candidate = candidates.find(({ id }) => id === box.candidate);
    if (candidate === undefined || matched.has(candidate)) continue;
    matched.set(candidate, box);
    free.delete(box);
  }
  const pairs = candidates
    .filter((candidate) => !matched.has(candidate))
    .flatMap((candidate) => {
      const state = stateOf(candidate, gate.decided.get(candidate.id));
      if (state === null) return [];
      return [...free].map((box) => ({
        candidate,
        box,
        overlap: iou(state.box, box.box) + (state.categoryId === box.categoryId ? 1e-6 : 0),
      }));
    })
    .filter(({ overlap }) => overlap >= SAME_BOX_IOU)
    .sort((a, b) => b.overlap - a.overlap);
  for (const { candidate, box } of pairs) {
    if (matched.has(candidate) || !free.has(box)) continue;
    matched.set(candidate, box);
    free.delete(box);
  }
  return matched;
}

function words(box: Box): string {
  return `[${box.map((edge) => Math.round(edge * 100) / 100).join(', ')}]`;
}

/** To so many decimals, and no minus before zero. */
export function rounded(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale + 0;
}
