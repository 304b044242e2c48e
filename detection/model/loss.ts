/** The loss as named terms, unweighted: tensors for training, and plain numbers for the loss of single targets. */

import { type BoxDecoding, decodeBoxes } from './box-decoding.ts';
import { stopGradient } from './layers.ts';
import { type Scalar, type Tensor, type Tensor1D, tf } from './tf.ts';
import type { TrainOptions } from './types.ts';

export interface LossTerms {
  /** 1 - CIoU (or DIoU, GIoU), mean over positives. */
  readonly box: Scalar;
  /** Focal loss of all rows that count, divided by the number of positives (Lin et al., 2017). */
  readonly objectness: Scalar;
  /** Binary cross-entropy, summed over categories, mean over positives. 0 where there is one category. */
  readonly class: Scalar;
}

/** The arrays of a TargetBatch as tensors, and the inverse of the number of positives. */
export interface TargetTensors {
  /** [B*N] */
  readonly objectness: Tensor;
  /** [B*N] */
  readonly counted: Tensor;
  /** [P] int32 */
  readonly rows: Tensor;
  /** [P, 5] */
  readonly cells: Tensor;
  /** [P, 4] */
  readonly boxes: Tensor;
  /** [P, C] */
  readonly classes: Tensor;
  /** [P] */
  readonly weights: Tensor;
  readonly normaliser: Scalar;
}

export type LossOptions = Pick<TrainOptions, 'boxLoss' | 'focal'>;

export type FocalWeights = Pick<TrainOptions['focal'], 'alpha' | 'gamma'>;

/** `predictions` is [B, N, 5 + C], the raw rows of the network. */
export function lossTerms(
  predictions: Tensor,
  targets: TargetTensors,
  { boxLoss, focal }: LossOptions,
  decoding: BoxDecoding,
): LossTerms {
  const fields = predictions.shape[2]!;
  const flat = tf.reshape(predictions, [-1, fields]);
  const asked = tf.gather(flat, targets.rows as Tensor1D);
  const [xy, wh, , classLogits] = tf.split(asked, [2, 2, 1, fields - 5], 1) as [Tensor, Tensor, Tensor, Tensor];
  const { centre, size } = decodeBoxes(decoding, xy, wh, targets.cells);
  const [targetCentre, targetSize] = tf.split(targets.boxes, 2, 1) as [Tensor, Tensor];
  const overlap = boxSimilarity(centre, size, targetCentre, targetSize, boxLoss);
  const box = tf.sum(tf.mul(tf.sub(1, overlap), targets.weights));

  const objectLogits = tf.reshape(tf.slice(flat, [0, 4], [-1, 1]), [-1]);
  const objectness = tf.sum(tf.mul(focalLoss(objectLogits, targets.objectness, focal), targets.counted));

  // With one category the class says nothing that objectness does not.
  const classLoss =
    fields === 6
      ? tf.scalar(0)
      : tf.sum(tf.mul(tf.sum(binaryCrossEntropy(classLogits, targets.classes), 1), targets.weights));
  return {
    box: tf.mul(box, targets.normaliser) as Scalar,
    objectness: tf.mul(objectness, targets.normaliser) as Scalar,
    class: tf.mul(classLoss, targets.normaliser) as Scalar,
  };
}

export function weightedTotal(terms: LossTerms, weights: TrainOptions['lossWeights']): Scalar {
  return tf.add(
    tf.add(tf.mul(terms.box, weights.box), tf.mul(terms.objectness, weights.objectness)),
    tf.mul(terms.class, weights.class),
  ) as Scalar;
}

/** Keeps quotients finite where both boxes have no extent. Far below a square pixel. */
const TINY = 1e-9;

/**
 * [P] GIoU (Rezatofighi et al., 2019), DIoU or CIoU (Zheng et al., 2020) of boxes given as centre and size, each [P, 2].
 * As in the paper's code, the weight of CIoU's aspect term counts as a constant in the gradient.
 */
