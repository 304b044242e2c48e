/** What the trainer and the threads that prepare its batches tell each other. */

import type { MessagePort } from 'node:worker_threads';
import type { BatchSourceOptions } from '../detection/model/sampler.ts';
import type { TargetOptions } from '../detection/model/targets.ts';
import type { Batch, PreparedImage } from '../detection/model/types.ts';
import type { Architecture } from '../detection/types.ts';
import type { PixelPlace } from './pixel-places.ts';

/** Everything that a batch is a function of, besides its step. */
export interface BatchRecipe {
  readonly source: BatchSourceOptions;
  readonly architecture: Architecture;
  readonly targets: TargetOptions;
}

/** An image without its pixels, and where they lie: in shared memory, or in the file of the pool. */
export interface SharedImage {
  readonly image: Omit<PreparedImage, 'pixels'>;
  readonly pixels: Uint8Array | PixelPlace;
}

/** What a thread is started with. It makes the steps first + index, first + index + count, ... */
export interface ThreadData {
  readonly recipe: Omit<BatchRecipe, 'source'> & { readonly source: Omit<BatchSourceOptions, 'images'> };
  readonly images: readonly SharedImage[];
  readonly control: Int32Array;
  /** Of each slot, pixels of the largest batch. */
  readonly slots: readonly Uint8Array[];
  readonly port: MessagePort;
  readonly index: number;
  readonly count: number;
  readonly first: number;
}

/** Sent before the slot is said to be filled, so that it is there when the trainer looks. */
export type FromThread =
  | { readonly step: number; readonly batch: Omit<Batch, 'pixels'>; readonly pixelCount: number }
  | { readonly step: number; readonly error: Error };

/**
 * The control block, [1 + 2 * slots] int32: whether to stop, and for each slot how often it was filled and how often it was
 * given back. Threads wait on these words and not for messages, which reach nobody whose thread is computing.
 */
export const STOP = 0;
export const filledWord = (slot: number): number => 1 + 2 * slot;
export const freedWord = (slot: number): number => 2 + 2 * slot;

/** Where a step goes, counted from the first one. */
export function slotOf(offset: number, slots: number): { readonly slot: number; readonly round: number } {
  return { slot: offset % slots, round: Math.floor(offset / slots) };
}
