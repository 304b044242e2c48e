/** The layers of the network as tfjs ops, with gradients that cost less than tfjs's own. */

import type { Architecture } from '../types.ts';
import { attribute, DATA_TYPE, nodeBackend, type Tensor, type Tensor4D, tf } from './tf.ts';

/** Added to the variance in batch normalisation; the published networks have darknet's. */
export function normEpsilon({ structure = 'csp' }: Architecture): number {
  return structure === 'csp' ? 1e-3 : 1e-5;
}

export type Activation = (x: Tensor) => Tensor;

const FLOAT = DATA_TYPE.float32;
export const LEAKY_SLOPE = 0.1;

// tfjs's own gradients of these three take several ops more each, and keep several tensors more alive.
const leaky = tf.customGrad((x, save) => {
  const attributes = () => [attribute.float('alpha', LEAKY_SLOPE), attribute.type('T', FLOAT)];
  const value = nodeBackend().executeSingleOutput('LeakyRelu', attributes(), [x as Tensor]);
  // The gradient asks for the sign alone, which the value has too: so x need not be kept, and is written over.
  (save as Save)([value]);
  return {
    value,
    gradFunc: (dy, [saved]) => nodeBackend().executeSingleOutput('LeakyReluGrad', attributes(), [dy, saved!]),
  };
});

/** x * sigmoid(x) (Elfwing et al., 2017). */
const silu = tf.customGrad((x, save) => {
  const sigmoid = tf.sigmoid(x as Tensor);
  const value = tf.mul(x as Tensor, sigmoid);
  (save as Save)([sigmoid, value]);
  // y' = s + y (1 - s). Written out, s + y - s y would lose the digits of s where y is large.
  return { value, gradFunc: (dy, [s, y]) => tf.mul(dy, tf.add(s!, tf.mul(y!, tf.sub(1, s!)))) };
});

/** x * tanh(softplus(x)) (Misra, 2019). */
const mish = tf.customGrad((x, save) => {
  const t = tanhSoftplus(x as Tensor);
  (save as Save)([x as Tensor, t]);
  return {
    value: tf.mul(x as Tensor, t),
    // y' = t + x (1 - t^2) sigmoid(x)
    gradFunc: (dy, saved) => {
      const [input, tanh] = saved as [Tensor, Tensor];
      return tf.mul(dy, tf.add(tanh, tf.mul(tf.mul(input, tf.sigmoid(input)), tf.sub(1, tf.square(tanh)))));
    },
  };
});

/**
 * tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2). Written so, because TensorFlow 2.18's graph optimizer
 * replaces batch norm followed by softplus and tanh with a fused op that does not exist. From x = 20 on it is 1.
 */
function tanhSoftplus(x: Tensor): Tensor {
  const e = tf.exp(tf.minimum(x, 20));
  const n = tf.mul(e, tf.add(e, 2));
  return tf.div(n, tf.add(n, 2));
}

export function activationOf(name: Architecture['activation']): Activation {
  return { leaky, silu, mish }[name];
}

type Save = (tensors: Tensor[]) => void;

/**
 * Batch normalisation in training (Ioffe and Szegedy, 2015) by TensorFlow's fused kernel, which tfjs only uses in
 * inference. Adds the batch's mean and (unbiased) variance to `statistics`; the caller disposes them.
 */
export function trainingNorm(x: Tensor, scale: Tensor, offset: Tensor, statistics: Tensor[], epsilon: number): Tensor {
  const run = tf.customGrad((input, gamma, beta, save) => {
    const backend = nodeBackend();
    const empty = [tf.tensor1d([]), tf.tensor1d([])];
    const common = () => [
      attribute.type('T', FLOAT),
      attribute.type('U', FLOAT),
      attribute.float('epsilon', epsilon),
      attribute.string('data_format', 'NHWC'),
      attribute.bool('is_training', true),
    ];
    const [value, mean, variance, ...reserved] = backend.executeMultipleOutputs(
      'FusedBatchNormV3',
      [...common(), attribute.float('exponential_avg_factor', 1)],
      [input as Tensor, gamma as Tensor, beta as Tensor, ...empty],
      6,
    );
    statistics.push(tf.keep(mean!), tf.keep(variance!));
    (save as Save)([input as Tensor, gamma as Tensor, ...reserved]);
    return {
      value: value!,
      gradFunc: (dy, saved) =>
        backend.executeMultipleOutputs('FusedBatchNormGradV3', common(), [dy, ...(saved as Tensor[])], 5).slice(0, 3),
    };
  });
  return run(x, scale, offset);
}

/** Batch normalisation with statistics that are given and have no gradient, in training: of x, scale and offset. */
export function frozenNorm(
  x: Tensor,
  scale: Tensor,
  offset: Tensor,
  { mean, variance }: { mean: Tensor; variance: Tensor },
  epsilon: number,
): Tensor {
  const run = tf.customGrad((input, gamma, beta, save) => {
    const backend = nodeBackend();
    const attributes = () => [
      attribute.type('T', FLOAT),
      attribute.type('U', FLOAT),
      attribute.float('epsilon', epsilon),
      attribute.string('data_format', 'NHWC'),
      attribute.bool('is_training', false),
    ];
    const given = [input as Tensor, gamma as Tensor, beta as Tensor, mean, variance];
    const [value, , , , , reserved] = backend.executeMultipleOutputs('FusedBatchNormV3', attributes(), given, 6);
    (save as Save)([input as Tensor, gamma as Tensor, mean, variance, reserved!]);
    return {
      value: value!,
      gradFunc: (dy, saved) =>
        backend
          .executeMultipleOutputs('FusedBatchNormGradV3', attributes(), [dy, ...(saved as Tensor[])], 5)
          .slice(0, 3),
    };
  });
  return run(x, scale, offset);
}

/**
 * With stride 2, TensorFlow's own padding of an even side lies on its far end alone; darknet's lies on both, and of that
 * only the near one is reached.
 */
export function convolution(x: Tensor, kernel: Tensor, stride: number, padding: 'far' | 'near'): Tensor {
  if (stride === 1 || padding === 'far') return tf.conv2d(x as Tensor4D, kernel as Tensor4D, stride, 'same');
  const near: [number, number] = [Math.floor(kernel.shape[0]! / 2), 0];
  const padded = tf.pad(x as Tensor4D, [[0, 0], near, near, [0, 0]]);
  return tf.conv2d(padded, kernel as Tensor4D, stride, 'valid');
}

/** A bias by TensorFlow's own op for it, which its graph optimizer fuses with the convolution before it. */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  const run = tf.customGrad((input, offset) => ({
    value: nodeBackend().executeSingleOutput(
      'BiasAdd',
      [attribute.type('T', FLOAT), attribute.string('data_format', 'NHWC')],
      [input as Tensor, offset as Tensor],
    ),
    gradFunc: (dy) => [dy, tf.sum(dy, [0, 1, 2])],
  }));
  return run(x, bias);
}

/** The tensor's value as a constant: no gradient flows back through it. */
export function stopGradient(x: Tensor): Tensor {
  return tf.customGrad((value) => ({
    value: tf.add(value as Tensor, 0),
    gradFunc: (dy) => tf.zerosLike(dy),
  }))(x);
}
