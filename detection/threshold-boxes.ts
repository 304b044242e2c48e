/** Threshold boxes: false ground truths at empty places, whose margins say how far a network learns what is not there. */

import { groupByImage } from './annotations.ts';
import { createRandom, hashSeed } from './random.ts';
import type { Annotation, Box, ImageEntry } from './types.ts';

export const THRESHOLD_PREFIX = 'threshold-';

/**
 * As many as `share` of the boxes, over images drawn in proportion to nothing but chance. A box has the size and category
 * of one of the data's own, drawn at random, and overlaps no annotation (crowds and ignore regions included) and no other
 * threshold box. Fewer where the images are too crowded.
 */
export function thresholdBoxes(
  images: readonly Pick<ImageEntry, 'id' | 'width' | 'height'>[],
  annotations: readonly Annotation[],
  share: number,
  seed: number,
): Annotation[] {
  const ids = new Set(images.map(({ id }) => id));
  const own = annotations.filter((one) => ids.has(one.imageId) && !one.crowd && !one.ignore);
  const wanted = Math.round(own.length * share);
  const taken = new Map([...groupByImage(annotations)].map(([id, labels]) => [id, labels.map(({ box }) => box)]));
  const random = createRandom(hashSeed('threshold boxes', seed));
  const planted: Annotation[] = [];
  // Bounded, because a crowded set may have no room for as many.
  for (let attempt = 0; planted.length < wanted && attempt < wanted * 50; attempt++) {
    const image = images[random.int(images.length)]!;
    const like = own[random.int(own.length)]!;
    const width = like.box[2] - like.box[0];
    const height = like.box[3] - like.box[1];
    const x = random.next() * (image.width - width);
    const y = random.next() * (image.height - height);
    if (width > image.width || height > image.height) continue;
    const box: Box = [x, y, x + width, y + height];
    const others = taken.get(image.id) ?? [];
    if (others.some((other) => overlaps(other, box))) continue;
    taken.set(image.id, [...others, box]);
    planted.push({
      id: `${THRESHOLD_PREFIX}${planted.length + 1}`,
      imageId: image.id,
      categoryId: like.categoryId,
      box,
    });
  }
  return planted;
}

function overlaps(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
