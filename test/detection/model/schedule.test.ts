import { expect, test } from 'vitest';
import {
  CLIP_OFF,
  clipAfterEpoch,
  clipBeforeStep,
  emaDecayAt,
  emaForLength,
  learningRateAt,
  statisticsRateAt,
} from '../../../detection/model/schedule.ts';
import { defaultTrainOptions } from '../../../detection/model/train.ts';
import type { TrainOptions } from '../../../detection/model/types.ts';

const length = { stepsPerEpoch: 10, totalSteps: 100 };

test('the decay of the moving average rises as in the oracle', () => {
  expect(emaDecayAt(0.9999, 1)).toBeCloseTo(0.0005, 4);
  expect(emaDecayAt(0.9999, 100)).toBeCloseTo(0.048766, 6);
  expect(emaDecayAt(0.9999, 2000)).toBeCloseTo(0.632057, 6);
});

test('a long training has the usual decay and ramp, a short one averages over a tenth of its steps', () => {
  expect(emaForLength(0.9999, 200_000)).toEqual({ decay: 0.9999, ramp: 2000 });
  const { decay, ramp } = emaForLength(0.9999, 300);
  expect(1 / (1 - decay)).toBeCloseTo(30);
  expect(ramp).toBe(30);
  // What is left of the first weights in the average at the end.
  let share = 1;
  for (let u = 1; u <= 300; u++) share *= emaDecayAt(decay, u, ramp);
  expect(share).toBeLessThan(1e-6);
});

test('the rate warms up to its peak and falls along a cosine to its end', () => {
  const options = { ...defaultTrainOptions, learningRate: 1, finalRate: 0.1, warmupEpochs: 1 };
  const rates = Array.from({ length: 100 }, (_, step) => learningRateAt(options, length, step));
  expect(rates[0]).toBeCloseTo(1 / 11);
  expect(rates[9]).toBeCloseTo(10 / 11);
  expect(rates[10]).toBe(1);
  expect(rates[99]).toBeCloseTo(0.1);
  for (let step = 11; step < 100; step++) expect(rates[step]).toBeLessThan(rates[step - 1]!);
  expect(learningRateAt({ ...options, schedule: 'constant' }, length, 99)).toBe(1);
});

function withClip(when: TrainOptions['clip']['when']): TrainOptions {
  return { ...defaultTrainOptions, warmupEpochs: 1, clip: { ...defaultTrainOptions.clip, when } };
}

test('clipping switches on at once, at a share of the steps, or never', () => {
  expect(clipBeforeStep(CLIP_OFF, withClip('always'), length, 0).switched).toEqual({
    step: 0,
    epoch: 1,
    reason: 'always',
  });
  const share = withClip({ share: 0.8 });
  expect(clipBeforeStep(CLIP_OFF, share, length, 79).switched).toBeNull();
  const switched = clipBeforeStep(CLIP_OFF, share, length, 80);
  expect(switched.switched).toEqual({ step: 80, epoch: 9, reason: 'share' });
  // Once on, the first step of it is kept.
  expect(clipBeforeStep(switched, share, length, 81)).toBe(switched);
  const off = { ...share, clip: { ...share.clip, by: 'off' as const } };
  expect(clipBeforeStep(CLIP_OFF, off, length, 99).switched).toBeNull();
});

test('clipping switches on when the smoothed loss improved by less than 1 % in 3 epochs', () => {
  const options = withClip('plateau');
  let state = CLIP_OFF;
  const losses = [8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
  let switchedAfter = 0;
  for (const [i, loss] of losses.entries()) {
    state = clipAfterEpoch(state, options, i + 1, loss, (i + 1) * 10);
    if (state.switched !== null && switchedAfter === 0) switchedAfter = i + 1;
  }
  // By hand: smoothed losses are 8, 6, 4, 2.5, 1.75, 1.375, 1.1875, 1.09375, 1.0469, 1.0234, 1.0117, 1.0059, 1.0029;
  // 1.0117 to 1.0015 after epoch 14 is still 1.01 %; 1.0059 to 1.0007 after epoch 15 is 0.51 %.
  expect(switchedAfter).toBe(15);
  expect(state.switched).toEqual({ step: 150, epoch: 16, reason: 'plateau' });
});

test('statistics of a fresh network start as the plain average of its batches', () => {
  let average = 123;
  for (const [step, value] of [4, 8, 6].entries()) average += (value - average) * statisticsRateAt(step, true);
  expect(average).toBeCloseTo(6);
  expect(statisticsRateAt(1000, true)).toBe(0.03);
  expect(statisticsRateAt(0, false)).toBe(0.03);
});
