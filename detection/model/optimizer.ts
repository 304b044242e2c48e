/** The update of the weights, on flat vectors: clipping, decay, momentum, Adam, moving average. */

import { ADAM_BETA2 } from './schedule.ts';
import { type Scalar, type Tensor, tf } from './tf.ts';

/**
 * The gradient scaled so that its norm is at most `bound` (Pascanu et al., 2013). An infinite bound changes nothing, so one graph
 * serves before and after clipping switches on.
 */
export function clipByNorm(gradient: Tensor, norm: Scalar, bound: Scalar): Tensor {
  return tf.mul(gradient, tf.minimum(1, tf.div(bound, tf.maximum(norm, 1e-12))));
}

/** Euclidean norm of all gradients together. */
export function gradientNorm(gradient: Tensor): Scalar {
  return tf.sqrt(tf.sum(tf.square(gradient))) as Scalar;
}

/**
 * Momentum (Polyak, 1964) as darknet and PyTorch have it: v' = m v + g, w' = w - rate v'. Decay is added to the gradient, after
 * clipping: `decay` is [P], zero for all but the kernels of convolutions.
 */
export function momentumUpdate(
  { weights, velocity }: { weights: Tensor; velocity: Tensor },
  gradient: Tensor,
  { rate, momentum, decay }: { rate: Scalar; momentum: number; decay: Tensor },
): { weights: Tensor; velocity: Tensor } {
  const decayed = tf.add(gradient, tf.mul(decay, weights));
  const next = tf.add(tf.mul(velocity, momentum), decayed);
  return { weights: tf.sub(weights, tf.mul(next, rate)), velocity: next };
}

const ADAM_EPSILON = 1e-8;

/**
 * Adam (Kingma and Ba, 2015), with decay applied to the weights and not to the gradient (Loshchilov and Hutter, 2019). The corrections
 * 1 / (1 - beta^t) come from outside, computed anew from the step, so that no running product has to be saved.
 */
export function adamUpdate(
  { weights, mean, square }: { weights: Tensor; mean: Tensor; square: Tensor },
  gradient: Tensor,
  options: { rate: Scalar; beta1: number; correction1: Scalar; correction2: Scalar; decay: Tensor },
): { weights: Tensor; mean: Tensor; square: Tensor } {
  const { rate, beta1, correction1, correction2, decay } = options;
  const nextMean = tf.add(tf.mul(mean, beta1), tf.mul(gradient, 1 - beta1));
  const nextSquare = tf.add(tf.mul(square, ADAM_BETA2), tf.mul(tf.square(gradient), 1 - ADAM_BETA2));
  const scale = tf.add(tf.sqrt(tf.mul(nextSquare, correction2)), ADAM_EPSILON);
  const direction = tf.add(tf.div(tf.mul(nextMean, correction1), scale), tf.mul(decay, weights));
  return { weights: tf.sub(weights, tf.mul(direction, rate)), mean: nextMean, square: nextSquare };
}

/** average' = decay * average + (1 - decay) * value. */
export function movingAverage(average: Tensor, value: Tensor, decay: Scalar): Tensor {
  return tf.add(value, tf.mul(tf.sub(average, value), decay));
}
