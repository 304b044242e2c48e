/** Questions whose answers are known, to mix in with a reviewer's: made of labels that nothing speaks against. */

import { groupByImage } from './annotations.ts';
import { iou } from './box.ts';
import { toCandidate } from './label-issues.ts';
import { createRandom, hashSeed, type Random } from './random.ts';
import type { KnownAnswer } from './reviewer-trust.ts';
import type { Annotation, Box, Candidate, Category, ImageEntry } from './types.ts';

export interface KnownQuestion extends KnownAnswer {
  /** Id of a real label that must not be drawn beside the question, because it would give the answer away. */
  readonly hides?: string;
}

export interface KnownQuestions {
  readonly candidates: readonly Candidate[];
  /** In the order of the candidates. */
  readonly known: readonly KnownQuestion[];
}

type PlantedType = 'missing' | 'spurious' | 'badly-located' | 'wrong-class';

/** How far a planted box is off, as a share of its sides: an IoU of 0.39 with the right one, as a badly located label has. */
const SHIFT = 0.25;
/** Places that are tried for an empty one. */
const TRIES = 40;

/**
 * Up to `count` questions, as like the `asked` ones as can be: of the same types, in the same images, with ranks and scores of
 * theirs. Half of them are errors that a reviewer should find, and half are right labels that should be left alone. Fewer where the
 * images have no labels that nothing speaks against.
 */
export function plantQuestions(
  dataset: {
    readonly categories: readonly Category[];
    readonly images: readonly ImageEntry[];
    readonly annotations: readonly Annotation[];
  },
  asked: readonly Candidate[],
  count: number,
  seed: number,
): KnownQuestions {
  const random = createRandom(hashSeed('known questions', seed));
  const models = asked.filter((candidate) => isPlanted(candidate, dataset.categories.length));
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const labels = groupByImage(dataset.annotations);
  const inQuestion = new Map<number, Box[]>();
  for (const { imageId, annotation, detection } of asked) {
    const boxes = [annotation?.box, detection?.box].filter((box) => box !== undefined);
    inQuestion.set(imageId, [...(inQuestion.get(imageId) ?? []), ...boxes]);
  }
  const settled = [...inQuestion].flatMap(([imageId, boxes]) =>
    (labels.get(imageId) ?? []).filter(
      ({ box, crowd, ignore }) => !crowd && !ignore && boxes.every((other) => iou(box, other) < 0.1),
    ),
  );
  shuffle(settled, random);

  const candidates: Candidate[] = [];
  const known: KnownQuestion[] = [];
  for (let i = 0; candidates.length < count && settled.length > 0 && models.length > 0; i++) {
    const model = models[random.int(models.length)]!;
    const label = settled.pop()!;
    const image = images.get(label.imageId)!;
    const taken = [...(labels.get(image.id) ?? []).map(({ box }) => box), ...inQuestion.get(image.id)!];
    const made = question(model, label, i % 2 === 0, { image, taken, categories: dataset.categories, random });
    if (made === null) continue;
    const { expected, hides, ...shown } = made;
    const { rank, chance, seconds } = model;
    const candidate = toCandidate(image, { ...shown, type: model.type, rank, chance, seconds });
    candidates.push(candidate);
    known.push({ candidateId: candidate.id, type: model.type, expected, ...(hides === undefined ? {} : { hides }) });
  }
  return { candidates, known };
}

function isPlanted({ type }: Candidate, categories: number): boolean {
  return type !== 'duplicate' && (type !== 'wrong-class' || categories > 1);
}

interface Place {
  readonly image: ImageEntry;
  readonly taken: readonly Box[];
  readonly categories: readonly Category[];
  readonly random: Random;
}

type Made = Pick<Candidate, 'annotation' | 'detection' | 'iou'> & Pick<KnownQuestion, 'expected' | 'hides'>;

/** One question about a label that is right; null where the image has no place for it. */
function question(model: Candidate, label: Annotation, isError: boolean, place: Place): Made | null {
  const expected = isError ? 'accept' : 'reject';
  const score = model.detection?.score ?? 0;
  const detect = (box: Box, categoryId = label.categoryId) => ({ categoryId, box, score });
  switch (model.type as PlantedType) {
    case 'missing': {
      if (isError) return { detection: detect(label.box), expected, hides: label.id };
      const box = emptyPlace(label.box, place);
      return box && { detection: detect(box), expected };
    }
    case 'spurious': {
      if (!isError) return { annotation: label, expected };
      const box = emptyPlace(label.box, place);
      return box && { annotation: { ...label, id: `${label.id}+`, box }, expected };
    }
    case 'badly-located': {
      const moved = shifted(label.box, place);
      const overlap = iou(moved, label.box);
      return isError
        ? { annotation: { ...label, box: moved }, detection: detect(label.box), iou: overlap, expected }
        : { annotation: label, detection: detect(moved), iou: overlap, expected };
    }
    case 'wrong-class': {
      const others = place.categories.filter(({ id }) => id !== label.categoryId);
      const other = others[place.random.int(others.length)]!.id;
      return isError
        ? { annotation: { ...label, categoryId: other }, detection: detect(label.box), iou: 1, expected }
        : { annotation: label, detection: detect(label.box, other), iou: 1, expected };
    }
  }
}

/** A place for a box of this size that touches nothing; null after many tries. */
function emptyPlace([x1, y1, x2, y2]: Box, { image, taken, random }: Place): Box | null {
  const [width, height] = [x2 - x1, y2 - y1];
  for (let i = 0; i < TRIES; i++) {
    const [left, top] = [random.next() * (image.width - width), random.next() * (image.height - height)];
    const box: Box = [left, top, left + width, top + height];
    if (taken.every((other) => iou(box, other) === 0)) return box;
  }
  return null;
}

/** Along both axes, towards the inside where an edge is near. */
function shifted([x1, y1, x2, y2]: Box, { image, random }: Place): Box {
  const by = (low: number, high: number, end: number): number => {
    const step = (high - low) * SHIFT * (random.next() < 0.5 ? -1 : 1);
    return low + step < 0 || high + step > end ? -step : step;
  };
  const [dx, dy] = [by(x1, x2, image.width), by(y1, y2, image.height)];
  return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
}

function shuffle<T>(list: T[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
}
