/** The size of each batch of a training on several sizes. */

import { hashSeed } from '../random.ts';
import type { TrainOptions } from './types.ts';

export interface SizeOptions {
  /** The architecture's side, which is the middle of the range. */
  readonly inputSize: number;
  /** Sides are multiples of it: the architecture's largest stride. */
  readonly multipleOf: number;
  readonly multiScale: TrainOptions['multiScale'];
}

/** All sides that may occur, rising. */
export function batchSides({ inputSize, multipleOf, multiScale }: SizeOptions): number[] {
  if (multiScale.range === 0) return [inputSize];
  const from = Math.max(1, Math.ceil((inputSize * (1 - multiScale.range)) / multipleOf));
  const to = Math.floor((inputSize * (1 + multiScale.range)) / multipleOf);
  return Array.from({ length: to - from + 1 }, (_, i) => (from + i) * multipleOf);
}

/** Side of the batch of a step: a function of seed and step alone. */
export function batchSideAt(options: SizeOptions, seed: number, step: number): number {
  const sides = batchSides(options);
  const drawn = hashSeed('side', seed, Math.floor(step / options.multiScale.every));
  return sides[drawn % sides.length]!;
}
