/**
 * Changes to a training image that keep its labels true: flip, colour, scale and shift, mosaic of four; and canvases of
 * windows. An image has the side of the network's input, and is written at a side of its own.
 */

import type { Random } from '../random.ts';
import type { Box } from '../types.ts';
import { frameOf, paddingGrey } from './input.ts';
import type { PreparedImage, TrainOptions } from './types.ts';

export type AugmentOptions = TrainOptions['augment'];

/** Less than this share of a box, or fewer pixels of a side, is too little to be found: it becomes an ignore region. */
const shareLeftMin = 0.2;
const sideLeftMinPx = 2;
/** A window shows a part of an image on purpose: less than this share of a box in it is not what it was cut out for. */
const shareInWindowMin = 0.4;

/** The four images of a mosaic stand at this mean scale: between four whole images (0.5) and four crops (1). */
const mosaicScale = 0.75;
/** The meeting point of the four lies this far from the edges, as a share of the side. */
const mosaicMargin = 0.3;

/** Labels of an augmented image, [N*4] xyxy in input pixels. */
export interface AugmentedLabels {
  readonly boxes: Float32Array;
  readonly classes: Int32Array;
  readonly ignore: Float32Array;
  /** [N] weight of each box's loss. */
  readonly weights: Float32Array;
}

/** A part of an image, in its input pixels. */
export interface ImageWindow {
  readonly image: PreparedImage;
  readonly window: Box;
}

