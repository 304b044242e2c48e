import { expect, test } from 'vitest';
import {
  adamUpdate,
  clipByNorm,
  gradientNorm,
  momentumUpdate,
  movingAverage,
} from '../../../detection/model/optimizer.ts';
import { ADAM_BETA2, adamCorrection } from '../../../detection/model/schedule.ts';
import { type Tensor, tf } from '../../../detection/model/tf.ts';
import { createRandom } from '../../../detection/random.ts';

const random = createRandom(21);
const start = Array.from({ length: 6 }, () => random.normal());
const gradients = Array.from({ length: 5 }, () => start.map(() => random.normal()));
/** Half of the weights decay, as kernels do. */
const decay = [0.1, 0.1, 0.1, 0, 0, 0];
const rates = [0.01, 0.02, 0.05, 0.05, 0.03];

function expectNear(tensor: Tensor, expected: readonly number[]): void {
  for (const [i, value] of tensor.dataSync().entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(2e-6);
}

test('five steps of momentum with decay are those of the recurrence in float64', () => {
  let [w, v] = [start, start.map(() => 0)];
  let state = { weights: tf.tensor1d(start) as Tensor, velocity: tf.zeros([6]) as Tensor };
  for (const [step, gradient] of gradients.entries()) {
    v = v.map((value, i) => 0.9 * value + gradient[i]! + decay[i]! * w[i]!);
    w = w.map((value, i) => value - rates[step]! * v[i]!);
    const options = { rate: tf.scalar(rates[step]!), momentum: 0.9, decay: tf.tensor1d(decay) };
    state = momentumUpdate(state, tf.tensor1d(gradient), options);
    expectNear(state.weights, w);
    expectNear(state.velocity, v);
  }
});

test('five steps of Adam with decoupled decay are those of algorithm 2 of Loshchilov and Hutter in float64', () => {
  let w = start;
  const mean = start.map(() => 0);
  const square = start.map(() => 0);
  let state = { weights: tf.tensor1d(start) as Tensor, mean: tf.zeros([6]) as Tensor, square: tf.zeros([6]) as Tensor };
  for (const [step, gradient] of gradients.entries()) {
    const rate = rates[step]!;
    w = w.map((value, i) => {
      mean[i] = 0.9 * mean[i]! + 0.1 * gradient[i]!;
      square[i] = 0.999 * square[i]! + 0.001 * gradient[i]! ** 2;
      const [m, s] = [mean[i]! / (1 - 0.9 ** (step + 1)), square[i]! / (1 - 0.999 ** (step + 1))];
      return value - rate * (m / (Math.sqrt(s) + 1e-8) + decay[i]! * value);
    });
    state = adamUpdate(state, tf.tensor1d(gradient), {
      rate: tf.scalar(rate),
      beta1: 0.9,
      correction1: tf.scalar(adamCorrection(0.9, step)),
      correction2: tf.scalar(adamCorrection(ADAM_BETA2, step)),
      decay: tf.tensor1d(decay),
    });
    expectNear(state.weights, w);
  }
});

test('a gradient above the bound is scaled down to it, one below is left alone', () => {
  const gradient = tf.tensor1d([3, 4]);
  const clipped = (bound: number) => clipByNorm(gradient, gradientNorm(gradient), tf.scalar(bound));
  expectNear(clipped(1), [0.6, 0.8]);
  expect(Array.from(clipped(6).dataSync())).toEqual([3, 4]);
  expect(Array.from(clipped(Number.POSITIVE_INFINITY).dataSync())).toEqual([3, 4]);
});

test('the moving average of a constant nears it as decay to the power of the steps', () => {
  let average: Tensor = tf.tensor1d([0, 10]);
  for (let step = 0; step < 20; step++) average = movingAverage(average, tf.tensor1d([1, 2]), tf.scalar(0.9));
  expectNear(average, [1 - 0.9 ** 20, 2 + 8 * 0.9 ** 20]);
});
