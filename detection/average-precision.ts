/** COCO box AP and AR, equal to pycocotools: images are matched once, then accumulated as often as one likes. */

import { sortByScore } from './nms.ts';
import type { Annotation, Category, Detections } from './types.ts';

/** What detections are compared with: every image that was labelled, also those without a box. */
export interface GroundTruth {
  readonly categories: readonly Category[];
  readonly imageIds: readonly number[];
  readonly annotations: readonly ScoredAnnotation[];
}

/**
 * An annotation whose area may be given as width x height of an xywh source. x2 - x1 of a converted box differs from
 * the width in the last bits, enough to move a box across an area limit or an IoU threshold.
 */
export interface ScoredAnnotation extends Annotation {
  readonly boxArea?: number;
}

/** Detections whose areas may be given likewise: [N], square pixels. */
export interface ScoredDetections extends Detections {
  readonly boxArea?: Float64Array;
}

export const METRICS = [
  'AP',
  'AP50',
  'AP75',
  'APs',
  'APm',
  'APl',
  'AR1',
  'AR10',
  'AR100',
  'ARs',
  'ARm',
  'ARl',
] as const;

export type MetricName = (typeof METRICS)[number];

/** All 12 figures of COCO, 0..1; -1 where there is no ground truth to measure by. */
export type CocoMetrics = Readonly<Record<MetricName, number>>;

export interface CocoResult extends CocoMetrics {
  /** By category name. */
  readonly perCategory: Readonly<Record<string, CocoMetrics>>;
}

export type AreaRange = readonly [from: number, to: number];
export type AreaRanges = readonly [all: AreaRange, ...smallMediumAndLarge: AreaRange[]];

export interface ApOptions {
  /** Boxes an image and category for AR1, AR10 and AR100, the last also for everything else. Default [1, 10, 100]. */
  readonly maxDets?: readonly [number, number, number];
  /** Square pixels [from, to], both inclusive, of all, small, medium and large; figures of those left out are -1. */
  readonly areaRanges?: AreaRanges;
  /**
   * Whether `ignore` annotations are left out of the count, as crowds are. Default false: COCO overwrites `ignore`
   * by `iscrowd`, and quarantine must not make a test easier.
   */
  readonly applyIgnore?: boolean;
}

/** numpy's linspace(.5, .95, 10), whose ninth value is 0.8999999999999999. */
export const IOU_THRESHOLDS: readonly number[] = Array.from({ length: 10 }, (_, i) =>
  i === 9 ? 0.95 : 0.5 + i * ((0.95 - 0.5) / 9),
);

/** numpy's linspace(0, 1, 101): i * 0.01 is not i / 100 at ten places. */
const RECALL_THRESHOLDS = Float64Array.from({ length: 101 }, (_, i) => i * 0.01);

const AREA_RANGES: AreaRanges = [
  [0, 1e10],
  [0, 32 ** 2],
  [32 ** 2, 96 ** 2],
  [96 ** 2, 1e10],
];

/** numpy's spacing(1), which keeps pycocotools from dividing by zero. */
const EPSILON = Number.EPSILON;

/** A set bit for each IoU threshold. */
const ALL_THRESHOLDS = (1 << IOU_THRESHOLDS.length) - 1;

/** Every detection of every image set against the ground truth, before any figure is taken. */
export interface ApMatches {
  /** In rising order; an index into it stands for an image in what follows. */
  readonly imageIds: readonly number[];
  /** In order of id. */
  readonly categories: readonly Category[];
  readonly maxDets: readonly [number, number, number];
  /** One a category. */
  readonly perCategory: readonly CategoryMatches[];
}

/** Detections of one category by falling score, at most the largest maxDets an image. Bit t stands for threshold t. */
interface CategoryMatches {
  /** [N] index of the image. */
  readonly image: Int32Array;
  /** [N] position among the detections of its image, 0 for the best. */
  readonly rank: Uint32Array;
  /** One an area range, [N]: the thresholds at which the detection found a ground truth that counts. */
  readonly found: readonly Uint16Array[];
  /** One an area range, [N]: the thresholds at which it is neither right nor wrong. */
  readonly ignored: readonly Uint16Array[];
  /** One an area range: the image index of every ground truth that counts. */
  readonly positives: readonly Int32Array[];
}