/** Pixels x1 <= x < x2, y1 <= y < y2 of the output. */
interface Region {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** Output = scale * input + offset, after mirroring left to right where `flip` says so. */
interface Placement {
  readonly flip: boolean;
  readonly scale: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** Rows of a 3x3 matrix on RGB. */
type ColourMatrix = readonly [number, number, number, number, number, number, number, number, number];

/** Writes the image as it is into `out` ([O*O*3]), larger or smaller where `outputSize` says so. */
export function copyImage(
  image: PreparedImage,
  inputSize: number,
  out: Uint8Array,
  outputSize = inputSize,
): AugmentedLabels {
  if (outputSize === inputSize) {
    out.set(image.pixels);
    const { boxes, classes, ignore } = image;
    return { boxes, classes, ignore, weights: image.weights ?? new Float32Array(classes.length).fill(1) };
  }
  const placement: Placement = { flip: false, scale: outputSize / inputSize, offsetX: 0, offsetY: 0 };
  const region: Region = { x1: 0, y1: 0, x2: outputSize, y2: outputSize };
  const labels = collectLabels();
  drawRegion(image, inputSize, placement, region, null, out, outputSize);
  labels.add(image, inputSize, placement, region);
  return labels.done();
}

/** Writes one image, changed as the numbers of `random` say, into `out` ([O*O*3]). */
export function augmentImage(
  image: PreparedImage,
  inputSize: number,
  options: AugmentOptions,
  random: Random,
  out: Uint8Array,
  outputSize = inputSize,
): AugmentedLabels {
  const flip = drawFlip(options, random);
  const colour = drawColour(options.colour, random);
  const scale = (outputSize / inputSize) * drawScale(options.scale, random);
  const shiftX = (2 * random.next() - 1) * options.shift * outputSize;
  const shiftY = (2 * random.next() - 1) * options.shift * outputSize;
  // Scaled about the centre.
  const centred = (outputSize - inputSize * scale) / 2;
  const placement: Placement = { flip, scale, offsetX: centred + shiftX, offsetY: centred + shiftY };
  const region: Region = { x1: 0, y1: 0, x2: outputSize, y2: outputSize };
  const labels = collectLabels();
  drawRegion(image, inputSize, placement, region, colour, out, outputSize);
  labels.add(image, inputSize, placement, region);
  return labels.done();
}

/** Writes four images around a random point into `out` ([O*O*3]) (Bochkovskiy et al. 2020, YOLOv4). */
export function mosaic(
  images: readonly [PreparedImage, PreparedImage, PreparedImage, PreparedImage],
  inputSize: number,
  options: AugmentOptions,
  random: Random,
  out: Uint8Array,
  outputSize = inputSize,
): AugmentedLabels {
  const middle = (): number => Math.round(outputSize * (mosaicMargin + (1 - 2 * mosaicMargin) * random.next()));
  const x = middle();
  const y = middle();
  const regions: readonly Region[] = [
    { x1: 0, y1: 0, x2: x, y2: y },
    { x1: x, y1: 0, x2: outputSize, y2: y },
    { x1: 0, y1: y, x2: x, y2: outputSize },
    { x1: x, y1: y, x2: outputSize, y2: outputSize },
  ];
  const labels = collectLabels();
  for (const [index, region] of regions.entries()) {
    const image = images[index]!;
    const flip = drawFlip(options, random);
    const colour = drawColour(options.colour, random);
    const scale = mosaicScale * (outputSize / inputSize) * drawScale(options.scale, random);
    const content = frameOf(image.width, image.height, inputSize);
    // Any part of the image may show; one smaller than its region may lie anywhere in it.
    const slackX = region.x2 - region.x1 - content.contentWidth * scale;
    const slackY = region.y2 - region.y1 - content.contentHeight * scale;
    const padX = flip ? inputSize - image.padX - content.contentWidth : image.padX;
    const placement: Placement = {
      flip,
      scale,
      offsetX: region.x1 + slackX * random.next() - padX * scale,
      offsetY: region.y1 + slackY * random.next() - image.padY * scale,
    };
    drawRegion(image, inputSize, placement, region, colour, out, outputSize);
    labels.add(image, inputSize, placement, region);
  }
  return labels.done();
}

/**
 * Writes windows of images into the cells of a grid on grey, each somewhere in its cell and never larger than it is in
 * its image; `options` and `random` are null where nothing is to be changed.
 */
export function canvasOfWindows(
  windows: readonly ImageWindow[],
  cellsAcross: number,
  inputSize: number,
  options: AugmentOptions | null,
  randomOf: (window: number) => Random,
  out: Uint8Array,
  outputSize = inputSize,
): AugmentedLabels {
  out.fill(paddingGrey);
  const labels = collectLabels();
  for (const [index, { image, window }] of windows.entries()) {
    const random = randomOf(index);
    const flip = options !== null && drawFlip(options, random);
    const colour = options === null ? null : drawColour(options.colour, random);
    const jitter = options === null ? 1 : Math.min(1, drawScale(options.scale, random));
    const scale = (outputSize / inputSize) * jitter;
    const edge = (line: number): number => Math.round((line * outputSize) / cellsAcross);
    const cell = { column: index % cellsAcross, line: Math.floor(index / cellsAcross) };
    const along = (from: number, to: number, length: number): { from: number; to: number } => {
      const size = Math.min(to - from, Math.max(1, Math.round(length * scale)));
      const start = from + Math.floor((to - from - size + 1) * (options === null ? 0.5 : random.next()));
      return { from: start, to: start + size };
    };
    const across = along(edge(cell.column), edge(cell.column + 1), window[2] - window[0]);
    const down = along(edge(cell.line), edge(cell.line + 1), window[3] - window[1]);
    const region: Region = { x1: across.from, y1: down.from, x2: across.to, y2: down.to };
    const left = flip ? inputSize - window[2] : window[0];
    const placement: Placement = {
      flip,
      scale,
      offsetX: region.x1 - left * scale,
      offsetY: region.y1 - window[1] * scale,
    };
    drawRegion(image, inputSize, placement, region, colour, out, outputSize);
    labels.add(image, inputSize, placement, region, shareInWindowMin);
  }
  return labels.done();
}

function drawFlip(options: AugmentOptions, random: Random): boolean {
  // The number is drawn in any case, so that one switch does not change what the others do.
  return random.next() < 0.5 && options.flip;
}

function drawScale(strength: number, random: Random): number {
  return Math.max(0.05, 1 + (2 * random.next() - 1) * strength);
}

/**
 * Hue, saturation and value as one linear map, because a conversion to HSV and back costs more than all the rest.
 * Hue turns about the grey axis (the matrix of SVG's feColorMatrix `hueRotate`), saturation stretches away from it.
 */
function drawColour(strength: number, random: Random): ColourMatrix | null {
  const hue = (2 * random.next() - 1) * strength * 0.05 * 2 * Math.PI;
  const saturation = 1 + (2 * random.next() - 1) * strength * 0.7;
  const value = 1 + (2 * random.next() - 1) * strength * 0.4;
  if (strength === 0) return null;
  const c = value * saturation * Math.cos(hue);
  const s = value * saturation * Math.sin(hue);
  const [red, green, blue] = [0.213, 0.715, 0.072];
  return [
    value * red + c * (1 - red) - s * red,
    value * green - c * green - s * green,
    value * blue - c * blue + s * (1 - blue),
    value * red - c * red + s * 0.143,
    value * green + c * (1 - green) + s * 0.14,
    value * blue - c * blue - s * 0.283,
    value * red - c * red - s * (1 - red),
    value * green - c * green + s * green,
    value * blue + c * (1 - blue) + s * blue,
  ];
}

/** Where each column (or row) of a region is read in the source. */
interface Taps {
  /** Columns first <= x < end have a source; the others are padding. */
  readonly first: number;
  readonly end: number;
  /** Index of the nearer-left (upper) source pixel and of its neighbour, and the neighbour's weight. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weight: Float32Array;
}

function tapsOf(
  from: number,
  to: number,
  scale: number,
  offset: number,
  mirror: number | null,
  contentFrom: number,
  contentTo: number,
): Taps {
  const low = new Int32Array(to - from);
  const high = new Int32Array(to - from);
  const weight = new Float32Array(to - from);
  let first = to;
  let end = from;
  for (let x = from; x < to; x++) {
    const placed = (x + 0.5 - offset) / scale;
    const source = mirror === null ? placed : mirror - placed;
    if (source < contentFrom || source >= contentTo) continue;
    if (x < first) first = x;
    end = x + 1;
    const position = Math.min(contentTo - 1, Math.max(contentFrom, source - 0.5));
    const left = Math.floor(position);
    low[x - from] = left;
    high[x - from] = Math.min(contentTo - 1, left + 1);
    weight[x - from] = position - left;
  }
  return { first: Math.min(first, end), end, low, high, weight };
}

/** Fills a region of `out` from the image, bilinearly, and with grey where the image does not reach. */
function drawRegion(
  image: PreparedImage,
  inputSize: number,
  placement: Placement,
  region: Region,
  colour: ColourMatrix | null,
  out: Uint8Array,
  outputSize: number,
): void {
  const { contentWidth, contentHeight } = frameOf(image.width, image.height, inputSize);
  const { scale, offsetX, offsetY } = placement;
  const mirror = placement.flip ? inputSize : null;
  const columns = tapsOf(region.x1, region.x2, scale, offsetX, mirror, image.padX, image.padX + contentWidth);
  const rows = tapsOf(region.y1, region.y2, scale, offsetY, null, image.padY, image.padY + contentHeight);
  // Stores into a clamped array round and clamp: colours may have left 0..255.
  const target = new Uint8ClampedArray(out.buffer, out.byteOffset, out.byteLength);
  const sourceRow = rowReader(image.pixels, inputSize, columns, region.x1, colour);
  const from = (columns.first - region.x1) * 3;
  const to = (columns.end - region.x1) * 3;
  for (let y = region.y1; y < region.y2; y++) {
    const start = (y * outputSize + region.x1) * 3;
    const end = (y * outputSize + region.x2) * 3;
    if (y < rows.first || y >= rows.end) {
      target.fill(paddingGrey, start, end);
      continue;
    }
    target.fill(paddingGrey, start, start + from);
    target.fill(paddingGrey, start + to, end);
    const above = sourceRow(rows.low[y - region.y1]!);
    const below = sourceRow(rows.high[y - region.y1]!);
    const down = rows.weight[y - region.y1]!;
    blendRows(above, below, down, from, to, target, start);
  }
}

/** Rows of the source as the region's columns see them; the last two are kept, because two rows make one. */
function rowReader(
  source: Uint8Array,
  inputSize: number,
  taps: Taps,
  regionStart: number,
  colour: ColourMatrix | null,
): (row: number) => Float32Array {
  const kept = [0, 1].map(() => ({ row: -1, values: new Float32Array(taps.low.length * 3) }));
  return (row) => {
    const [older, newer] = kept as [(typeof kept)[number], (typeof kept)[number]];
    if (newer.row === row) return newer.values;
    if (older.row === row) return older.values;
    older.row = row;
    readRow(source, row * inputSize, taps, regionStart, older.values);
    if (colour !== null) recolour(older.values, colour);
    kept.reverse();
    return older.values;
  };
}

function readRow(source: Uint8Array, rowStart: number, taps: Taps, regionStart: number, values: Float32Array): void {
  const { low, high, weight } = taps;
  const end = taps.end - regionStart;
  for (let i = taps.first - regionStart; i < end; i++) {
    const a = (rowStart + low[i]!) * 3;
    const b = (rowStart + high[i]!) * 3;
    const across = weight[i]!;
    values[i * 3] = source[a]! + (source[b]! - source[a]!) * across;
    values[i * 3 + 1] = source[a + 1]! + (source[b + 1]! - source[a + 1]!) * across;
    values[i * 3 + 2] = source[a + 2]! + (source[b + 2]! - source[a + 2]!) * across;
  }
}

/** Bilinear steps and colours are linear maps, so they may come in any order, and a source row pays for its colours once. */
function recolour(values: Float32Array, colour: ColourMatrix): void {
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = colour;
  for (let i = 0; i < values.length; i += 3) {
    const red = values[i]!;
    const green = values[i + 1]!;
    const blue = values[i + 2]!;
    values[i] = rr * red + rg * green + rb * blue;
    values[i + 1] = gr * red + gg * green + gb * blue;
    values[i + 2] = br * red + bg * green + bb * blue;
  }
}

function blendRows(
  above: Float32Array,
  below: Float32Array,
  down: number,
  from: number,
  to: number,
  target: Uint8ClampedArray,
  start: number,
): void {
  for (let i = from; i < to; i++) target[start + i] = above[i]! + (below[i]! - above[i]!) * down;
}

/** Gathers the labels of the images that make up an output. */
function collectLabels(): {
  add(image: PreparedImage, inputSize: number, placement: Placement, region: Region, shareMin?: number): void;
  done(): AugmentedLabels;
} {
  const boxes: number[] = [];
  const classes: number[] = [];
  const ignore: number[] = [];
  const weights: number[] = [];
  return {
    add(image, inputSize, placement, region, shareMin = shareLeftMin) {
      for (let i = 0; i < image.classes.length; i++) {
        const { box, shareLeft } = placeBox(image.boxes, i * 4, inputSize, placement, region);
        if (!(shareLeft > 0)) continue;
        const side = Math.min(box[2] - box[0], box[3] - box[1]);
        if (shareLeft < shareMin || side < sideLeftMinPx) {
          ignore.push(...box);
        } else {
          boxes.push(...box);
          classes.push(image.classes[i]!);
          weights.push(image.weights?.[i] ?? 1);
        }
      }
      for (let i = 0; i < image.ignore.length; i += 4) {
        const { box, shareLeft } = placeBox(image.ignore, i, inputSize, placement, region);
        if (shareLeft > 0) ignore.push(...box);
      }
    },
    done: () => ({
      boxes: Float32Array.from(boxes),
      classes: Int32Array.from(classes),
      ignore: Float32Array.from(ignore),
      weights: Float32Array.from(weights),
    }),
  };
}

function placeBox(
  source: Float32Array,
  at: number,
  inputSize: number,
  placement: Placement,
  region: Region,
): { readonly box: readonly [number, number, number, number]; readonly shareLeft: number } {
  const { flip, scale, offsetX, offsetY } = placement;
  const left = (flip ? inputSize - source[at + 2]! : source[at]!) * scale + offsetX;
  const right = (flip ? inputSize - source[at]! : source[at + 2]!) * scale + offsetX;
  const top = source[at + 1]! * scale + offsetY;
  const bottom = source[at + 3]! * scale + offsetY;
  const box = [
    Math.max(region.x1, left),
    Math.max(region.y1, top),
    Math.min(region.x2, right),
    Math.min(region.y2, bottom),
  ] as const;
  const width = box[2] - box[0];
  const height = box[3] - box[1];
  const shareLeft = width > 0 && height > 0 ? (width * height) / ((right - left) * (bottom - top)) : 0;
  return { box, shareLeft };
}
