/** COCO's two files of an evaluation, as exactly as pycocotools reads them: ground truth and results. */

import type { ScoredAnnotation, ScoredDetections } from '../average-precision.ts';
import { boxAt, sortDetections } from '../detections.ts';
import type { Category, Detections } from '../types.ts';
import { isObject, type JsonObject, JsonSyntaxError, parseJson, quote } from './json.ts';
import type { Problem } from './types.ts';

/** Ground truth as an evaluator wants it: nothing clipped or dropped, areas as width x height. */
export interface CocoGroundTruth {
  readonly categories: readonly Category[];
  readonly imageIds: readonly number[];
  readonly annotations: readonly ScoredAnnotation[];
  readonly problems: readonly Problem[];
}

export interface CocoResults {
  readonly detections: ScoredDetections;
  readonly problems: readonly Problem[];
}

/** Reads an instances file for evaluation. An annotation id of 0 counts here, though pycocotools never matches it. */
export function readCocoGroundTruth(text: string, file: string): CocoGroundTruth {
  const reader = new ProblemList(file);
  const json = reader.parse(text);
  const categories: Category[] = [];
  const imageIds: number[] = [];
  const annotations: ScoredAnnotation[] = [];
  if (json !== undefined && !isObject(json)) {
    reader.error('', 'Expected a COCO instances object with images, annotations and categories.');
  }
  const root = isObject(json) ? json : {};
  const list = (name: string): readonly unknown[] => {
    const value = root[name];
    if (Array.isArray(value)) return value;
    if (isObject(json)) reader.error(name, `Expected an array "${name}", found ${quote(value)}.`);
    return [];
  };

  const categoryNames = new Map<number, string>();
  for (const [i, entry] of list('categories').entries()) {
    const place = `categories[${i}]`;
    const id = reader.integer(entry, 'id', place);
    const name = isObject(entry) ? entry.name : undefined;
    if (id === null) continue;
    if (typeof name !== 'string') {
      reader.error(`${place}.name`, `Expected a text, found ${quote(name)}.`);
    } else if (categoryNames.has(id)) {
      reader.error(`${place}.id`, `Category id ${id} stands twice, as "${categoryNames.get(id)}" and "${name}".`);
    } else {
      categoryNames.set(id, name);
      categories.push({ id, name });
    }
  }
  const images = new Set<number>();
  for (const [i, entry] of list('images').entries()) {
    const id = reader.integer(entry, 'id', `images[${i}]`);
    if (id === null) continue;
    if (images.has(id)) reader.error(`images[${i}].id`, `Image id ${id} stands twice. Ids must be unique.`);
    images.add(id);
    imageIds.push(id);
  }
  const ids = new Set<string>();
  for (const [i, entry] of list('annotations').entries()) {
    const place = `annotations[${i}]`;
    const imageId = reader.integer(entry, 'image_id', place);
    const categoryId = reader.integer(entry, 'category_id', place);
    const bbox = reader.bbox(entry, place);
    if (!isObject(entry) || imageId === null || categoryId === null || !bbox) continue;
    if (!images.has(imageId)) {
      reader.error(`${place}.image_id`, `Image ${imageId} is not in "images". Add it, or remove the annotation.`);
    }
    if (!categoryNames.has(categoryId)) {
      reader.error(`${place}.category_id`, `Category ${categoryId} is not in "categories" (${known(categoryNames)}).`);
    }
    const id = entry.id === undefined ? `annotations[${i}]` : String(entry.id);
    if (ids.has(id)) reader.error(`${place}.id`, `Annotation id ${id} stands twice. Ids must be unique.`);
    ids.add(id);
    if (entry.id === 0) {
      reader.warning(`${place}.id`, 'Annotation id 0 counts as any other here; pycocotools never matches it.');
    }
    annotations.push({
      id,
      imageId,
      categoryId,
      box: [bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]],
      boxArea: bbox[2] * bbox[3],
      ...(typeof entry.area === 'number' ? { area: entry.area } : {}),
      ...(entry.iscrowd ? { crowd: true } : {}),
      ...(entry.ignore ? { ignore: true } : {}),
    });
  }
  return { categories, imageIds, annotations, problems: reader.problems };
}

/**
 * Reads a results file. With `groundTruth`, detections of other images are errors, as in pycocotools, and all its
 * images count as looked at; without, those that occur.
 */
