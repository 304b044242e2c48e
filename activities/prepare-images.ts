/** Images of the store decoded once into the frame of a network, and kept for as long as the process lives. */

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import sharp from 'sharp';
import { readBytes } from '../artifacts/codecs.ts';
import type { Store } from '../artifacts/store.ts';
import { groupByImage } from '../detection/annotations.ts';
import { type Frame, frameOf, letterbox, prepareLabels } from '../detection/model/input.ts';
import type { PreparedImage } from '../detection/model/types.ts';
import type { Annotation, Category, ImageEntry } from '../detection/types.ts';
import { type PixelPlace, readPixels } from './pixel-places.ts';

/** Pixels kept in memory; the rest lies in a file. */
const memoryMaxBytes = 1.5 * 2 ** 30;

/** [S*S*3] pixels in memory that all threads share, or their place in the file. */
type Pixels = Uint8Array | PixelPlace;

/** An image whose pixels are read from their file at each use, or lie in memory that all threads share. */
export interface StoredImage extends PreparedImage {
  readonly place: PixelPlace | null;
}

export interface ImagePool {
  /** Every entry with its annotations among `annotations`, in the order of `entries`. */
  prepare(
    entries: readonly ImageEntry[],
    annotations: readonly Annotation[],
    categories: readonly Category[],
    /** Weights of losses by annotation id; absent ones are 1. */
    weights?: Readonly<Record<string, number>>,
  ): Promise<StoredImage[]>;
}

export interface PoolOptions {
  readonly store: Store;
  /** Side of the square in pixels. */
  readonly inputSize: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
  /** For tests. */
  readonly memoryMaxBytes?: number;
}

/** An image that occurs again, under whatever labels, is not decoded again. */
export function createImagePool(options: PoolOptions): ImagePool {
  const { store, inputSize, signal } = options;
  const pixelsOf = new Map<string, Pixels>();
  const keep = createKeeper(inputSize * inputSize * 3, options.memoryMaxBytes ?? memoryMaxBytes);

  const decode = async (entry: ImageEntry): Promise<void> => {
    signal.throwIfAborted();
    const bytes = await readBytes(store, `image ${entry.fileName}`, entry.digest);
    pixelsOf.set(entry.digest, await keep(await decodeImage(entry, bytes, inputSize)));
  };

  return {
    async prepare(entries, annotations, categories, weights) {
      const missing = [...new Map(entries.map((entry) => [entry.digest, entry])).values()].filter(
        (entry) => !pixelsOf.has(entry.digest),
      );
      let done = 0;
      await forEachParallel(missing, async (entry) => {
        await decode(entry);
        options.onProgress?.(++done, missing.length);
      });
      const byImage = groupByImage(annotations);
      return entries.map((entry) => {
        const frame = frameOf(entry.width, entry.height, inputSize);
        const labels = prepareLabels(entry, frame, byImage.get(entry.id) ?? [], categories);
        const weighted = weights && {
          ...labels,
          weights: Float32Array.from(labels.annotationIds, (id) => weights[id] ?? 1),
        };
        return prepared(entry, frame, weighted ?? labels, pixelsOf.get(entry.digest)!);
      });
    },
  };
}

function prepared(
  entry: ImageEntry,
  frame: Frame,
  labels: ReturnType<typeof prepareLabels> & Pick<PreparedImage, 'weights'>,
  pixels: Pixels,
): StoredImage {
  return {
    imageId: entry.id,
    place: pixels instanceof Uint8Array ? null : pixels,
    get pixels() {
      return pixels instanceof Uint8Array ? pixels : readPixels(pixels);
    },
    scale: frame.scale,
    padX: frame.padX,
    padY: frame.padY,
    width: entry.width,
    height: entry.height,
    ...labels,
  };
}

/** Decoded, turned as EXIF says, in 8-bit RGB, scaled by the decoder's own filter, on grey. */
async function decodeImage(entry: ImageEntry, bytes: Buffer, inputSize: number): Promise<Uint8Array> {
  const frame = frameOf(entry.width, entry.height, inputSize);
  try {
    const { data, info } = await sharp(bytes, { failOn: 'truncated' })
      .autoOrient()
      .flatten({ background: '#727272' })
      .toColourspace('srgb')
      .resize(frame.contentWidth, frame.contentHeight, { fit: 'fill', kernel: 'linear' })
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels after decoding, expected 3`);
    return letterbox({ pixels: data, width: info.width, height: info.height }, frame, inputSize);
  } catch (error) {
    throw ApplicationFailure.nonRetryable(
      `Cannot decode the image ${entry.fileName} (object ${entry.digest}): ${(error as Error).message}. ` +
        'Replace the file and import the dataset again.',
      'UnreadableImage',
    );
  }
}

/** Keeps pixels in memory up to a bound, and beyond it in a file that is gone with the process, however that ends. */
function createKeeper(imageBytes: number, memoryMax: number): (pixels: Uint8Array) => Promise<Pixels> {
  let inMemory = 0;
  let file: number | null = null;
  let fileImages = 0;
  return async (pixels) => {
    if ((inMemory + 1) * imageBytes <= memoryMax) {
      inMemory++;
      const shared = new Uint8Array(new SharedArrayBuffer(imageBytes));
      shared.set(pixels);
      return shared;
    }
    file ??= await openUnnamedFile();
    const descriptor = file;
    const position = fileImages++ * imageBytes;
    writeSync(descriptor, pixels, 0, imageBytes, position);
    return { descriptor, position, bytes: imageBytes };
  };
}

async function openUnnamedFile(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-pixels-'));
  const descriptor = openSync(join(folder, 'pixels'), 'wx+', 0o600);
  // Removed while open: the space is given back when the process ends, also after SIGKILL.
  rmSync(folder, { recursive: true });
  process.once('exit', () => closeSync(descriptor));
  return descriptor;
}

/** Decoding runs on sharp's own threads, so as many at once as there are cores keep them busy. */
async function forEachParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const runner = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, runner));
}
