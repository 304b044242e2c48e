/** What is measured: nets, and a batch of noise with boxes, the same for both sides. */

import { createTargetBuilder } from '../../detection/model/targets.ts';
import { defaultTrainOptions } from '../../detection/model/train.ts';
import type { Batch, PreparedImage, TrainOptions } from '../../detection/model/types.ts';
import { createRandom } from '../../detection/random.ts';
import type { Architecture } from '../../detection/types.ts';

export interface SpeedCase {
  readonly name: string;
  readonly architecture: Architecture;
  /** Times the better of PyTorch's eager layouts that training should reach. */
  readonly target: number | null;
  /** Training should be no slower than torch.compile. */
  readonly beatsCompile: boolean;
}

export const BATCH_SIZE = 16;

/** One update a batch, by momentum, without clipping. */
export const speedOptions: TrainOptions = {
  ...defaultTrainOptions,
  optimizer: 'momentum',
  batchSize: BATCH_SIZE,
  clip: { ...defaultTrainOptions.clip, by: 'off' },
};

export const speedCases: readonly SpeedCase[] = [
  speedCase('S-160', 0.125, 160, 'leaky', 1.5, true),
  speedCase('S-160-mish', 0.125, 160, 'mish', null, false),
  speedCase('M-160', 0.25, 160, 'leaky', 1.05, false),
  speedCase('S-320', 0.125, 320, 'leaky', 1.05, false),
  speedCase('M-320', 0.25, 320, 'leaky', 1.25, true),
];

function speedCase(
  name: string,
  width: number,
  imageSize: number,
  activation: Architecture['activation'],
  target: number | null,
  beatsCompile: boolean,
): SpeedCase {
  const anchors = [1, 2, 4].map((k) => [
    [10 * k, 10 * k] as const,
    [14 * k, 12 * k] as const,
    [16 * k, 18 * k] as const,
  ]);
  const categories = [{ id: 1, name: 'target' }];
  const architecture = { depth: 0.33, width, strides: [8, 16, 32], anchors, activation, imageSize, categories };
  return { name, architecture, target, beatsCompile };
}

export function caseNamed(name: string): SpeedCase {
  const found = speedCases.find((one) => one.name === name);
  if (found === undefined) {
    throw new Error(`There is no case "${name}". Cases: ${speedCases.map((one) => one.name).join(', ')}.`);
  }
  return found;
}

/** Seeded, so that every run and both sides do the same work. */
export function noiseImages({ imageSize }: Architecture): PreparedImage[] {
  const random = createRandom('speed');
  return Array.from({ length: BATCH_SIZE }, (_, imageId) => {
    const boxes = Array.from({ length: 8 }, () => {
      const [x, y] = [random.next() * (imageSize - 20), random.next() * (imageSize - 20)];
      return [x, y, x + 8 + random.next() * 12, y + 8 + random.next() * 12];
    });
    return {
      imageId,
      pixels: Uint8Array.from({ length: imageSize * imageSize * 3 }, () => random.int(256)),
      scale: 1,
      padX: 0,
      padY: 0,
      width: imageSize,
      height: imageSize,
      boxes: Float32Array.from(boxes.flat()),
      classes: new Int32Array(boxes.length),
      annotationIds: boxes.map((_box, i) => String(i)),
      ignore: new Float32Array(0),
    };
  });
}

/** The images as a batch with its targets: neither side spends measured time on making them. */
export function noiseBatch(architecture: Architecture, images: readonly PreparedImage[]) {
  const bytes = images[0]!.pixels.length;
  const pixels = new Uint8Array(images.length * bytes);
  for (const [i, image] of images.entries()) pixels.set(image.pixels, i * bytes);
  const batch: Batch = {
    imageIds: images.map(({ imageId }) => imageId),
    pixels,
    boxes: images.map(({ boxes }) => boxes),
    classes: images.map(({ classes }) => classes),
    ignore: images.map(({ ignore }) => ignore),
  };
  return { ...batch, targets: createTargetBuilder(architecture, BATCH_SIZE, speedOptions)(batch) };
}