/** The 12 figures over all categories, and those of each. */
export function evaluateCoco(
  groundTruth: GroundTruth,
  detections: ScoredDetections,
  options: ApOptions = {},
): CocoResult {
  const matches = matchForAp(groundTruth, detections, options);
  const perCategory: Record<string, CocoMetrics> = {};
  matches.categories.forEach((category, k) => {
    perCategory[category.name] = accumulate({ ...matches, perCategory: [matches.perCategory[k]!] });
  });
  return { ...accumulate(matches), perCategory };
}

/**
 * Sets detections against ground truth, image by image and category by category, at all IoU thresholds and area ranges.
 * Detections of other images or unknown categories are left out, as pycocotools leaves them out.
 */
export function matchForAp(groundTruth: GroundTruth, detections: ScoredDetections, options: ApOptions = {}): ApMatches {
  const imageIds = [...new Set(groundTruth.imageIds)].sort((a, b) => a - b);
  const categories = [...groundTruth.categories].sort((a, b) => a.id - b.id);
  const maxDets = options.maxDets ?? [1, 10, 100];
  const areaRanges = options.areaRanges ?? AREA_RANGES;
  const limit = Math.max(...maxDets);

  const imageIndex = new Map(imageIds.map((id, index) => [id, index]));
  const categoryIndex = new Map(categories.map((category, index) => [category.id, index]));
  const imageCount = imageIds.length;
  const cellCount = imageCount * categories.length;

  const { annotations } = groundTruth;
  const truths = groupByCell(cellCount, annotations.length, (i) =>
    cellOf(annotations[i]!.categoryId, annotations[i]!.imageId),
  );
  const found = groupByCell(cellCount, detections.score.length, (i) =>
    cellOf(detections.category[i]!, detections.image[i]!),
  );
  function cellOf(categoryId: number, imageId: number): number {
    const category = categoryIndex.get(categoryId);
    const image = imageIndex.get(imageId);
    return category === undefined || image === undefined ? -1 : category * imageCount + image;
  }

  const cell = new Cell(areaRanges, options.applyIgnore ?? false);
  const perCategory = categories.map((_, k) => {
    const collected = new Collector(areaRanges.length);
    for (let image = 0; image < imageCount; image++) {
      const at = k * imageCount + image;
      const truthIndices = truths.members.subarray(truths.start[at]!, truths.start[at + 1]!);
      const ownIndices = found.members.subarray(found.start[at]!, found.start[at + 1]!);
      if (truthIndices.length === 0 && ownIndices.length === 0) continue;
      // stable by falling score, then the cut: pycocotools cuts before it matches
      const best = ownIndices.sort((a, b) => detections.score[b]! - detections.score[a]! || a - b).subarray(0, limit);
      cell.match(annotations, truthIndices, detections, best);
      collected.add(image, detections, best, cell);
    }
    return collected.sorted();
  });
  return { imageIds, categories, maxDets, perCategory };
}

/**
 * The 12 figures, or only those named. `weights` counts each image so often ([images], in the order of
 * `matches.imageIds`): a bootstrap replicate without matching again.
 */
export function accumulate(
  matches: ApMatches,
  weights?: ArrayLike<number>,
  only: readonly MetricName[] = METRICS,
): Record<MetricName, number> {
  const result = Object.fromEntries(METRICS.map((name) => [name, -1])) as Record<MetricName, number>;
  const last = matches.maxDets[2];
  const fill = (names: readonly MetricName[], areaRange: number, maxDets: number): void => {
    if (!names.some((name) => only.includes(name))) return;
    if (matches.perCategory.some(({ positives }) => positives.length <= areaRange)) return;
    const mean = new MeanOverCategories();
    for (const category of matches.perCategory) mean.add(category, areaRange, maxDets, weights);
    for (const name of names) result[name] = mean.metric(name);
  };
  fill(['AP', 'AP50', 'AP75', 'AR100'], 0, last);
  fill(['APs', 'ARs'], 1, last);
  fill(['APm', 'ARm'], 2, last);
  fill(['APl', 'ARl'], 3, last);
  fill(['AR1'], 0, matches.maxDets[0]);
  fill(['AR10'], 0, matches.maxDets[1]);
  return result;
}