export function readCocoResults(
  text: string,
  file: string,
  groundTruth?: { readonly imageIds: readonly number[]; readonly categories: readonly Category[] },
): CocoResults {
  const reader = new ProblemList(file);
  const json = reader.parse(text);
  if (json !== undefined && !Array.isArray(json)) {
    reader.error('', `Expected an array of {image_id, category_id, bbox, score}, found ${quote(json)}.`);
  }
  const entries: readonly unknown[] = Array.isArray(json) ? json : [];
  const images = groundTruth && new Set(groundTruth.imageIds);
  const categoryIds = groundTruth && new Set(groundTruth.categories.map((category) => category.id));

  const image: number[] = [];
  const category: number[] = [];
  const score: number[] = [];
  const box: number[] = [];
  const boxArea: number[] = [];
  for (const [i, entry] of entries.entries()) {
    const place = `[${i}]`;
    const imageId = reader.integer(entry, 'image_id', place);
    const categoryId = reader.integer(entry, 'category_id', place);
    const bbox = reader.bbox(entry, place);
    const value = isObject(entry) ? entry.score : undefined;
    if (typeof value !== 'number') reader.error(`${place}.score`, `Expected a number, found ${quote(value)}.`);
    if (imageId === null || categoryId === null || !bbox || typeof value !== 'number') continue;
    if (images && !images.has(imageId)) {
      reader.error(
        `${place}.image_id`,
        `Image ${imageId} is not in the ground truth. Evaluate with the file it belongs to.`,
      );
      continue;
    }
    if (categoryIds && !categoryIds.has(categoryId)) {
      reader.warning(`${place}.category_id`, `Category ${categoryId} is not in the ground truth: not counted.`);
      continue;
    }
    image.push(imageId);
    category.push(categoryId);
    score.push(value);
    box.push(bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]);
    boxArea.push(bbox[2] * bbox[3]);
  }
  const order = Int32Array.from(score, (_, i) => i).sort(
    (a, b) => image[a]! - image[b]! || score[b]! - score[a]! || a - b,
  );
  const detections = sortDetections({
    imageIds: groundTruth?.imageIds ?? image,
    image: Int32Array.from(image),
    category: Int32Array.from(category),
    box: Float64Array.from(box),
    score: Float64Array.from(score),
  });
  return {
    detections: { ...detections, boxArea: Float64Array.from(order, (i) => boxArea[i]!) },
    problems: reader.problems,
  };
}

/** A results file, a line a detection. */
export function writeCocoResults(detections: Detections): string {
  const lines: string[] = [];
  for (let i = 0; i < detections.score.length; i++) {
    const [x1, y1, x2, y2] = boxAt(detections, i);
    lines.push(
      JSON.stringify({
        image_id: detections.image[i],
        category_id: detections.category[i],
        bbox: [x1, y1, tidy(x2 - x1), tidy(y2 - y1)],
        score: detections.score[i],
      }),
    );
  }
  return lines.length > 0 ? `[\n${lines.join(',\n')}\n]\n` : '[]\n';
}

/** 10.1 + 5 - 10.1 is 4.999999999999998: a size loses the noise that adding and subtracting the corner brought. */
export function tidy(size: number): number {
  return Number(size.toPrecision(12));
}

function known(names: ReadonlyMap<number, string>): string {
  const all = [...names].map(([id, name]) => `${id} ${name}`);
  return all.length > 5 ? `${all.slice(0, 5).join(', ')} ...` : all.join(', ');
}

/** Reads fields of one file, and lists what is wrong with them. */
class ProblemList {
  readonly problems: Problem[] = [];
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  error(place: string, message: string): void {
    this.problems.push({ severity: 'error', file: this.#file, place, message });
  }

  warning(place: string, message: string): void {
    this.problems.push({ severity: 'warning', file: this.#file, place, message });
  }

  parse(text: string): unknown {
    try {
      return parseJson(text);
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error;
      this.error('', `File ${error.message}.`);
      return undefined;
    }
  }

  /** Ids are 32-bit here, for they stand in Int32Arrays. */
  integer(entry: unknown, key: string, place: string): number | null {
    const value = isObject(entry) ? entry[key] : undefined;
    if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 31) return value;
    this.error(`${place}.${key}`, `Expected a whole number below 2^31, found ${quote(value)}.`);
    return null;
  }

  /** [x, y, width, height], sizes not negative. */
  bbox(entry: unknown, place: string): readonly [number, number, number, number] | null {
    const value = isObject(entry) ? (entry as JsonObject).bbox : undefined;
    if (!Array.isArray(value) || value.length !== 4 || !value.every((edge) => typeof edge === 'number')) {
      this.error(`${place}.bbox`, `Expected [x, y, width, height] in finite numbers, found ${quote(value)}.`);
      return null;
    }
    const [x, y, width, height] = value as [number, number, number, number];
    if (width < 0 || height < 0) {
      this.error(`${place}.bbox`, `Box has negative size ${width} x ${height}; expected [x, y, width, height].`);
      return null;
    }
    return [x, y, width, height];
  }
}
