/**
 * The published YOLOv4 networks, layer by layer as in darknet's yolov4.cfg and yolov4-tiny.cfg (Bochkovskiy et al., 2020;
 * https://github.com/AlexeyAB/darknet). The order of the calls is the order of the layers there, and so of a `.weights` file.
 */

import type { Architecture } from '../types.ts';
import type { NetworkOps } from './network.ts';

export type DarknetStructure = Exclude<NonNullable<Architecture['structure']>, 'csp'>;

/** What a published network fixes, and the anchors and the input size that its weights were trained with. */
export interface PublishedNetwork {
  readonly activation: Architecture['activation'];
  readonly strides: readonly number[];
  readonly anchors: Architecture['anchors'];
  readonly imageSize: number;
}

export const PUBLISHED: Readonly<Record<DarknetStructure, PublishedNetwork>> = {
  yolov4: {
    // Of the backbone; the neck is leaky.
    activation: 'mish',
    strides: [8, 16, 32],
    anchors: [
      [
        [12, 16],
        [19, 36],
        [40, 28],
      ],
      [
        [36, 75],
        [76, 55],
        [72, 146],
      ],
      [
        [142, 110],
        [192, 243],
        [459, 401],
      ],
    ],
    imageSize: 608,
  },
  'yolov4-tiny': {
    activation: 'leaky',
    strides: [16, 32],
    anchors: [
      // The file's masks are 1,2,3 and 3,4,5: both heads have 81 x 82, and nobody has 10 x 14.
      [
        [23, 27],
        [37, 58],
        [81, 82],
      ],
      [
        [81, 82],
        [135, 169],
        [344, 319],
      ],
    ],
    imageSize: 416,
  },
};

/** Raw outputs of the heads in rising order of stride. */
export function runYolov4<T>(ops: NetworkOps<T>, image: T, headChannels: readonly number[]): T[] {
  const mish = (name: string, x: T, channels: number, size: number, stride = 1) =>
    ops.conv(name, x, channels, size, stride, 'mish');
  const leaky = (name: string, x: T, channels: number, size: number, stride = 1) =>
    ops.conv(name, x, channels, size, stride, 'leaky');

  // CSPDarknet53. The first stage keeps all its channels on both ways round; the others halve them.
  let x = mish('stem', image, 32, 3);
  const stages = new Map<number, T>();
  for (const { stride, channels, blocks } of [
    { stride: 2, channels: 64, blocks: 1 },
    { stride: 4, channels: 128, blocks: 2 },
    { stride: 8, channels: 256, blocks: 8 },
    { stride: 16, channels: 512, blocks: 8 },
    { stride: 32, channels: 1024, blocks: 4 },
  ]) {
    const name = `stage${stride}`;
    const inner = stride === 2 ? channels : channels / 2;
    x = mish(`${name}/down`, x, channels, 3, 2);
    const around = mish(`${name}/around`, x, inner, 1);
    let through = mish(`${name}/through`, x, inner, 1);
    for (let i = 0; i < blocks; i++) {
      const narrow = mish(`${name}/block${i}/a`, through, channels / 2, 1);
      through = ops.add(mish(`${name}/block${i}/b`, narrow, inner, 3), through);
    }
    through = mish(`${name}/out`, through, inner, 1);
    x = mish(`${name}/join`, ops.concat([through, around]), channels, 1);
    stages.set(stride, x);
  }

  /** Convolutions of 1 and 3 in turn, `count` in all; those of 3 have twice the channels. */
  const alternate = (name: string, from: T, channels: number, count: number): T => {
    let out = from;
    for (let i = 0; i < count; i++) {
      out = leaky(`${name}/${i}`, out, i % 2 === 0 ? channels : channels * 2, i % 2 === 0 ? 1 : 3);
    }
    return out;
  };

  // Spatial pyramid pooling: two and three pools of 5 in a row see the same windows as pools of 9 and 13.
  x = alternate('spp/in', x, 512, 3);
  const pool5 = ops.maxPool(x, 5, 1);
  const pool9 = ops.maxPool(pool5, 5, 1);
  const pool13 = ops.maxPool(pool9, 5, 1);
  const neck32 = alternate('spp/out', ops.concat([pool13, pool9, pool5, x]), 512, 3);

  // Path aggregation.
  const merge = (stride: number, coarser: T, channels: number): T => {
    const coarse = ops.upsample(leaky(`neck${stride}/coarse`, coarser, channels, 1));
    const lateral = leaky(`neck${stride}/lateral`, stages.get(stride)!, channels, 1);
    return alternate(`neck${stride}`, ops.concat([lateral, coarse]), channels, 5);
  };
  const neck16 = merge(16, neck32, 256);
  const neck8 = merge(8, neck16, 128);
  const head = (i: number, stride: number, from: T, channels: number): T =>
    ops.head(`head${stride}/out`, leaky(`head${stride}/features`, from, channels, 3), headChannels[i]!);
  const climb = (stride: number, finer: T, neck: T, channels: number): T => {
    const fine = leaky(`path${stride}/down`, finer, channels, 3, 2);
    return alternate(`path${stride}`, ops.concat([fine, neck]), channels, 5);
  };
  const out8 = head(0, 8, neck8, 256);
  const path16 = climb(16, neck8, neck16, 256);
  const out16 = head(1, 16, path16, 512);
  const path32 = climb(32, path16, neck32, 512);
  const out32 = head(2, 32, path32, 1024);
  return [out8, out16, out32];
}

/** Raw outputs of the heads in rising order of stride; in the file the coarse head comes first. */
export function runYolov4Tiny<T>(ops: NetworkOps<T>, image: T, headChannels: readonly number[]): T[] {
  const leaky = (name: string, x: T, channels: number, size: number, stride = 1) =>
    ops.conv(name, x, channels, size, stride, 'leaky');
  let x = leaky('stem', image, 32, 3, 2);
  x = leaky('stage4/down', x, 64, 3, 2);
  let lateral = x;
  for (const [stride, channels] of [
    [4, 64],
    [8, 128],
    [16, 256],
  ] as const) {
    const name = `stage${stride}`;
    x = leaky(`${name}/in`, x, channels, 3);
    const first = leaky(`${name}/a`, ops.secondHalf(x), channels / 2, 3);
    const second = leaky(`${name}/b`, first, channels / 2, 3);
    lateral = leaky(`${name}/join`, ops.concat([second, first]), channels, 1);
    x = ops.maxPool(ops.concat([x, lateral]), 2, 2);
  }
  x = leaky('stage32', x, 512, 3);
  const neck32 = leaky('neck32', x, 256, 1);
  const out32 = ops.head('head32/out', leaky('head32/features', neck32, 512, 3), headChannels[1]!);
  const coarse = ops.upsample(leaky('neck16/coarse', neck32, 128, 1));
  const features = leaky('head16/features', ops.concat([coarse, lateral]), 256, 3);
  const out16 = ops.head('head16/out', features, headChannels[0]!);
  return [out16, out32];
}
