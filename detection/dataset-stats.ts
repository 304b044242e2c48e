/** What a dataset holds, in numbers: counts, sizes of targets, and the input a detector needs for them. */

import { quantile } from './bootstrap.ts';
import type { Annotation, Category, Split } from './types.ts';

export interface StatsDataset {
  readonly categories: readonly Category[];
  readonly images: readonly {
    readonly id: number;
    readonly width: number;
    readonly height: number;
    readonly split: Split | null;
    readonly group: string;
  }[];
  readonly annotations: readonly Annotation[];
}

/** Shares of the targets that are smaller: [tenth, quarter, median, three quarters, nine tenths]. */
export type Quantiles = readonly [number, number, number, number, number];

export interface DatasetStats {
  readonly images: number;
  readonly groups: number;
  readonly imagesWithoutBox: number;
  /** Crowds and ignore regions are counted here and nowhere else. */
  readonly ignored: number;
  readonly boxes: number;
  readonly perSplit: readonly {
    /** `none` where the folder names no split. */
    readonly split: Split | 'none';
    readonly images: number;
    readonly groups: number;
    readonly boxes: number;
    /** Boxes by category name. */
    readonly perCategory: Readonly<Record<string, number>>;
  }[];
  readonly perCategory: readonly {
    readonly name: string;
    readonly boxes: number;
    /** Square root of the box's share of the image's area; null without boxes. */
    readonly relativeSide: Quantiles | null;
  }[];
  readonly relativeSide: Quantiles | null;
  readonly sidePx: Quantiles | null;
  readonly suggestion: InputSuggestion | null;
}

export interface InputSuggestion {
  /** Side of the square input in pixels, a multiple of 32. */
  readonly imageSize: number;
  readonly strides: readonly number[];
  /** Why, in a sentence. */
  readonly reason: string;
}

const SHARES = [0.1, 0.25, 0.5, 0.75, 0.9] as const;

/** Two cells of stride 8: smaller targets share their cell with their neighbours, and their anchor is mostly border. */
const CLEAR_SIDE_PX = 16;
const MIN_INPUT_PX = 160;
const MAX_INPUT_PX = 1280;

export function datasetStats(dataset: StatsDataset): DatasetStats {
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const boxes = dataset.annotations.filter(({ imageId, crowd, ignore }) => images.has(imageId) && !crowd && !ignore);
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  const sidePx = (annotation: Annotation): number => {
    const [x1, y1, x2, y2] = annotation.box;
    return Math.sqrt((x2 - x1) * (y2 - y1));
  };
  const relativeSide = (annotation: Annotation): number => {
    const { width, height } = images.get(annotation.imageId)!;
    return sidePx(annotation) / Math.sqrt(width * height);
  };
  const count = (list: readonly Annotation[]): Record<string, number> =>
    Object.fromEntries(
      [...names].map(([id, name]) => [name, list.filter(({ categoryId }) => categoryId === id).length]),
    );

  const splits = [...new Set(dataset.images.map(({ split }) => split))];
  const order: readonly (Split | null)[] = ['train', 'val', 'test', null];
  return {
    images: dataset.images.length,
    groups: new Set(dataset.images.map(({ group }) => group)).size,
    imagesWithoutBox: dataset.images.length - new Set(boxes.map(({ imageId }) => imageId)).size,
    ignored: dataset.annotations.length - boxes.length,
    boxes: boxes.length,
    perSplit: order
      .filter((split) => splits.includes(split))
      .map((split) => {
        const own = dataset.images.filter((image) => image.split === split);
        const ownBoxes = boxes.filter(({ imageId }) => images.get(imageId)!.split === split);
        return {
          split: split ?? 'none',
          images: own.length,
          groups: new Set(own.map(({ group }) => group)).size,
          boxes: ownBoxes.length,
          perCategory: count(ownBoxes),
        };
      }),
    perCategory: dataset.categories.map(({ id, name }) => {
      const own = boxes.filter(({ categoryId }) => categoryId === id);
      return { name, boxes: own.length, relativeSide: quantiles(own.map(relativeSide)) };
    }),
    relativeSide: quantiles(boxes.map(relativeSide)),
    sidePx: quantiles(boxes.map(sidePx)),
    suggestion: suggestInput(
      dataset.images.map(({ width, height }) => Math.max(width, height)),
      // as a share of the longer side, which is what the letterbox keeps
      dataset.categories.map(({ id }) =>
        boxes
          .filter(({ categoryId }) => categoryId === id)
          .map((annotation) => {
            const { width, height } = images.get(annotation.imageId)!;
            return sidePx(annotation) / Math.max(width, height);
          }),
      ),
    ),
  };
}

/**
 * The smallest input in which three quarters of the targets of every category have 16 pixels or more, never larger than
 * the images are; where that is not enough, a head at stride 4. `sharesByCategory` holds the sides of the targets as
 * shares of their image's longer side. Null without targets.
 */
export function suggestInput(
  longerSidesPx: readonly number[],
  sharesByCategory: readonly (readonly number[])[],
): InputSuggestion | null {
  const quarters = sharesByCategory.flatMap((shares) => quantiles(shares)?.[1] ?? []);
  if (quarters.length === 0 || longerSidesPx.length === 0) return null;
  const quarter = Math.min(...quarters);
  const sides = [...longerSidesPx].sort((a, b) => a - b);
  const largest = Math.min(MAX_INPUT_PX, Math.ceil(quantile(sides, 0.5) / 32) * 32);
  const wanted = Math.max(MIN_INPUT_PX, Math.ceil(CLEAR_SIDE_PX / quarter / 32) * 32);
  const imageSize = Math.min(wanted, largest);
  const side = Math.round(quarter * imageSize);
  const whose = quarters.length > 1 ? ' of the smallest category' : '';
  const isClear = quarter * imageSize >= CLEAR_SIDE_PX;
  return {
    imageSize,
    strides: isClear ? [8, 16, 32] : [4, 8, 16, 32],
    reason: isClear
      ? `At ${imageSize} px three quarters of the targets${whose} have a side of ${side} px or more, which stride 8 resolves.`
      : `At ${imageSize} px, the size of the images, a quarter of the targets${whose} are under ${side} px: they need a head at stride 4.`,
  };
}

function quantiles(values: readonly number[]): Quantiles | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return SHARES.map((share) => quantile(sorted, share)) as unknown as Quantiles;
}
