/** The published networks with made-up weights, cheap to make: yolov4 has 64 million. */

import { PUBLISHED } from '../../../detection/model/darknet-networks.ts';
import { networkLayout } from '../../../detection/model/network.ts';
import { createRandom } from '../../../detection/random.ts';
import type { Architecture, Category, NamedTensor } from '../../../detection/types.ts';

export function published(
  structure: keyof typeof PUBLISHED,
  imageSize: number,
  categories: readonly Category[],
): Architecture {
  const { strides, anchors, activation } = PUBLISHED[structure];
  return { structure, depth: 1, width: 1, strides, anchors, activation, imageSize, categories };
}

/** Weights as after some training: no scale is 1, no mean 0, and values keep their size from layer to layer. */
export function usedWeights(architecture: Architecture): NamedTensor[] {
  const random = createRandom(2);
  const noise = Float32Array.from({ length: 65_537 }, () => random.normal());
  const { parameters, statistics } = networkLayout(architecture);
  return [...parameters, ...statistics].map(({ name, shape, size, kind }) => {
    const start = random.int(noise.length);
    const [centre, spread] = {
      kernel: [0, Math.sqrt(2 / (size / shape.at(-1)!))],
      scale: [0.9, 0.1],
      variance: [1, 0.1],
      mean: [0, 0.1],
      offset: [0.05, 0.05],
      bias: [0, 0.5],
    }[kind] as [number, number];
    const data = new Float32Array(size);
    for (let i = 0; i < size; i++) data[i] = centre + spread * noise[(start + i) % noise.length]!;
    if (kind === 'variance') for (let i = 0; i < size; i++) data[i] = Math.max(0.5, data[i]!);
    return { name, shape, data };
  });
}
