/** What each image of an epoch is made of: whole images, and canvases of windows; and which ordinary ones are replayed. */

import { createRandom, hashSeed } from '../random.ts';
import type { Box } from '../types.ts';
import type { PreparedImage, SampleItem } from './types.ts';

/** A training image: an item alone, or the windows that share a canvas, `across` * `across` at most. */
export interface Sample {
  readonly items: readonly SampleItem[];
  /** Cells along a side of the canvas; 0: the whole image. */
  readonly across: number;
}

/** More windows than so many squared are too small to be worth a canvas of their own kind. */
const acrossMax = 4;

/** The same items in one order, each once. */
export function distinctItems(items: readonly SampleItem[]): SampleItem[] {
  const byKey = new Map(items.map((item) => [keyOf(item), item]));
  return [...byKey.values()].sort((a, b) => a.image - b.image || compareWindows(a.window, b.window));
}

export function keyOf({ image, window }: SampleItem): string {
  return window === undefined ? String(image) : `${image} ${window.join(' ')}`;
}

function compareWindows(a: Box | undefined, b: Box | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];
}

/** In input pixels, within what is to be seen of the image. */
export function windowInInput({ scale, padX, padY, width, height }: PreparedImage, window: Box): Box {
  return [
    Math.max(0, window[0]) * scale + padX,
    Math.max(0, window[1]) * scale + padY,
    Math.min(width, window[2]) * scale + padX,
    Math.min(height, window[3]) * scale + padY,
  ];
}

/** Items that make up one kind of sample: whole images, or windows of which `across` * `across` fit on a canvas. */
interface Kind {
  readonly across: number;
  readonly items: readonly SampleItem[];
}

/** Whole images first, then windows from the largest to the smallest. */
export function kindsOf(
  items: readonly SampleItem[],
  imageOf: (id: number) => PreparedImage,
  inputSize: number,
): Kind[] {
  const byAcross = new Map<number, SampleItem[]>();
  for (const item of items) {
    const across = item.window === undefined ? 0 : cellsAcross(imageOf(item.image), item.window, inputSize);
    const kind = byAcross.get(across);
    if (kind === undefined) byAcross.set(across, [item]);
    else kind.push(item);
  }
  return [...byAcross].sort(([a], [b]) => a - b).map(([across, items]) => ({ across, items }));
}

function cellsAcross(image: PreparedImage, window: Box, inputSize: number): number {
  const [x1, y1, x2, y2] = windowInInput(image, window);
  if (!(x2 > x1 && y2 > y1)) {
    throw new RangeError(`The window [${window.join(', ')}] shows nothing of image ${image.imageId}.`);
  }
  return Math.min(acrossMax, Math.max(1, Math.floor(inputSize / Math.max(x2 - x1, y2 - y1))));
}

/** So many samples do the items of a kind make. */
export function countSamples({ across, items }: Kind): number {
  return across === 0 ? items.length : Math.ceil(items.length / across ** 2);
}

/** Windows meet others on their canvas in every round; the last canvas of a kind is filled up with its first windows. */
export function samplesOf(kind: Kind, seed: number): Sample[] {
  const { across } = kind;
  if (across === 0) return kind.items.map((item) => ({ items: [item], across }));
  const order = shuffled(kind.items, seed);
  const size = across ** 2;
  return Array.from({ length: countSamples(kind) }, (_, i) => ({
    items: Array.from({ length: Math.min(size, order.length) }, (_, j) => order[(i * size + j) % order.length]!),
    across,
  }));
}

/** Fisher and Yates. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  const random = createRandom(seed);
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    const value = result[i]!;
    result[i] = result[j]!;
    result[j] = value;
  }
  return result;
}

/**
 * How many of each epoch's replayed samples come from each stratum: its share of the pool, made whole by the largest
 * remainder; what an epoch gave too little being made up for by those after it.
 */
export function createQuotas(sizes: readonly number[], drawn: number, seed: number): (epoch: number) => Quota {
  const total = sizes.reduce((a, b) => a + b, 0);
  const quotas: Quota[] = [];
  const given = sizes.map(() => 0);
  return (epoch) => {
    for (let e = quotas.length; e <= epoch; e++) {
      const before = [...given];
      const counts = sizes.map(() => 0);
      const order = shuffled([...sizes.keys()], hashSeed('strata', seed, e));
      const owed = (s: number): number => (drawn * (e + 1) * sizes[s]!) / total - given[s]!;
      for (let i = 0; i < drawn; i++) {
        const next = order.reduce((best, s) => (owed(s) > owed(best) ? s : best));
        counts[next]!++;
        given[next]!++;
      }
      quotas.push({ counts, before });
    }
    return quotas[epoch]!;
  };
}

interface Quota {
  /** Of each stratum in this epoch, and in all epochs before. */
  readonly counts: readonly number[];
  readonly before: readonly number[];
}