export function boxSimilarity(
  centre: Tensor,
  size: Tensor,
  targetCentre: Tensor,
  targetSize: Tensor,
  kind: TrainOptions['boxLoss'],
): Tensor {
  const half = tf.mul(size, 0.5);
  const targetHalf = tf.mul(targetSize, 0.5);
  const [low, high] = [tf.sub(centre, half), tf.add(centre, half)];
  const [targetLow, targetHigh] = [tf.sub(targetCentre, targetHalf), tf.add(targetCentre, targetHalf)];
  const shared = product(tf.relu(tf.sub(tf.minimum(high, targetHigh), tf.maximum(low, targetLow))));
  const union = tf.sub(tf.add(product(size), product(targetSize)), shared);
  const iou = tf.div(shared, tf.add(union, TINY));
  const hull = tf.sub(tf.maximum(high, targetHigh), tf.minimum(low, targetLow));
  if (kind === 'giou') {
    const hullArea = tf.add(product(hull), TINY);
    return tf.sub(iou, tf.div(tf.sub(hullArea, union), hullArea));
  }
  const distance = tf.sum(tf.square(tf.sub(centre, targetCentre)), 1);
  const diou = tf.sub(iou, tf.div(distance, tf.add(tf.sum(tf.square(hull), 1), TINY)));
  if (kind === 'diou') return diou;
  const angle = tf.sub(aspectAngle(targetSize), aspectAngle(size));
  const aspect = tf.mul(tf.square(angle), 4 / Math.PI ** 2);
  const alpha = stopGradient(tf.div(aspect, tf.add(tf.sub(aspect, iou), 1 + TINY_ALPHA)));
  return tf.sub(diou, tf.mul(alpha, aspect));
}

/** Above float32's rounding of 1, so that alpha of two equal boxes is 0 and not 0/0. */
const TINY_ALPHA = 1e-6;

function product(pair: Tensor): Tensor {
  const [a, b] = tf.split(pair, 2, 1) as [Tensor, Tensor];
  return tf.reshape(tf.mul(a, b), [-1]);
}

function aspectAngle(size: Tensor): Tensor {
  const [width, height] = tf.split(size, 2, 1) as [Tensor, Tensor];
  return tf.reshape(tf.atan(tf.div(width, tf.add(height, TINY))), [-1]);
}

/**
 * Focal loss of each logit, FL = -alpha_t (1 - p_t)^gamma log(p_t) (Lin et al., 2017), for targets 0 and 1. A negative alpha means no
 * weights, as in torchvision; with gamma 0 it then is binary cross-entropy.
 *
 * With z the logit signed by the target, (1 - p_t)^gamma = exp(-gamma softplus(z)) and -log(p_t) = softplus(-z), which are finite
 * with all their gradients for every z and gamma.
 */
export function focalLoss(logits: Tensor, targets: Tensor, { alpha, gamma }: FocalWeights): Tensor {
  const run = tf.customGrad((x, target, save) => {
    const sign = tf.sub(tf.mul(target as Tensor, 2), 1);
    const z = tf.mul(x as Tensor, sign);
    const crossEntropy = tf.softplus(tf.neg(z));
    const modulation = tf.exp(tf.mul(tf.softplus(z), -gamma));
    const weight: Tensor =
      alpha < 0 ? modulation : tf.mul(modulation, tf.add(tf.mul(target as Tensor, 2 * alpha - 1), 1 - alpha));
    (save as (tensors: Tensor[]) => void)([sign, z, crossEntropy, weight]);
    return {
      value: tf.mul(weight, crossEntropy),
      gradFunc: (dy, saved) => {
        const [s, signed, entropy, w] = saved as [Tensor, Tensor, Tensor, Tensor];
        // d/dz = -alpha_t (1 - p_t)^gamma (gamma p_t softplus(-z) + 1 - p_t)
        const p = tf.sigmoid(signed);
        const slope = tf.add(tf.mul(tf.mul(p, entropy), gamma), tf.sub(1, p));
        return [tf.neg(tf.mul(dy, tf.mul(s, tf.mul(w, slope)))), tf.zerosLike(s)];
      },
    };
  });
  return run(logits, targets);
}

/** Binary cross-entropy of each logit; targets may lie between 0 and 1, as smoothed ones do. */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const run = tf.customGrad((x, target, save) => {
    (save as (tensors: Tensor[]) => void)([x as Tensor, target as Tensor]);
    return {
      value: tf.sub(tf.softplus(x as Tensor), tf.mul(x as Tensor, target as Tensor)),
      gradFunc: (dy, saved) => {
        const [logit, t] = saved as [Tensor, Tensor];
        return [tf.mul(dy, tf.sub(tf.sigmoid(logit), t)), tf.zerosLike(t)];
      },
    };
  });
  return run(logits, targets);
}

/** Focal loss of one logit, as `focalLoss`. */
export function focalLossOf(logit: number, target: 0 | 1, { alpha, gamma }: FocalWeights): number {
  const z = target === 1 ? logit : -logit;
  const weight = alpha < 0 ? 1 : target === 1 ? alpha : 1 - alpha;
  return weight * Math.exp(-gamma * softplusOf(z)) * softplusOf(-z);
}

/** Binary cross-entropy of one logit, as `binaryCrossEntropy`. */
export function binaryCrossEntropyOf(logit: number, target: number): number {
  return softplusOf(logit) - logit * target;
}

function softplusOf(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
