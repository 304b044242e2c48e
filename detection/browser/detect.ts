/**
 * Detection in a browser: what the export step writes as `detect.js` beside `model.json`. It takes TensorFlow.js as an
 * argument, so that a page can load that as it likes, and needs nothing else of this repository.
 *
 *     import * as tf from '@tensorflow/tfjs';
 *     import { loadDetector } from './model/detect.js';
 *     const detector = await loadDetector(tf, './model/model.json');
 *     const detections = await detector.detect(imageData);
 */

import { cellGrid } from '../model/cells.ts';
import { type DetectOptions, decodeRows } from '../model/decode-rows.ts';
import { frameOf, letterbox } from '../model/input.ts';
import type { Architecture } from '../types.ts';

/** What a page has as `ImageData`: [H*W*4] RGBA. Of a picture: draw it into a canvas and take `getImageData`. */
export interface RgbaImage {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Detection {
  /** xyxy, pixels of the image. */
  readonly box: readonly [number, number, number, number];
  /** 0..1 */
  readonly score: number;
  readonly categoryId: number;
  readonly category: string;
}

export interface Detector {
  /** As in the exported model: categories, input size. */
  readonly architecture: Architecture;
  /** Best first. Boxes of one category that overlap more than `nmsIou` (0.6) are suppressed; `scoreFloor` is 0.001 unless given. */
  detect(image: RgbaImage, options?: DetectOptions): Promise<Detection[]>;
  dispose(): void;
}

interface TensorLike {
  data(): Promise<Float32Array | Int32Array | Uint8Array>;
  dispose(): void;
}

interface GraphModelLike {
  readonly metadata: unknown;
  predict(inputs: never): unknown;
  dispose(): void;
}

/** What is used of TensorFlow.js. */
export interface TensorFlowJs {
  loadGraphModel(url: string): Promise<GraphModelLike>;
  tensor4d(values: Float32Array, shape: [number, number, number, number], type: 'float32'): TensorLike;
}

/** `url` is that of `model.json`; `weights.bin` must lie beside it. */
export async function loadDetector(tf: TensorFlowJs, url: string): Promise<Detector> {
  const model = await tf.loadGraphModel(url);
  const architecture = (model.metadata as { readonly architecture?: Architecture } | undefined)?.architecture;
  if (architecture === undefined) {
    model.dispose();
    throw new Error(`${url} has no architecture in its metadata; expected a model that "hardcase export" wrote.`);
  }
  const grid = cellGrid(architecture);
  const side = architecture.imageSize;
  const names = new Map(architecture.categories.map(({ id, name }) => [id, name]));
  return {
    architecture,
    async detect(image, options) {
      const { data, width, height } = image;
      const frame = frameOf(width, height, side);
      const square = letterbox({ pixels: rgbOf(data), width, height }, frame, side);
      const input = tf.tensor4d(Float32Array.from(square), [1, side, side, 3], 'float32');
      const output = model.predict({ pixels: input } as never) as TensorLike;
      const rows = (await output.data()) as Float32Array;
      input.dispose();
      output.dispose();
      const { boxes, scores, categories } = decodeRows(architecture, grid, { ...frame, width, height }, rows, options);
      return scores.map((score, i) => ({
        box: boxes.slice(i * 4, i * 4 + 4) as unknown as Detection['box'],
        score,
        categoryId: categories[i]!,
        category: names.get(categories[i]!)!,
      }));
    },
    dispose: () => model.dispose(),
  };
}

function rgbOf(rgba: RgbaImage['data']): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from]!;
    rgb[to++] = rgba[from + 1]!;
    rgb[to++] = rgba[from + 2]!;
  }
  return rgb;
}
