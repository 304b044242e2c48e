import { InferenceSession, Tensor as OnnxTensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { createDetectorModel } from '../../../detection/model/detect.ts';
import { exportOnnx } from '../../../detection/model/export-onnx.ts';
import { defaultTrainOptions, trainDetector } from '../../../detection/model/train.ts';
import { nms } from '../../../detection/nms.ts';
import type { Architecture, NamedTensor } from '../../../detection/types.ts';
import { published, usedWeights } from './published.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const twoKinds = [
  { id: 3, name: 'disc' },
  { id: 9, name: 'ring' },
];

test.each([
  { ...tiny, activation: 'mish' },
  { ...tiny, activation: 'silu', categories: twoKinds },
] as const satisfies readonly Architecture[])(
  'ONNX Runtime finds what the trained model finds: $activation',
  async (architecture: Architecture) => {
    const images = [1, 2, 3, 4].map((id) => discImage(id, architecture.imageSize));
    const options = { ...defaultTrainOptions, epochs: 20, batchSize: 4 };
    const { weights } = await trainDetector(quietJob(architecture, sourceOf(images, 4), options));
    await expectSame(architecture, weights, images.slice(0, 2));
  },
);

// The file of yolov4 has 256 MB; a busy machine takes its time over it.
test.each(['yolov4', 'yolov4-tiny'] as const)(
  'ONNX Runtime answers the same for the whole of %s',
  { timeout: 300_000 },
  async (structure) => {
    const architecture = published(structure, 64, twoKinds);
    await expectSame(architecture, usedWeights(architecture), [discImage(1, 64)]);
  },
);

/** Detections above a score, in both runtimes, to 1e-4 of a pixel and of the score. */
async function expectSame(
  architecture: Architecture,
  weights: readonly NamedTensor[],
  images: readonly ReturnType<typeof discImage>[],
): Promise<void> {
  const settings = { scoreFloor: 0.003, nmsIou: 0.6, maxPerImage: 20 };
  const detector = createDetectorModel(architecture, weights, { batchSize: images.length });
  const ours = detector.detect(images, settings);
  detector.dispose();
  expect(ours.score.length).toBeGreaterThan(0);

  const session = await InferenceSession.create(exportOnnx(architecture, weights));
  const side = architecture.imageSize;
  // Channel by channel, and several images at once.
  const input = new Float32Array(images.length * 3 * side * side);
  for (const [i, { pixels }] of images.entries()) {
    for (let p = 0; p < side * side; p++) {
      for (let c = 0; c < 3; c++) input[(i * 3 + c) * side * side + p] = pixels[p * 3 + c]! / 255;
    }
  }
  const { boxes, scores } = await session.run({
    images: new OnnxTensor('float32', input, [images.length, 3, side, side]),
  });
  await session.release();
  const [, rows, classes] = scores!.dims as [number, number, number];
  expect(boxes!.dims).toEqual([images.length, rows, 4]);
  expect(classes).toBe(architecture.categories.length);

  const found: { image: number; category: number; score: number; box: number[] }[] = [];
  for (const [i, { imageId }] of images.entries()) {
    const ofImage: typeof found = [];
    for (const [c, { id }] of architecture.categories.entries()) {
      const kept = Array.from({ length: rows }, (_, row) => ({
        image: imageId,
        category: id,
        score: scores!.data[(i * rows + row) * classes + c] as number,
        box: Array.from(boxes!.data.slice((i * rows + row) * 4, (i * rows + row) * 4 + 4) as Float32Array)
          // The letterbox of these images is the identity, but for what sticks out.
          .map((value) => Math.min(side, Math.max(0, value))),
      })).filter(({ score, box }) => score >= settings.scoreFloor && box[2]! > box[0]! && box[3]! > box[1]!);
      const order = nms(
        Float64Array.from(kept.flatMap(({ box }) => box)),
        Float64Array.from(kept, ({ score }) => score),
        settings.nmsIou,
      );
      ofImage.push(...Array.from(order, (k) => kept[k]!));
    }
    found.push(...ofImage.sort((a, b) => b.score - a.score).slice(0, settings.maxPerImage));
  }
  expect(found.map(({ image }) => image)).toEqual(Array.from(ours.image));
  expect(found.map(({ category }) => category)).toEqual(Array.from(ours.category));
  for (const [i, { score, box }] of found.entries()) {
    expect(Math.abs(score - ours.score[i]!)).toBeLessThan(1e-4);
    for (const [j, edge] of box.entries()) expect(Math.abs(edge - ours.box[i * 4 + j]!)).toBeLessThan(1e-4);
  }
}
