/** The loss as named terms, unweighted: tensors for training, and plain numbers for the loss of single targets. */

import { type BoxDecoding, decodeBoxes } from './box-decoding.ts';
import { stopGradient } from './layers.ts';
import { type Scalar, type Tensor, type Tensor1D, tf } from './tf.ts';
import type { TrainOptions } from './types.ts';

export interface LossTerms {
  /** 1 - CIoU (or DIoU, GIoU), mean over positives. */
  readonly box: Scalar;
  /** Focal loss of all rows, each times what it counts, divided by the number of positives (Lin et al., 2017). */
  readonly objectness: Scalar;
  /**
   * Binary cross-entropy, or with `focal.class` the focal loss for soft targets, summed over categories, mean over positives.
   * 0 where there is one category.
   */
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
  /** `ignore.by: prediction`: pairs of a row and a ground truth that the row's box may come to cover. */
  readonly reachable?: {
    /** [K] int32, over the batch. */
    readonly rows: Tensor;
    /** [K, 4] centre x, y, width, height. */
    readonly boxes: Tensor;
    /** [N, 5] cells of one image, as in CellGrid. */
    readonly cells: Tensor;
  };
  /** `clip.by: per-target`; `counted` is then 0 for all positives, which count here. */
  readonly perTarget?: PerTarget;
}

/** What bounds the gradient of each ground truth. */
export interface PerTarget {
  /** [P] int32: the first positive of the same ground truth, in 0..P-1. */
  readonly owners: Tensor;
  /** [P] what the objectness of a positive counts; the positives of one row share it. */
  readonly shares: Tensor;
  readonly bound: Scalar;
}

export type LossOptions = Pick<TrainOptions, 'boxLoss' | 'focal' | 'ignore'>;

export type FocalWeights = Pick<TrainOptions['focal'], 'alpha' | 'gamma'>;

/**
 * `predictions` is [B, N, 5 + C], the raw rows of the network. With `perTarget`, what goes back through the answer is
 * bounded for each ground truth, and `onNorms` is told the norms once gradients are computed: see `boundPerTarget`.
 */
export function lossTerms(
  predictions: Tensor,
  targets: TargetTensors,
  { boxLoss, focal, ignore }: LossOptions,
  decoding: BoxDecoding,
  onNorms: (norms: Tensor) => void = () => {},
): LossTerms {
  const fields = predictions.shape[2]!;
  const flat = tf.reshape(predictions, [-1, fields]);
  const { normaliser, perTarget, reachable } = targets;
  const raw = tf.gather(flat, targets.rows as Tensor1D);
  const asked = perTarget === undefined ? raw : boundPerTarget(raw, perTarget, normaliser, onNorms);
  const [xy, wh, own, classLogits] = tf.split(asked, [2, 2, 1, fields - 5], 1) as [Tensor, Tensor, Tensor, Tensor];
  const { centre, size } = decodeBoxes(decoding, xy, wh, targets.cells);
  const [targetCentre, targetSize] = tf.split(targets.boxes, 2, 1) as [Tensor, Tensor];
  const overlap = boxSimilarity(centre, size, targetCentre, targetSize, boxLoss);
  const box = tf.sum(tf.mul(tf.sub(1, overlap), targets.weights));

  const objectLogits = tf.reshape(tf.slice(flat, [0, 4], [-1, 1]), [-1]);
  const counted = reachable === undefined ? targets.counted : notCovering(flat, targets, ignore.threshold, decoding);
  const all = tf.sum(tf.mul(focalLoss(objectLogits, targets.objectness, focal), counted));
  let objectness = all;
  if (perTarget !== undefined) {
    const ownLogits = tf.reshape(own, [-1]);
    const positives = tf.mul(focalLoss(ownLogits, tf.onesLike(ownLogits), focal), perTarget.shares);
    objectness = tf.add(all, tf.sum(positives));
  }

  // With one category the class says nothing that objectness does not.
  const classLoss =
    fields === 6
      ? tf.scalar(0)
      : tf.sum(tf.mul(tf.sum(classCost(classLogits, targets.classes, focal), 1), targets.weights));
  return {
    box: tf.mul(box, normaliser) as Scalar,
    objectness: tf.mul(objectness, normaliser) as Scalar,
    class: tf.mul(classLoss, normaliser) as Scalar,
  };
}

function classCost(logits: Tensor, targets: Tensor, focal: TrainOptions['focal']): Tensor {
  return focal.class ? softFocalLoss(logits, targets, focal) : binaryCrossEntropy(logits, targets);
}

/**
 * [B*N] `counted`, and 0 for rows that are no positives and whose predicted box has an IoU above the threshold with a ground truth,
 * as in darknet's yolo layer (`ignore_thresh`), whatever category they predict. A constant in the gradient.
 *
 * All rows against all ground truths would be tens of millions of pairs where targets are many; `reachable` has those that can
 * matter (see `reachableRows` in targets.ts), mostly one in a hundred. Their number differs between batches, so nothing here may
 * depend on it (no reshape, no constant of that size): the graph is traced once.
 */
