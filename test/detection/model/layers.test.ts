import { expect, test } from 'vitest';
import { frozenNorm } from '../../../detection/model/layers.ts';
import { type Tensor, tf } from '../../../detection/model/tf.ts';
import { createRandom } from '../../../detection/random.ts';

test('batch norm with frozen statistics is the formula, and its gradients are its finite differences', () => {
  const random = createRandom(2);
  const numbers = (count: number) => Array.from({ length: count }, () => random.normal());
  const [x, weights] = [numbers(24), numbers(24)];
  const [scale, offset, mean, variance] = [numbers(3), numbers(3), numbers(3), [0.2, 1.5, 4]];
  const epsilon = 1e-3;
  /** Weighted, so that the gradient that comes back differs between places. */
  const value = (at: readonly number[]) => {
    const [gamma, beta] = [at.slice(24, 27), at.slice(27)];
    return at.slice(0, 24).reduce((sum, v, i) => {
      const c = i % 3;
      const norm = (v - mean[c]!) / Math.sqrt(variance[c]! + epsilon);
      return sum + weights[i]! * (gamma[c]! * norm + beta[c]!) ** 2;
    }, 0);
  };
  const given = { mean: tf.tensor1d(mean), variance: tf.tensor1d(variance) };
  const inTensors = (input: Tensor, gamma: Tensor, beta: Tensor) =>
    tf.sum(tf.mul(tf.square(frozenNorm(input, gamma, beta, given, epsilon)), tf.tensor4d(weights, [2, 2, 2, 3])));
  const at = [tf.tensor4d(x, [2, 2, 2, 3]), tf.tensor1d(scale), tf.tensor1d(offset)] as const;
  const point = [...x, ...scale, ...offset];
  expect(inTensors(...at).dataSync()[0]).toBeCloseTo(value(point), 3);
  const slopes = tf
    .grads(inTensors)([...at])
    .flatMap((gradient) => Array.from(gradient.dataSync()));
  for (const [i, slope] of slopes.entries()) {
    const shifted = (by: number) => value(point.map((p, j) => (i === j ? p + by : p)));
    const difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
    expect(Math.abs(slope - difference)).toBeLessThan(1e-4 * Math.max(1, Math.abs(difference)));
  }
});
