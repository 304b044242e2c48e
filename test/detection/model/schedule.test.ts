import { expect, test } from 'vitest';
import { defaultTrainOptions } from '../../../detection/model/default-options.ts';
import {
  CLIP_OFF,
  clipAfterEpoch,
  clipAfterStep,
  clipBeforeStep,
  clippedShare,
  emaDecayAt,
  emaForLength,
  learningRateAt,
  statisticsRateAt,
  stepPlanAt,
} from '../../../detection/model/schedule.ts';
import type { TrainOptions } from '../../../detection/model/types.ts';
import { createRandom } from '../../../detection/random.ts';

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
  // 89 steps from the peak to the end; a cosine from 1 to .1 is .55 + .45 cos(pi t).
  for (const step of [10, 33, 54, 77]) {
    expect(rates[step]).toBeCloseTo(0.55 + 0.45 * Math.cos((Math.PI * (step - 10)) / 89), 12);
  }
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

/** The epoch after which clipping switched on, with a step counted from it; null: never. */
function switchedAfter(losses: readonly number[]): number | null {
  const options = withClip('plateau');
  let state = CLIP_OFF;
  for (const [i, loss] of losses.entries()) {
    state = clipAfterEpoch(state, options, i + 1, loss, (i + 1) * 10);
    if (state.switched === null) continue;
    expect(state.switched).toEqual({ step: (i + 1) * 10, epoch: i + 2, reason: 'plateau' });
    return i + 1;
  }
  return null;
}

test('clipping switches on when the smoothed loss improves by less than 1 % in 3 epochs', () => {
  // Without the warm-up's 8: the last six epochs are flat after the 9th and again after the 10th.
  expect(switchedAfter([8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])).toBe(10);
  const falling = (share: number) => Array.from({ length: 40 }, (_, i) => (1 - share) ** i);
  // 1.2 % and 0.9 % in three epochs.
  expect(switchedAfter(falling(0.004))).toBeNull();
  expect(switchedAfter(falling(0.003))).toBe(8);
});

/** Means of epochs of trainings with mosaics on 80 and 130 photographs; the third had room to fall, and stood still from 18 to 26. */
const recorded = {
  short: [1.698, 1.813, 1.851, 1.845, 1.841, 1.784, 1.72, 1.751, 1.696, 1.629, 1.68, 1.667, 1.6, 1.567, 1.589],
  shortAgain: [1.716, 1.799, 1.844, 1.826, 1.798, 1.731, 1.742, 1.688, 1.692, 1.644, 1.641, 1.629, 1.611, 1.587, 1.613],
  scratch: [
    4.104, 3.299, 2.695, 2.522, 2.444, 2.344, 2.336, 2.277, 2.212, 2.173, 2.189, 2.167, 2.14, 2.126, 2.105, 2.008,
    2.024, 2.002, 2.005, 1.98, 1.962, 1.96, 1.877, 1.969, 1.945, 1.869, 1.851, 1.81, 1.803, 1.819,
  ],
};

test.each(Object.entries(recorded))('a noisy loss that still falls is no plateau: %s', (_name, losses) => {
  expect(switchedAfter(losses)).toBeNull();
});

test('a noisy loss that stands still is a plateau, mostly within the ten epochs after it is one', () => {
  const random = createRandom(8);
  const ends = Array.from({ length: 40 }, () =>
    switchedAfter(Array.from({ length: 40 }, (_, i) => (1 + 3 * Math.exp(-i)) * (1 + 0.02 * random.normal()))),
  );
  // From epoch 6 on the fall is below a percent in three epochs; twelve epochs are the first two windows beyond.
  expect(ends.filter((end) => end !== null && end >= 10 && end <= 24).length).toBeGreaterThan(30);
});

test('statistics of a fresh network start as the plain average of its batches', () => {
  let average = 123;
  for (const [step, value] of [4, 8, 6].entries()) average += (value - average) * statisticsRateAt(step, true);
  expect(average).toBeCloseTo(6);
  expect(statisticsRateAt(1000, true)).toBe(0.03);
  expect(statisticsRateAt(0, false)).toBe(0.03);
});

test('a plan without accumulation updates at every step, as the schedules say', () => {
  const options = { ...defaultTrainOptions, learningRate: 1 };
  const plan = stepPlanAt(options, length, 30, { clip: CLIP_OFF, isFresh: true });
  const { decay, ramp } = emaForLength(options.emaDecay, 100);
  expect(plan).toEqual({
    signature: 'train',
    settings: {
      learningRate: learningRateAt(options, length, 30),
      clipNorm: Number.POSITIVE_INFINITY,
      emaDecay: emaDecayAt(decay, 31, ramp),
      statisticsRate: statisticsRateAt(30, true),
      correction1: 1 / (1 - 0.9 ** 31),
      correction2: 1 / (1 - 0.999 ** 31),
    },
  });
});