function notCovering(
  flat: Tensor,
  { objectness, counted, reachable }: TargetTensors,
  threshold: number,
  decoding: BoxDecoding,
): Tensor {
  const { rows, boxes, cells } = reachable!;
  const run = tf.customGrad((predictions) => {
    const found = tf.gather(predictions as Tensor, rows as Tensor1D);
    const [xy, wh] = tf.split(found, [2, 2, flat.shape[1]! - 4], 1) as [Tensor, Tensor, Tensor];
    const cell = tf.gather(cells, tf.mod(rows, tf.scalar(cells.shape[0]!, 'int32')) as Tensor1D);
    const { centre, size } = decodeBoxes(decoding, xy, wh, cell);
    const [targetCentre, targetSize] = tf.split(boxes, 2, 1) as [Tensor, Tensor];
    const [half, targetHalf] = [tf.mul(size, 0.5), tf.mul(targetSize, 0.5)];
    const right = tf.minimum(tf.add(centre, half), tf.add(targetCentre, targetHalf));
    const left = tf.maximum(tf.sub(centre, half), tf.sub(targetCentre, targetHalf));
    const shared = tf.prod(tf.relu(tf.sub(right, left)), 1);
    const union = tf.sub(tf.add(tf.prod(size, 1), tf.prod(targetSize, 1)), shared);
    // shared / union > threshold, without the quotient of two zeros.
    const covers = tf.cast(tf.greater(shared, tf.mul(union, threshold)), 'float32');
    const covering = tf.minimum(tf.unsortedSegmentSum(covers, rows as Tensor1D, counted.shape[0]!), 1);
    const isBackground = tf.sub(1, objectness);
    return {
      value: tf.sub(counted, tf.mul(tf.mul(counted, isBackground), covering)),
      gradFunc: () => tf.zerosLike(predictions as Tensor),
    };
  });
  return run(flat);
}

/**
 * `asked` [P, 5 + C], the raw outputs of all positives, unchanged; but the gradient that comes back is scaled so that for each
 * ground truth its norm is at most the bound. The norm is that of the gradient of this ground truth's own part of the
 * weighted loss (box, objectness and class of all its positives together) with respect to their raw outputs, before the division
 * by the number of positives, so that it compares between batches. A row asked for two ground truths is two positives here.
 * An infinite bound changes nothing.
 *
 * `onNorms` gets [P] norms, at the first positive of each ground truth; 0 at the others.
 */
export function boundPerTarget(
  asked: Tensor,
  { owners, bound }: PerTarget,
  normaliser: Scalar,
  onNorms: (norms: Tensor) => void,
): Tensor {
  const run = tf.customGrad((value) => ({
    value: tf.add(value as Tensor, 0),
    gradFunc: (dy) => {
      const squares = tf.sum(tf.square(dy), 1);
      const together = tf.unsortedSegmentSum(squares, owners as Tensor1D, squares.shape[0]!);
      const norms = tf.div(tf.sqrt(together), normaliser);
      onNorms(norms);
      const scales = tf.minimum(1, tf.div(bound, tf.maximum(norms, 1e-12)));
      return tf.mul(dy, tf.reshape(tf.gather(scales, owners as Tensor1D), [-1, 1]));
    },
  }));
  return run(asked);
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

/** Keeps the slope finite where prediction and target meet and gamma is below 1. */
const TINY_DISTANCE = 1e-6;

/**
 * Focal loss of each logit for targets t between 0 and 1, as smoothed ones are:
 * -alpha_t |t - p|^gamma (t log(p) + (1 - t) log(1 - p)) with p = sigmoid(logit) and alpha_t = alpha t + (1 - alpha) (1 - t).
 * This is the quality focal loss (Li et al., 2020, "Generalized Focal Loss", equation 2), with alpha as in YOLOv5's `QFocalLoss`.
 * For targets 0 and 1 it is `focalLoss`. A negative alpha means no weights.
 */
export function softFocalLoss(logits: Tensor, targets: Tensor, { alpha, gamma }: FocalWeights): Tensor {
  const run = tf.customGrad((x, target, save) => {
    const p = tf.sigmoid(x as Tensor);
    const apart = tf.sub(p, target as Tensor);
    const distance = tf.maximum(tf.abs(apart), TINY_DISTANCE);
    const crossEntropy = tf.sub(tf.softplus(x as Tensor), tf.mul(x as Tensor, target as Tensor));
    const modulation = tf.pow(distance, gamma);
    const weight: Tensor =
      alpha < 0 ? modulation : tf.mul(modulation, tf.add(tf.mul(target as Tensor, 2 * alpha - 1), 1 - alpha));
    (save as (tensors: Tensor[]) => void)([p, apart, distance, crossEntropy, weight]);
    return {
      value: tf.mul(weight, crossEntropy),
      gradFunc: (dy, saved) => {
        const [q, difference, gap, entropy, w] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor];
        // d/dx = alpha_t |t - p|^gamma (p - t + gamma sign(p - t) p (1 - p) crossEntropy / |t - p|)
        const steepness = tf.mul(tf.mul(q, tf.sub(1, q)), tf.div(tf.mul(entropy, gamma), gap));
        const slope = tf.add(difference, tf.mul(tf.sign(difference), steepness));
        return [tf.mul(dy, tf.mul(w, slope)), tf.zerosLike(q)];
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

/** Focal loss of one logit for a target between 0 and 1, as `softFocalLoss`. */
export function softFocalLossOf(logit: number, target: number, { alpha, gamma }: FocalWeights): number {
  const distance = Math.max(TINY_DISTANCE, Math.abs(1 / (1 + Math.exp(-logit)) - target));
  const weight = alpha < 0 ? 1 : alpha * target + (1 - alpha) * (1 - target);
  return weight * distance ** gamma * binaryCrossEntropyOf(logit, target);
}

/** What the class term costs for one logit. */
export function classLossOf(logit: number, target: number, focal: TrainOptions['focal']): number {
  return focal.class ? softFocalLossOf(logit, target, focal) : binaryCrossEntropyOf(logit, target);
}

/** Binary cross-entropy of one logit, as `binaryCrossEntropy`. */
export function binaryCrossEntropyOf(logit: number, target: number): number {
  return softplusOf(logit) - logit * target;
}

function softplusOf(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
