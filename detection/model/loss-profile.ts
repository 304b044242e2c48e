/** What each ground truth costs a model: its loss terms with given weights, in evaluation mode. */

import { ciou, diou, giou, iou } from '../box.ts';
import type { Architecture, Box, NamedTensor } from '../types.ts';
import { cellGrid, decodeBox, sigmoid } from './cells.ts';
import { defaultTrainOptions } from './default-options.ts';
import { createDetectorModel, type DetectorOptions } from './detect.ts';
import { classLossOf, focalLossOf } from './loss.ts';
import { createTargetBuilder, smoothed } from './targets.ts';
import type { PreparedImage, TrainOptions } from './types.ts';

export interface GroundTruthLoss {
  readonly imageId: number;
  readonly annotationId: string;
  /** Weighted sum of the terms. */
  readonly total: number;
  /** Terms are unweighted means over the rows that training asks for this ground truth. */
  readonly box: number;
  readonly objectness: number;
  readonly class: number;
  /** Probability of an object of the right category, in the row that gives it the highest. */
  readonly pTrue: number;
  /** IoU of that row's box with the ground truth. */
  readonly iou: number;
  /** Margin of that row, in logits: see `marginOf`. */
  readonly margin: number;
}

export type LossProfileOptions = DetectorOptions &
  Partial<Pick<TrainOptions, 'focal' | 'boxLoss' | 'lossWeights' | 'labelSmoothing' | 'assignment'>>;

/** In the order of the images and their boxes. */
export function lossPerGroundTruth(
  architecture: Architecture,
  weights: readonly NamedTensor[],
  images: readonly PreparedImage[],
  options: LossProfileOptions = {},
): GroundTruthLoss[] {
  const { focal, boxLoss, lossWeights, labelSmoothing, assignment } = { ...defaultTrainOptions, ...options };
  const grid = cellGrid(architecture);
  const buildTargets = createTargetBuilder(architecture, 1, {
    assignment,
    labelSmoothing,
    // What a ground truth costs does not depend on what the background counts.
    ignore: { by: 'anchor', threshold: 1 },
  });
  const similarity = { ciou, diou, giou }[boxLoss];
  const oneCategory = architecture.categories.length === 1;
  const detector = createDetectorModel(architecture, weights, options);
  const result: GroundTruthLoss[] = [];
  try {
    detector.forEachImage(images, (image, rows) => {
      const targets = buildTargets({ boxes: [image.boxes], classes: [image.classes], ignore: [image.ignore] });
      const sums = image.annotationIds.map(() => ({
        rows: 0,
        box: 0,
        objectness: 0,
        class: 0,
        pTrue: -1,
        iou: 0,
        margin: 0,
      }));
      for (let k = 0; k < targets.positives; k++) {
        const truth = targets.truths[k]!;
        const sum = sums[truth]!;
        const row = targets.rows[k]!;
        const offset = row * grid.fields;
        const predicted = decodeBox(rows, offset, grid, row);
        const box = Array.from(image.boxes.subarray(truth * 4, truth * 4 + 4)) as unknown as Box;
        const category = image.classes[truth]!;
        const pObject = sigmoid(rows[offset + 4]!);
        const pTrue = oneCategory ? pObject : pObject * sigmoid(rows[offset + 5 + category]!);
        sum.rows++;
        sum.box += 1 - similarity(predicted, box);
        sum.objectness += focalLossOf(rows[offset + 4]!, 1, focal);
        if (!oneCategory) {
          for (let c = 0; c < architecture.categories.length; c++) {
            const target = smoothed(c === category ? 1 : 0, labelSmoothing);
            sum.class += classLossOf(rows[offset + 5 + c]!, target, focal);
          }
        }
        if (pTrue > sum.pTrue) {
          const margin = marginOf(rows.subarray(offset + 4, offset + grid.fields), category);
          Object.assign(sum, { pTrue, iou: iou(predicted, box), margin });
        }
      }
      for (const [i, sum] of sums.entries()) {
        const mean = { box: sum.box / sum.rows, objectness: sum.objectness / sum.rows, class: sum.class / sum.rows };
        result.push({
          imageId: image.imageId,
          annotationId: image.annotationIds[i]!,
          ...mean,
          total: mean.box * lossWeights.box + mean.objectness * lossWeights.objectness + mean.class * lossWeights.class,
          pTrue: sum.pTrue,
          iou: sum.iou,
          margin: sum.margin,
        });
      }
    });
  } finally {
    detector.dispose();
  }
  return result;
}

/**
 * Margin of Pleiss et al. 2020 (https://arxiv.org/abs/2001.10528), z_y - max(z_i, i != y), for a head of sigmoids: z of a
 * category is the logit of its score, z of the background is 0, the logit at which object and background are equally
 * likely. With one category the margin is therefore the logit of objectness.
 *
 * `logits`: objectness, then one a category.
 */
export function marginOf(logits: ArrayLike<number>, category: number): number {
  const categories = logits.length - 1;
  if (categories === 1) return logits[0]!;
  let other = 0;
  for (let c = 0; c < categories; c++) {
    if (c !== category) other = Math.max(other, scoreLogit(logits[0]!, logits[1 + c]!));
  }
  return scoreLogit(logits[0]!, logits[1 + category]!) - other;
}

/** Logit of sigmoid(a) * sigmoid(b): -ln(e^-a + e^-b + e^-(a+b)). */
function scoreLogit(a: number, b: number): number {
  const largest = Math.max(-a, -b, -a - b);
  return -largest - Math.log(Math.exp(-a - largest) + Math.exp(-b - largest) + Math.exp(-a - b - largest));
}
