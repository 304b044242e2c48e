/** Which images make up each batch, as a pure function of the step, so that a resumed training needs no sampler state. */

import { createRandom, hashSeed } from '../random.ts';
import {
  type AugmentedLabels,
  type AugmentOptions,
  augmentImage,
  canvasOfWindows,
  copyImage,
  mosaic,
} from './augment.ts';
import { batchSideAt, batchSides } from './multi-scale.ts';
import {
  countSamples,
  createQuotas,
  distinctItems,
  keyOf,
  kindsOf,
  type Sample,
  samplesOf,
  shuffled,
  windowInInput,
} from './samples.ts';
import type { Batch, BatchSource, PreparedImage, SampleItem, TrainOptions } from './types.ts';

export interface BatchSourceOptions {
  /** Images by id; all of `select` and of `replay.from` must be there. */
  readonly images: ReadonlyMap<number, PreparedImage>;
  readonly select: readonly SampleItem[];
  /** Ordinary images mixed in. */
  readonly replay?: {
    readonly from: readonly SampleItem[];
    /** Of each epoch's samples, drawn from those of `from` that are not in `select`. */
    readonly share: number;
    /** Image id -> stratum: each epoch draws from the strata in proportion. */
    readonly stratify?: ReadonlyMap<number, string>;
  };
  readonly batchSize: number;
  /** Side of the prepared images. */
  readonly inputSize: number;
  readonly seed: number;
  /** Null: images as they are. */
  readonly augment: AugmentOptions | null;
  /** Absent: all batches have the side of the images. */
  readonly multiScale?: TrainOptions['multiScale'];
  /** What the sides of batches are multiples of; 32 unless given. */
  readonly multipleOf?: number;
  /** Batches of the whole training; mosaic goes off in its last share. */
  readonly totalSteps: number;
}

/** Makes each batch when it is asked for. */
export interface DirectBatchSource extends BatchSource {
  batch(step: number): Batch;
  /** As `batch`, with the pixels written into `pixels`, of which the batch takes the first bytes. */
  batchInto(step: number, pixels: Uint8Array): Batch;
  /** Side of the largest batch. */
  readonly largestSide: number;
}

type EpochOptions = Pick<BatchSourceOptions, 'images' | 'select' | 'replay' | 'inputSize'>;

/** Samples of an epoch: whole images or canvases of windows, those of `select` and replayed ones for their share. */
export function samplesPerEpoch(options: EpochOptions): number {
  const { ownCount, drawn } = partsOf(options);
  return ownCount + drawn;
}

export function stepsPerEpoch(options: EpochOptions & Pick<BatchSourceOptions, 'batchSize'>): number {
  return Math.ceil(samplesPerEpoch(options) / options.batchSize);
}

/**
 * Epochs follow one another without a gap: the batch of a step is a window of `batchSize` samples on their endless list,
 * so no image is dropped or repeated at the end of an epoch, and a set smaller than a batch wraps around.
 */
