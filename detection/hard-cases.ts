/** Hard cases: the images in which a model errs, or the parts of them around its errors. */

import { coveredArea, errorBoxes, hardWindows, isWithin } from './hard-windows.ts';
import type { ImageMatches, Matches } from './match.ts';
import type { Box, Detections, ImageEntry } from './types.ts';

export interface HardCaseOptions {
  /** Whole images, or windows around the errors. */
  readonly scope: 'image' | 'crop';
  /** Side of a window as a share of its image's longer side. */
  readonly cropShare: number;
  /** Where the windows of the training set before are: what lies outside of them was no part of it. */
  readonly within?: ReadonlyMap<number, readonly Box[]>;
}

export interface HardCases {
  /** Rising. */
  readonly images: readonly number[];
  /** With scope `crop`; by image id. */
  readonly crops?: readonly { readonly image: number; readonly window: Box }[];
  /** Of the images looked at, or, with scope `crop`, of their area; 0..1. */
  readonly share: number;
}

/** `images` are those that may become hard cases. */
export function findHardCases(
  matches: Matches,
  detections: Detections,
  images: readonly ImageEntry[],
  { scope, cropShare, within }: HardCaseOptions,
): HardCases {
  const entries = new Map(images.map((entry) => [entry.id, entry]));
  const errorsOf = (image: ImageMatches): Box[] => {
    const windows = within?.get(image.imageId);
    const errors = errorBoxes(image, detections);
    return windows === undefined ? errors : errors.filter((box) => isWithin(box, windows));
  };
  const hard = matches.images
    .filter(({ imageId }) => entries.has(imageId))
    .map((image) => ({ entry: entries.get(image.imageId)!, errors: errorsOf(image) }))
    .filter(({ errors }) => errors.length > 0);
  const ids = hard.map(({ entry }) => entry.id);
  if (scope === 'image') return { images: ids, share: images.length === 0 ? 0 : ids.length / images.length };

  const windows = hard.map(({ entry, errors }) => ({
    entry,
    windows: hardWindows(errors, { width: entry.width, height: entry.height, share: cropShare }),
  }));
  const areaOf = ({ id, width, height }: ImageEntry): number => {
    const parts = within?.get(id);
    return parts === undefined ? width * height : coveredArea(parts);
  };
  const area = images.reduce((sum, entry) => sum + areaOf(entry), 0);
  const covered = windows.reduce((sum, { windows: own }) => sum + coveredArea(own), 0);
  return {
    images: ids,
    crops: windows.flatMap(({ entry, windows: own }) => own.map((window) => ({ image: entry.id, window }))),
    // windows may reach a little beyond those of the training set before
    share: area === 0 ? 0 : Math.min(1, covered / area),
  };
}