/** Indices 0..count-1 sorted into cells: those of cell c are members[start[c]] to members[start[c + 1] - 1]. */
function groupByCell(
  cellCount: number,
  count: number,
  cellOf: (index: number) => number,
): { start: Int32Array; members: Int32Array } {
  const cells = new Int32Array(count);
  const start = new Int32Array(cellCount + 1);
  for (let i = 0; i < count; i++) {
    cells[i] = cellOf(i);
    if (cells[i]! >= 0) start[cells[i]! + 1]!++;
  }
  for (let c = 0; c < cellCount; c++) start[c + 1]! += start[c]!;
  const next = start.slice();
  const members = new Int32Array(start[cellCount]!);
  for (let i = 0; i < count; i++) if (cells[i]! >= 0) members[next[cells[i]!]!++] = i;
  return { start, members };
}

/** Matches one category of one image, and holds the outcome until it is collected. */
class Cell {
  readonly areaRanges: AreaRanges;
  readonly applyIgnore: boolean;
  /** One an area range, [D] bits. */
  readonly found: Uint16Array[];
  readonly ignored: Uint16Array[];
  /** How many ground truths count, one an area range. */
  readonly positives: Int32Array;
  #overlap = new Float64Array(1024);
  #taken = new Uint8Array(64);

  constructor(areaRanges: AreaRanges, applyIgnore: boolean) {
    this.areaRanges = areaRanges;
    this.applyIgnore = applyIgnore;
    this.found = areaRanges.map(() => new Uint16Array(128));
    this.ignored = areaRanges.map(() => new Uint16Array(128));
    this.positives = new Int32Array(areaRanges.length);
  }

  /** `truths` and `best` are indices into the annotations and, by falling score, into the detections. */
  match(
    annotations: readonly ScoredAnnotation[],
    truths: Int32Array,
    detections: ScoredDetections,
    best: Int32Array,
  ): void {
    this.#measure(annotations, truths, detections, best);
    const truthCount = truths.length;
    const detectionCount = best.length;
    const order = new Int32Array(truthCount);
    const crowd = new Uint8Array(truthCount);

    for (let a = 0; a < this.areaRanges.length; a++) {
      const [from, to] = this.areaRanges[a]!;
      const found = this.#reset(this.found, a, detectionCount);
      const ignored = this.#reset(this.ignored, a, detectionCount);

      // those that count come first, each part in its own order
      let counting = 0;
      for (let g = 0; g < truthCount; g++) if (this.#counts(annotations[truths[g]!]!, from, to)) order[counting++] = g;
      let next = counting;
      for (let g = 0; g < truthCount && next < truthCount; g++) {
        if (!this.#counts(annotations[truths[g]!]!, from, to)) order[next++] = g;
      }
      for (let z = 0; z < truthCount; z++) crowd[z] = annotations[truths[order[z]!]!]!.crowd ? 1 : 0;
      this.positives[a] = counting;

      for (let t = 0; t < IOU_THRESHOLDS.length && truthCount > 0; t++) {
        const taken = this.#taken.fill(0, 0, truthCount);
        const threshold = Math.min(IOU_THRESHOLDS[t]!, 1 - 1e-10);
        for (let d = 0; d < detectionCount; d++) {
          let bestOverlap = threshold;
          let match = -1;
          for (let z = 0; z < truthCount; z++) {
            // a crowd may be taken again
            if (taken[z] && !crowd[z]) continue;
            // one that counts is not given up for one that does not
            if (match > -1 && match < counting && z >= counting) break;
            // equal to the threshold matches, and of equal ones the last wins
            const overlap = this.#overlap[d * truthCount + order[z]!]!;
            if (overlap < bestOverlap) continue;
            bestOverlap = overlap;
            match = z;
          }
          if (match < 0) continue;
          taken[match] = 1;
          if (match < counting) found[d]! |= 1 << t;
          else ignored[d]! |= 1 << t;
        }
      }

      // an unmatched detection outside the area range is no error either
      for (let d = 0; d < detectionCount; d++) {
        const area = detectionArea(detections, best[d]!);
        if (area < from || area > to) ignored[d]! |= ALL_THRESHOLDS & ~found[d]!;
      }
    }
  }

  #counts(annotation: ScoredAnnotation, from: number, to: number): boolean {
    if (annotation.crowd || (this.applyIgnore && annotation.ignore)) return false;
    const area = annotation.area ?? annotationArea(annotation);
    return area >= from && area <= to;
  }

  #reset(columns: Uint16Array[], index: number, length: number): Uint16Array {
    if (columns[index]!.length < length) columns[index] = new Uint16Array(length * 2);
    return columns[index]!.fill(0, 0, length);
  }

