/** Looks once at every image file of a folder: can it be decoded, how large is it, what does it show? */

import { availableParallelism } from 'node:os';
import type { ImageSize } from '../detection/formats/types.ts';
import { type DifferenceHash, differenceHash, imageSize } from './image-files.ts';

export interface ScannedImage {
  readonly size: ImageSize;
  readonly looks: DifferenceHash;
}

export interface ScanOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
}

/**
 * Each file with what was seen, or with the reason why it cannot be shown. The whole file is decoded: a cut-off JPEG
 * has a sound header, and would only be found hours later, in training.
 */
export async function scanImages(
  names: readonly string[],
  read: (name: string) => Promise<Uint8Array>,
  { signal, onProgress }: ScanOptions = {},
): Promise<Map<string, ScannedImage | Error>> {
  const seen = new Map<string, ScannedImage | Error>();
  const queue = names.values();
  const runner = async (): Promise<void> => {
    for (const name of queue) {
      signal?.throwIfAborted();
      // Outside of the try: a fault of the store says nothing about the image.
      const bytes = await read(name);
      try {
        const size = await imageSize(bytes);
        seen.set(name, { size, looks: await differenceHash(bytes) });
      } catch (error) {
        seen.set(name, new Error(reasonOf(error)));
      }
      onProgress?.(seen.size, names.length);
    }
  };
  // Decoding runs on sharp's own threads, so as many at once as there are cores keep them busy.
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, runner));
  return seen;
}

/** The decoder repeats itself over many lines; the first says it. */
function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}