test('with accumulation, the last of n batches and the last of all update, and the average decays as by n steps', () => {
  const options = { ...defaultTrainOptions, accumulate: 4 };
  const short = { stepsPerEpoch: 5, totalSteps: 10 };
  const plans = Array.from({ length: 10 }, (_, step) =>
    stepPlanAt(options, short, step, { clip: CLIP_OFF, isFresh: true }),
  );
  expect(plans.map(({ signature }) => signature === 'train')).toEqual(
    [0, 0, 0, 1, 0, 0, 0, 1, 0, 1].map((is) => is === 1),
  );
  expect([plans[3]!, plans[7]!, plans[9]!].map(({ settings }) => settings.gatherShare)).toEqual([1 / 4, 1 / 4, 1 / 2]);
  // Adam counts updates: the first, second and third.
  expect(plans[7]!.settings.correction1).toBeCloseTo(1 / (1 - 0.9 ** 2), 12);
  expect(plans[9]!.settings.correction1).toBeCloseTo(1 / (1 - 0.9 ** 3), 12);
  const single = { ...options, accumulate: 1 };
  const decays = [4, 5, 6, 7].map(
    (s) => stepPlanAt(single, short, s, { clip: CLIP_OFF, isFresh: true }).settings.emaDecay,
  );
  expect(plans[7]!.settings.emaDecay).toBeCloseTo(
    decays.reduce((a, b) => a * b, 1),
    12,
  );
});

test('the bound of targets is the running percentile of their norms, infinite until clipping is on', () => {
  const options = {
    ...defaultTrainOptions,
    clip: { ...defaultTrainOptions.clip, by: 'per-target' as const, when: { share: 0.5 } },
  };
  const boundAt = (clip: typeof CLIP_OFF, step: number) =>
    stepPlanAt(options, length, step, { clip: clipBeforeStep(clip, options, length, step), isFresh: true }).settings;
  const after = (state: typeof CLIP_OFF, targetNorms: readonly number[]) =>
    clipAfterStep(state, options, { signature: 'gather' }, { gradientNorm: 99, targetNorms });
  const seen = after(after(CLIP_OFF, [5, 1, 9, 3, 2]), [8, 4, 7, 6, 10]);
  expect(boundAt(seen, 49)).toMatchObject({ targetBound: Number.POSITIVE_INFINITY });
  // 85 % of ten, rounded up: the ninth.
  expect(boundAt(seen, 50)).toMatchObject({ targetBound: 9, clipNorm: Number.POSITIVE_INFINITY });
  expect(boundAt(CLIP_OFF, 50)).toMatchObject({ targetBound: Number.POSITIVE_INFINITY });
  // Older ones drop out.
  const later = after(
    seen,
    Array.from({ length: 1024 }, () => 0.5),
  );
  expect(later.norms).toHaveLength(1024);
  expect(boundAt(later, 50)).toMatchObject({ targetBound: 0.5 });
  const plan = { signature: 'train' as const, settings: boundAt(seen, 50) };
  expect(clippedShare(plan, 1000, [1, 9, 9.5, 20])).toBe(0.5);
  expect(clippedShare(plan, 1000, [])).toBe(0);
});

test('with `norm: auto` the bound is the running percentile of the norms of updates', () => {
  const clip = { ...defaultTrainOptions.clip, norm: 'auto', when: { share: 0.5 } } as const;
  const options = { ...defaultTrainOptions, clip };
  const after = (state: typeof CLIP_OFF, norms: readonly number[], signature: 'train' | 'gather' = 'train') =>
    norms.reduce(
      (last, gradientNorm) => clipAfterStep(last, options, { signature }, { gradientNorm, targetNorms: null }),
      state,
    );
  const boundAt = (state: typeof CLIP_OFF, step: number) =>
    stepPlanAt(options, length, step, { clip: clipBeforeStep(state, options, length, step), isFresh: true }).settings
      .clipNorm;
  const seen = after(CLIP_OFF, [5, 1, 9, 3, 2, 8, 4, 7, 6, 10]);
  expect(boundAt(seen, 49)).toBe(Number.POSITIVE_INFINITY);
  expect(boundAt(seen, 50)).toBe(9);
  expect(boundAt(CLIP_OFF, 50)).toBe(Number.POSITIVE_INFINITY);
  // The gradient of a batch that makes no update is a part of one.
  expect(boundAt(after(seen, [0.1, 0.1], 'gather'), 50)).toBe(9);
  // Older ones drop out.
  expect(after(seen, new Array<number>(200).fill(0.5)).norms).toEqual(new Array<number>(128).fill(0.5));
  // A fixed bound needs no memory.
  const fixed = { ...options, clip: { ...clip, norm: 10 } };
  expect(clipAfterStep(CLIP_OFF, fixed, { signature: 'train' }, { gradientNorm: 3, targetNorms: null })).toBe(CLIP_OFF);
});