  /** [D,G] IoU; with a crowd the share of the detection's area that lies in it. */
  #measure(
    annotations: readonly ScoredAnnotation[],
    truths: Int32Array,
    detections: ScoredDetections,
    best: Int32Array,
  ): void {
    const count = truths.length;
    if (this.#overlap.length < count * best.length) this.#overlap = new Float64Array(count * best.length * 2);
    if (this.#taken.length < count) this.#taken = new Uint8Array(count * 2);
    const overlap = this.#overlap;
    const { box } = detections;
    for (let g = 0; g < count; g++) {
      const annotation = annotations[truths[g]!]!;
      const [x1, y1, x2, y2] = annotation.box;
      const area = annotationArea(annotation);
      for (let d = 0; d < best.length; d++) {
        const q = best[d]! * 4;
        overlap[d * count + g] = 0;
        const width = Math.min(box[q + 2]!, x2) - Math.max(box[q]!, x1);
        if (width <= 0) continue;
        const height = Math.min(box[q + 3]!, y2) - Math.max(box[q + 1]!, y1);
        if (height <= 0) continue;
        const shared = width * height;
        const own = detectionArea(detections, best[d]!);
        overlap[d * count + g] = shared / (annotation.crowd ? own : own + area - shared);
      }
    }
  }
}

/** Gathers the cells of one category, image after image. */
class Collector {
  readonly #images: number[] = [];
  readonly #ranks: number[] = [];
  readonly #scores: number[] = [];
  readonly #found: number[][];
  readonly #ignored: number[][];
  readonly #positives: number[][];

  constructor(areaRangeCount: number) {
    this.#found = Array.from({ length: areaRangeCount }, () => []);
    this.#ignored = Array.from({ length: areaRangeCount }, () => []);
    this.#positives = Array.from({ length: areaRangeCount }, () => []);
  }

  add(image: number, detections: ScoredDetections, best: Int32Array, cell: Cell): void {
    for (let d = 0; d < best.length; d++) {
      this.#images.push(image);
      this.#ranks.push(d);
      this.#scores.push(detections.score[best[d]!]!);
    }
    for (let a = 0; a < this.#found.length; a++) {
      for (let d = 0; d < best.length; d++) {
        this.#found[a]!.push(cell.found[a]![d]!);
        this.#ignored[a]!.push(cell.ignored[a]![d]!);
      }
      for (let g = 0; g < cell.positives[a]!; g++) this.#positives[a]!.push(image);
    }
  }

  /** By falling score; equal scores in order of image, then of rank. */
  sorted(): CategoryMatches {
    const order = sortByScore(Float64Array.from(this.#scores));
    return {
      image: Int32Array.from(order, (i) => this.#images[i]!),
      rank: Uint32Array.from(order, (i) => this.#ranks[i]!),
      found: this.#found.map((bits) => Uint16Array.from(order, (i) => bits[i]!)),
      ignored: this.#ignored.map((bits) => Uint16Array.from(order, (i) => bits[i]!)),
      positives: this.#positives.map((images) => Int32Array.from(images)),
    };
  }
}

/** Sums precision and recall at each IoU threshold over the categories that have ground truth. */
class MeanOverCategories {
  #categories = 0;
  readonly #precision = new Float64Array(IOU_THRESHOLDS.length);
  readonly #recall = new Float64Array(IOU_THRESHOLDS.length);

  add(category: CategoryMatches, areaRange: number, maxDets: number, weights: ArrayLike<number> | undefined): void {
    const positives = category.positives[areaRange]!;
    let positiveCount = positives.length;
    if (weights) {
      positiveCount = 0;
      for (let g = 0; g < positives.length; g++) positiveCount += weights[positives[g]!]!;
    }
    // pycocotools leaves such a category at -1 and out of the mean
    if (positiveCount === 0) return;
    this.#categories++;

    const { image, rank } = category;
    const found = category.found[areaRange]!;
    const ignored = category.ignored[areaRange]!;
    const count = image.length;
    const thresholdCount = IOU_THRESHOLDS.length;

    // Recall rises only where a ground truth is found, and there precision peaks, so these points make the whole
    // curve. Wrong detections are the seen ones less those found or ignored at the threshold.
    const stride = positives.length;
    const pointTrue = scratch(0, stride * thresholdCount);
    const pointPrecision = scratch(1, stride * thresholdCount);
    const points = new Int32Array(thresholdCount);
    const foundCount = new Float64Array(thresholdCount);
    const ignoredCount = new Float64Array(thresholdCount);
    let seen = 0;
    for (let i = 0; i < count; i++) {
      if (rank[i]! >= maxDets) continue;
      const weight = weights ? weights[image[i]!]! : 1;
      if (weight === 0) continue;
      seen += weight;
      const foundBits = found[i]!;
      const ignoredBits = ignored[i]!;
      if ((foundBits | ignoredBits) === 0) continue;
      for (let t = 0; t < thresholdCount; t++) {
        if (ignoredBits & (1 << t)) ignoredCount[t]! += weight;
        else if (foundBits & (1 << t)) {
          foundCount[t]! += weight;
          const at = t * stride + points[t]!++;
          pointTrue[at] = foundCount[t]!;
          pointPrecision[at] = foundCount[t]! / (seen - ignoredCount[t]! + EPSILON);
        }
      }
    }

    for (let t = 0; t < thresholdCount; t++) {
      const start = t * stride;
      const end = start + points[t]!;
      this.#recall[t]! += foundCount[t]! / positiveCount;
      for (let i = end - 1; i > start; i--) {
        if (pointPrecision[i]! > pointPrecision[i - 1]!) pointPrecision[i - 1] = pointPrecision[i]!;
      }
      let sum = 0;
      let i = start;
      for (const threshold of RECALL_THRESHOLDS) {
        while (i < end && pointTrue[i]! / positiveCount < threshold) i++;
        if (i === end) break;
        sum += pointPrecision[i]!;
      }
      this.#precision[t]! += sum / RECALL_THRESHOLDS.length;
    }
  }

  metric(name: MetricName): number {
    if (this.#categories === 0) return -1;
    if (name === 'AP50') return this.#precision[0]! / this.#categories;
    if (name === 'AP75') return this.#precision[5]! / this.#categories;
    const sums = name.startsWith('AP') ? this.#precision : this.#recall;
    return sums.reduce((sum, value) => sum + value, 0) / sums.length / this.#categories;
  }
}

/** Room that thousands of replicates share: it is filled before it is read, within one call. */
const scratchRooms: Float64Array[] = [new Float64Array(0), new Float64Array(0)];

function scratch(room: 0 | 1, length: number): Float64Array {
  if (scratchRooms[room]!.length < length) scratchRooms[room] = new Float64Array(length);
  return scratchRooms[room]!;
}

function annotationArea({ box, boxArea }: ScoredAnnotation): number {
  return boxArea ?? (box[2] - box[0]) * (box[3] - box[1]);
}

function detectionArea({ box, boxArea }: ScoredDetections, index: number): number {
  if (boxArea) return boxArea[index]!;
  const q = index * 4;
  return (box[q + 2]! - box[q]!) * (box[q + 3]! - box[q + 1]!);
}
