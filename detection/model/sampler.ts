/** Which images make up each batch, as a pure function of the step, so that a resumed training needs no sampler state. */

import { createRandom, hashSeed } from '../random.ts';
import { type AugmentOptions, augmentImage, copyImage, mosaic } from './augment.ts';
import type { Batch, BatchSource, PreparedImage } from './types.ts';

export interface BatchSourceOptions {
  /** Images by id; all of `select` and of `replay.from` must be there. */
  readonly images: ReadonlyMap<number, PreparedImage>;
  readonly select: readonly number[];
  /** Ordinary images mixed in: their share of each epoch, drawn from those that are not in `select`. */
  readonly replay?: { readonly from: readonly number[]; readonly share: number };
  readonly batchSize: number;
  readonly inputSize: number;
  readonly seed: number;
  /** Null: images as they are. */
  readonly augment: AugmentOptions | null;
  /** Optimizer steps of the whole training; mosaic goes off in its last share. */
  readonly totalSteps: number;
}

/** Makes each batch when it is asked for. */
export interface DirectBatchSource extends BatchSource {
  batch(step: number): Batch;
}

/** Images of an epoch: those of `select`, and replayed ones for their share, each at most once. */
export function imagesPerEpoch(options: Pick<BatchSourceOptions, 'select' | 'replay'>): number {
  return new Set(options.select).size + replayCount(options.select, replayPool(options), options.replay?.share ?? 0);
}

export function stepsPerEpoch(options: Pick<BatchSourceOptions, 'select' | 'replay' | 'batchSize'>): number {
  return Math.ceil(imagesPerEpoch(options) / options.batchSize);
}

/**
 * Epochs follow one another without a gap: the batch of a step is a window of `batchSize` images on their endless list,
 * so no image is dropped or repeated at the end of an epoch, and a set smaller than a batch wraps around.
 */
export function createBatchSource(options: BatchSourceOptions): DirectBatchSource {
  const { images, batchSize, inputSize, seed, augment } = options;
  const select = [...new Set(options.select)].sort((a, b) => a - b);
  const pool = replayPool({ ...options, select });
  const drawn = replayCount(select, pool, options.replay?.share ?? 0);
  const perEpoch = select.length + drawn;
  if (perEpoch === 0) throw new RangeError('A training needs at least one image, but its selection is empty.');
  const imageOf = (id: number): PreparedImage => {
    const image = images.get(id);
    if (!image) throw new RangeError(`Image ${id} is selected for training, but is not among the prepared images.`);
    return image;
  };
  const mosaicEnds = options.totalSteps * (1 - (augment?.mosaicOffShare ?? 0));

  let cached: { epoch: number; order: Int32Array } | null = null;
  const orderOf = (epoch: number): Int32Array => {
    if (cached?.epoch === epoch) return cached.order;
    const order = new Int32Array(perEpoch);
    order.set(select);
    // Replayed images are taken from one shuffled list after another, so that all come equally often.
    for (let i = 0; i < drawn; i++) {
      const position = epoch * drawn + i;
      const cycle = Math.floor(position / pool.length);
      order[select.length + i] = poolOrder(cycle)[position % pool.length]!;
    }
    shuffle(order, hashSeed('order', seed, epoch));
    cached = { epoch, order };
    return order;
  };
  let cachedPool: { cycle: number; order: Int32Array } | null = null;
  const poolOrder = (cycle: number): Int32Array => {
    if (cachedPool?.cycle === cycle) return cachedPool.order;
    const order = Int32Array.from(pool);
    shuffle(order, hashSeed('replay', seed, cycle));
    cachedPool = { cycle, order };
    return order;
  };

  const imageBytes = inputSize * inputSize * 3;
  return {
    batchSize,
    stepsPerEpoch: Math.ceil(perEpoch / batchSize),
    batch(step: number): Batch {
      const imageIds: number[] = [];
      const pixels = new Uint8Array(batchSize * imageBytes);
      const boxes: Float32Array[] = [];
      const classes: Int32Array[] = [];
      const ignore: Float32Array[] = [];
      for (let i = 0; i < batchSize; i++) {
        const position = step * batchSize + i;
        const epoch = Math.floor(position / perEpoch);
        const order = orderOf(epoch);
        const id = order[position % perEpoch]!;
        const out = pixels.subarray(i * imageBytes, (i + 1) * imageBytes);
        const labels = (() => {
          if (!augment) return copyImage(imageOf(id), out);
          const random = createRandom(hashSeed('augment', seed, epoch, id));
          if (random.next() < augment.mosaic && step < mosaicEnds) {
            const other = (): PreparedImage => imageOf(order[random.int(perEpoch)]!);
            return mosaic([imageOf(id), other(), other(), other()], inputSize, augment, random, out);
          }
          return augmentImage(imageOf(id), inputSize, augment, random, out);
        })();
        imageIds.push(id);
        boxes.push(labels.boxes);
        classes.push(labels.classes);
        ignore.push(labels.ignore);
      }
      return { imageIds, pixels, boxes, classes, ignore };
    },
  };
}

function replayPool(options: Pick<BatchSourceOptions, 'select' | 'replay'>): readonly number[] {
  if (!options.replay) return [];
  const selected = new Set(options.select);
  return [...new Set(options.replay.from)].filter((id) => !selected.has(id)).sort((a, b) => a - b);
}

function replayCount(select: readonly number[], pool: readonly number[], share: number): number {
  if (!(share >= 0 && share < 1)) {
    throw new RangeError(`The share of replayed images is ${share}, expected at least 0 and less than 1.`);
  }
  return Math.min(pool.length, Math.round((new Set(select).size * share) / (1 - share)));
}

/** Fisher and Yates, in place. */
function shuffle(values: Int32Array, seed: number): void {
  const random = createRandom(seed);
  for (let i = values.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    const value = values[i]!;
    values[i] = values[j]!;
    values[j] = value;
  }
}
