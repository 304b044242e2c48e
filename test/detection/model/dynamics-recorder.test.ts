/** Dynamics recorded during a training: the same numbers where it was stopped and went on. */

import { expect, test } from 'vitest';
import { courseOf, SERIES } from '../../../detection/dynamics.ts';
import { defaultTrainOptions } from '../../../detection/model/default-options.ts';
import { createDynamicsRecorder } from '../../../detection/model/dynamics-recorder.ts';
import { lossPerGroundTruth } from '../../../detection/model/loss-profile.ts';
import { trainDetector } from '../../../detection/model/train.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const images = [1, 2, 3, 4].map((id) => discImage(id));
const options = { ...defaultTrainOptions, epochs: 5 };
const job = () => quietJob(tiny, sourceOf(images, 2), options);

test('a training that was stopped and went on records the same, bit by bit', async () => {
  const whole = createDynamicsRecorder(images, 2);
  const { weights } = await trainDetector({ ...job(), profile: whole });

  let saved: Uint8Array | null = null;
  // In the middle of epoch 4, with one epoch recorded.
  await trainDetector({
    ...job(),
    profile: createDynamicsRecorder(images, 2),
    afterStep: async (step) => (step === 7 ? 'checkpoint-and-stop' : 'go-on'),
    onCheckpoint: async (_, bytes) => {
      saved = bytes;
    },
  });
  const rest = createDynamicsRecorder(images, 2);
  await trainDetector({ ...job(), profile: rest, resumeFrom: saved });

  expect(rest.dynamics()).toEqual(whole.dynamics());
  const dynamics = whole.dynamics();
  // Every second epoch, and the last.
  expect(dynamics.epochs).toEqual([2, 4, 5]);
  expect(dynamics.targets.map(({ annotationId }) => annotationId)).toEqual(images.flatMap((one) => one.annotationIds));
  for (const name of SERIES) expect(dynamics.series[name]).toHaveLength(8 * 3);

  // The last column is what the finished model's weights cost.
  const losses = lossPerGroundTruth(tiny, weights, images, options);
  for (const [t, loss] of losses.entries()) {
    for (const name of SERIES) expect(courseOf(dynamics, name, t)[2]).toBeCloseTo(loss[name], 5);
    // One category: the margin is the logit of p_true.
    expect(loss.margin).toBeCloseTo(Math.log(loss.pTrue / (1 - loss.pTrue)), 4);
  }
}, 60_000);

test('an epoch that is trained again is recorded as it was the last time', () => {
  const recorder = createDynamicsRecorder(images, 1);
  const losses = (total: number) => () =>
    images.flatMap(({ imageId, annotationIds }) =>
      annotationIds.map((annotationId) => {
        return { imageId, annotationId, total, box: 0, objectness: 0, class: 0, pTrue: 0, iou: 0, margin: 0 };
      }),
    );
  for (const [epoch, total] of [
    [1, 5],
    [2, 9],
    [3, 9],
    [2, 4],
    [3, 3],
  ] as const)
    recorder.after(epoch, losses(total));
  const dynamics = recorder.dynamics();
  expect(dynamics.epochs).toEqual([1, 2, 3]);
  expect(Array.from(courseOf(dynamics, 'total', 0))).toEqual([5, 4, 3]);
});

test('a recorder refuses the arrays of other images', () => {
  const recorder = createDynamicsRecorder(images, 1);
  expect(() => recorder.load({ epochs: Float32Array.of(1), total: new Float32Array(3) })).toThrow(
    'The checkpoint holds 3 numbers of the series total, expected 1 epochs of 8 ground truths.',
  );
});
