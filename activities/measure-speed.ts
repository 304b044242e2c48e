/** In a TensorFlow process of its own: how fast such a net trains on as many threads as the process was started with. */

import { defaultTrainOptions } from '../detection/model/default-options.ts';
import type { Architecture } from '../detection/types.ts';
import type { NetShape } from './choose-threads.ts';

/** The first steps plan the graph. */
const warmUpSteps = 2;
const measuredSteps = 4;
/** A slow net is known to be slow after fewer steps. */
const measuredMs = 3_000;

/** Images a second: a few real training steps, on images of noise with a box each. */
export async function measureSpeed({ batchSize, categories, ...shape }: NetShape): Promise<number> {
  const { trainDetector } = await import('../detection/model/train.ts');
  const architecture: Architecture = {
    ...shape,
    anchors: shape.strides.map((stride) => [1, 2, 3].map((factor) => [stride * factor, stride * factor] as const)),
    categories: Array.from({ length: categories }, (_, i) => ({ id: i, name: String(i) })),
  };
  const side = shape.imageSize;
  const pixels = Uint8Array.from({ length: batchSize * side ** 2 * 3 }, (_, i) => (i * 2654435761) >>> 24);
  const each = <T>(value: T): T[] => Array.from({ length: batchSize }, () => value);
  const batch = {
    imageIds: each(0),
    pixels,
    boxes: each(Float32Array.of(side / 4, side / 4, side / 2, side / 2)),
    classes: each(Int32Array.of(0)),
    ignore: each(new Float32Array(0)),
  };
  let startedAt = 0;
  let measured = 0;
  let ms = 0;
  await trainDetector({
    architecture,
    init: null,
    seed: 0,
    options: { ...defaultTrainOptions, batchSize, epochs: 1 },
    source: { batchSize, stepsPerEpoch: warmUpSteps + measuredSteps + 1, batch: () => batch },
    resumeFrom: null,
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async (step) => {
      if (step === warmUpSteps) startedAt = performance.now();
      measured = step - warmUpSteps;
      ms = performance.now() - startedAt;
      const isEnough = measured >= measuredSteps || (measured > 0 && ms > measuredMs);
      return isEnough ? 'checkpoint-and-stop' : 'go-on';
    },
    onCheckpoint: async () => {},
  });
  return (1000 * measured * batchSize) / ms;
}
