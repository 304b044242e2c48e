/** Small made-up images for the tests of this folder: coloured discs on noise. */

import type { Batch, BatchSource, PreparedImage, TrainJob, TrainOptions } from '../../../detection/model/types.ts';
import { createRandom, hashSeed } from '../../../detection/random.ts';
import type { Architecture } from '../../../detection/types.ts';

/** The smallest network that still has every part. */
export const tiny: Architecture = {
  depth: 0.1,
  width: 0.125,
  strides: [4, 8, 16],
  anchors: [[[8, 8]], [[16, 16]], [[32, 32]]],
  activation: 'leaky',
  imageSize: 48,
  categories: [{ id: 3, name: 'disc' }],
};

export function discImage(imageId: number, size = 48, discs = 2): PreparedImage {
  const random = createRandom(hashSeed('disc', imageId));
  const pixels = Uint8Array.from({ length: size * size * 3 }, () => 60 + random.int(60));
  const boxes: number[] = [];
  for (let i = 0; i < discs; i++) {
    const radius = 4 + random.next() * 3;
    // Each in its own band, so that no two overlap.
    const cx = radius + (size - 2 * radius) * random.next();
    const cy = (size / discs) * i + radius + (size / discs - 2 * radius) * random.next();
    for (let y = Math.floor(cy - radius); y < cy + radius; y++) {
      for (let x = Math.floor(cx - radius); x < cx + radius; x++) {
        if ((x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 > radius ** 2) continue;
        pixels.set([230 - random.int(20), 200, 40], (y * size + x) * 3);
      }
    }
    boxes.push(cx - radius, cy - radius, cx + radius, cy + radius);
  }
  return {
    imageId,
    pixels,
    scale: 1,
    padX: 0,
    padY: 0,
    width: size,
    height: size,
    boxes: Float32Array.from(boxes),
    classes: new Int32Array(discs),
    annotationIds: Array.from({ length: discs }, (_, i) => `${imageId}-${i}`),
    ignore: new Float32Array(0),
  };
}

export function batchOf(images: readonly PreparedImage[]): Batch {
  const bytes = images[0]!.pixels.length;
  const pixels = new Uint8Array(bytes * images.length);
  for (const [i, image] of images.entries()) pixels.set(image.pixels, i * bytes);
  return {
    imageIds: images.map(({ imageId }) => imageId),
    pixels,
    boxes: images.map(({ boxes }) => boxes),
    classes: images.map(({ classes }) => classes),
    ignore: images.map(({ ignore }) => ignore),
  };
}

/** Goes through the images in order, again and again. */
export function sourceOf(images: readonly PreparedImage[], batchSize: number): BatchSource {
  const stepsPerEpoch = images.length / batchSize;
  return {
    batchSize,
    stepsPerEpoch,
    batch: (step) => {
      const start = (step % stepsPerEpoch) * batchSize;
      return batchOf(images.slice(start, start + batchSize));
    },
  };
}

/** A job that trains on the source and tells nobody. */
export function quietJob(architecture: Architecture, source: BatchSource, options: TrainOptions): TrainJob {
  return {
    architecture,
    init: null,
    seed: 1,
    options: { ...options, batchSize: source.batchSize },
    source,
    resumeFrom: null,
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async () => 'go-on',
    onCheckpoint: async () => {},
  };
}