export function createBatchSource(options: BatchSourceOptions): DirectBatchSource {
  const { images, batchSize, inputSize, seed, augment } = options;
  const { own, pool, ownCount, drawn } = partsOf(options);
  const perEpoch = ownCount + drawn;
  if (perEpoch === 0) throw new RangeError('A training needs at least one image, but its selection is empty.');
  const imageOf = (id: number): PreparedImage => imageIn(images, id);
  const sizes = {
    inputSize,
    multipleOf: options.multipleOf ?? 32,
    multiScale: options.multiScale ?? { range: 0, every: 1 },
  };
  const mosaicEnds = options.totalSteps * (1 - (augment?.mosaicOffShare ?? 0));
  const isWeighted = [...images.values()].some(({ weights }) => weights !== undefined);

  const quotaOf = createQuotas(
    pool.map(({ count }) => count),
    drawn,
    seed,
  );
  const epochOf = remembered((epoch: number) => {
    const samples = own.flatMap((kind) => samplesOf(kind, hashSeed('canvas', seed, epoch, kind.across)));
    const { counts, before } = quotaOf(epoch);
    for (const [s, { count, cycle }] of pool.entries()) {
      // Replayed images are taken from one shuffled list after another, so that all come equally often.
      for (let i = before[s]!; i < before[s]! + counts[s]!; i++) {
        samples.push(cycle(Math.floor(i / count))[i % count]!);
      }
    }
    const order = shuffled(samples, hashSeed('order', seed, epoch));
    return { order, whole: order.filter(({ across }) => across === 0) };
  });

  const draw = (step: number, position: number, out: Uint8Array, side: number): Drawn => {
    const epoch = Math.floor(position / perEpoch);
    const { order, whole } = epochOf(epoch);
    const { items, across } = order[position % perEpoch]!;
    const shown = items.map(({ image }) => image);
    if (across > 0) {
      const windows = items.map(({ image, window }) => ({
        image: imageOf(image),
        window: windowInInput(imageOf(image), window!),
      }));
      const randomOf = (i: number) =>
        createRandom(hashSeed('augment', seed, epoch, items[i]!.image, ...items[i]!.window!));
      return { shown, labels: canvasOfWindows(windows, across, inputSize, augment, randomOf, out, side) };
    }
    const id = shown[0]!;
    if (!augment) return { shown, labels: copyImage(imageOf(id), inputSize, out, side) };
    const random = createRandom(hashSeed('augment', seed, epoch, id));
    if (random.next() < augment.mosaic && step < mosaicEnds) {
      const other = (): number => whole[random.int(whole.length)]!.items[0]!.image;
      const [a, b, c] = [other(), other(), other()];
      const four = [imageOf(id), imageOf(a), imageOf(b), imageOf(c)] as const;
      return { shown: [id, a, b, c], labels: mosaic(four, inputSize, augment, random, out, side) };
    }
    return { shown, labels: augmentImage(imageOf(id), inputSize, augment, random, out, side) };
  };

  const batchInto = (step: number, buffer: Uint8Array): Batch => {
    const side = batchSideAt(sizes, seed, step);
    const imageBytes = side * side * 3;
    const pixels = buffer.subarray(0, batchSize * imageBytes);
    const drawings = Array.from({ length: batchSize }, (_, i) => {
      const out = pixels.subarray(i * imageBytes, (i + 1) * imageBytes);
      return draw(step, step * batchSize + i, out, side);
    });
    return {
      imageIds: drawings.map(({ shown }) => shown[0]!),
      shown: [...new Set(drawings.flatMap(({ shown }) => shown))],
      inputSize: side,
      pixels,
      boxes: drawings.map(({ labels }) => labels.boxes),
      classes: drawings.map(({ labels }) => labels.classes),
      ignore: drawings.map(({ labels }) => labels.ignore),
      ...(isWeighted ? { weights: drawings.map(({ labels }) => labels.weights) } : {}),
    };
  };

  return {
    batchSize,
    stepsPerEpoch: Math.ceil(perEpoch / batchSize),
    largestSide: batchSides(sizes).at(-1)!,
    batch: (step) => batchInto(step, new Uint8Array(batchSize * batchSideAt(sizes, seed, step) ** 2 * 3)),
    batchInto,
  };
}

interface Drawn {
  /** Images that it is made of; the first is the one whose turn it is. */
  readonly shown: readonly number[];
  readonly labels: AugmentedLabels;
}

/** A stratum of the images that may be replayed. */
interface Stratum {
  /** Samples of one cycle. */
  readonly count: number;
  /** All of its samples, in the order of this cycle. */
  readonly cycle: (cycle: number) => readonly Sample[];
}

function partsOf({ images, select, replay, inputSize, ...rest }: EpochOptions & { readonly seed?: number }) {
  const imageOf = (id: number): PreparedImage => imageIn(images, id);
  const items = distinctItems(select);
  const own = kindsOf(items, imageOf, inputSize);
  const ownCount = own.reduce((sum, kind) => sum + countSamples(kind), 0);
  const share = replay?.share ?? 0;
  if (!(share >= 0 && share < 1)) {
    throw new RangeError(`The share of replayed images is ${share}, expected at least 0 and less than 1.`);
  }
  const taken = new Set(items.map(keyOf));
  const byStratum = new Map<string, SampleItem[]>();
  for (const item of distinctItems(replay?.from ?? [])) {
    // An image that is selected as a whole shows its windows too.
    if (taken.has(keyOf(item)) || taken.has(keyOf({ image: item.image }))) continue;
    const stratum = replay?.stratify?.get(item.image) ?? '';
    const members = byStratum.get(stratum);
    if (members === undefined) byStratum.set(stratum, [item]);
    else members.push(item);
  }
  const pool = [...byStratum]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, members]): Stratum => {
      const kinds = kindsOf(members, imageOf, inputSize);
      const seedOf = (cycle: number): (string | number)[] => [rest.seed ?? 0, cycle, ...(name === '' ? [] : [name])];
      return {
        count: kinds.reduce((sum, kind) => sum + countSamples(kind), 0),
        cycle: remembered((cycle) => {
          const samples = kinds.flatMap((kind) => samplesOf(kind, hashSeed('canvas', ...seedOf(cycle), kind.across)));
          return shuffled(samples, hashSeed('replay', ...seedOf(cycle)));
        }),
      };
    });
  const inPool = pool.reduce((sum, { count }) => sum + count, 0);
  const drawn = Math.min(inPool, Math.round((ownCount * share) / (1 - share)));
  return { own, pool, ownCount, drawn };
}

function imageIn(images: ReadonlyMap<number, PreparedImage>, id: number): PreparedImage {
  const image = images.get(id);
  if (!image) throw new RangeError(`Image ${id} is selected for training, but is not among the prepared images.`);
  return image;
}

/** The last answer is kept: batches ask for one epoch many times over, and then for the next. */
function remembered<T>(answer: (n: number) => T): (n: number) => T {
  let last: { readonly n: number; readonly value: T } | null = null;
  return (n) => {
    if (last?.n !== n) last = { n, value: answer(n) };
    return last.value;
  };
}
