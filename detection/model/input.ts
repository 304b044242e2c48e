/** A decoded image and its labels, brought into the square frame of the network's input. */

import type { Annotation, Category, ImageEntry } from '../types.ts';
import type { PreparedImage } from './types.ts';

/** The grey that fills what the image leaves of the square, as in YOLO's letterbox. */
export const paddingGrey = 114;

/** [H*W*3] uint8 RGB, rows from the top. */
export interface RgbImage {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Where an image lies in the square: input pixels = original pixels * scale + pad. */
export interface Frame {
  readonly scale: number;
  readonly padX: number;
  readonly padY: number;
  /** Extent of the scaled image in whole input pixels. */
  readonly contentWidth: number;
  readonly contentHeight: number;
}

/** The largest frame that keeps the aspect, centred; `width` and `height` are the original's. */
export function frameOf(width: number, height: number, inputSize: number): Frame {
  const scale = Math.min(inputSize / width, inputSize / height);
  const contentWidth = Math.min(inputSize, Math.max(1, Math.round(width * scale)));
  const contentHeight = Math.min(inputSize, Math.max(1, Math.round(height * scale)));
  return {
    scale,
    padX: Math.floor((inputSize - contentWidth) / 2),
    padY: Math.floor((inputSize - contentHeight) / 2),
    contentWidth,
    contentHeight,
  };
}

/**
 * [S*S*3] The image in its frame on grey. An image that has the content's size already (resized by its decoder, which
 * does that better) is copied; any other is resampled bilinearly.
 */
export function letterbox(image: RgbImage, frame: Frame, inputSize: number): Uint8Array {
  const { contentWidth, contentHeight } = frame;
  const expected = image.width * image.height * 3;
  if (image.pixels.length !== expected) {
    throw new RangeError(
      `An image of ${image.width} x ${image.height} pixels has ${image.pixels.length} bytes, expected ${expected} (RGB).`,
    );
  }
  const content =
    image.width === contentWidth && image.height === contentHeight
      ? image.pixels
      : resizeBilinear(image, contentWidth, contentHeight);
  if (contentWidth === inputSize && contentHeight === inputSize) return content;
  const square = new Uint8Array(inputSize * inputSize * 3).fill(paddingGrey);
  const rowBytes = contentWidth * 3;
  for (let row = 0; row < contentHeight; row++) {
    const target = ((row + frame.padY) * inputSize + frame.padX) * 3;
    square.set(content.subarray(row * rowBytes, (row + 1) * rowBytes), target);
  }
  return square;
}

/** Bilinear, pixel centres at halves, edges repeated. */
export function resizeBilinear(image: RgbImage, width: number, height: number): Uint8Array {
  const { pixels } = image;
  const out = new Uint8Array(width * height * 3);
  const stepX = image.width / width;
  const stepY = image.height / height;
  for (let y = 0; y < height; y++) {
    const sourceY = Math.min(image.height - 1, Math.max(0, (y + 0.5) * stepY - 0.5));
    const top = Math.floor(sourceY);
    const bottom = Math.min(image.height - 1, top + 1);
    const down = sourceY - top;
    for (let x = 0; x < width; x++) {
      const sourceX = Math.min(image.width - 1, Math.max(0, (x + 0.5) * stepX - 0.5));
      const left = Math.floor(sourceX);
      const right = Math.min(image.width - 1, left + 1);
      const across = sourceX - left;
      const a = (top * image.width + left) * 3;
      const b = (top * image.width + right) * 3;
      const c = (bottom * image.width + left) * 3;
      const d = (bottom * image.width + right) * 3;
      const target = (y * width + x) * 3;
      for (let channel = 0; channel < 3; channel++) {
        const above = pixels[a + channel]! + (pixels[b + channel]! - pixels[a + channel]!) * across;
        const below = pixels[c + channel]! + (pixels[d + channel]! - pixels[c + channel]!) * across;
        out[target + channel] = above + (below - above) * down + 0.5;
      }
    }
  }
  return out;
}

/** What a prepared image says of its labels: targets by class index, and the regions that are to be ignored. */
export type PreparedLabels = Pick<PreparedImage, 'boxes' | 'classes' | 'annotationIds' | 'ignore'>;

/**
 * Boxes in input pixels, clipped to the image. Crowds and ignore regions are ignored in training, and so is a category
 * that the detector does not know.
 */
export function prepareLabels(
  entry: Pick<ImageEntry, 'width' | 'height'>,
  frame: Frame,
  annotations: readonly Annotation[],
  categories: readonly Category[],
): PreparedLabels {
  const classOf = new Map(categories.map((category, index) => [category.id, index]));
  const boxes: number[] = [];
  const classes: number[] = [];
  const annotationIds: string[] = [];
  const ignore: number[] = [];
  for (const annotation of annotations) {
    const [x1, y1, x2, y2] = annotation.box;
    const left = Math.max(0, x1) * frame.scale + frame.padX;
    const top = Math.max(0, y1) * frame.scale + frame.padY;
    const right = Math.min(entry.width, x2) * frame.scale + frame.padX;
    const bottom = Math.min(entry.height, y2) * frame.scale + frame.padY;
    if (!(right > left && bottom > top)) continue;
    const index = classOf.get(annotation.categoryId);
    if (annotation.crowd || annotation.ignore || index === undefined) {
      ignore.push(left, top, right, bottom);
      continue;
    }
    boxes.push(left, top, right, bottom);
    classes.push(index);
    annotationIds.push(annotation.id);
  }
  return {
    boxes: Float32Array.from(boxes),
    classes: Int32Array.from(classes),
    annotationIds,
    ignore: Float32Array.from(ignore),
  };
}
