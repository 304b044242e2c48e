import { expect, test } from 'vitest';
import { ciou, diou, giou, iou } from '../../../detection/box.ts';
import { boxDecoding } from '../../../detection/model/box-decoding.ts';
import { type CellGrid, cellGrid, decodeBox } from '../../../detection/model/cells.ts';
import { defaultTrainOptions } from '../../../detection/model/default-options.ts';
import {
  binaryCrossEntropy,
  binaryCrossEntropyOf,
  boxSimilarity,
  focalLoss,
  focalLossOf,
  lossTerms,
  softFocalLoss,
  softFocalLossOf,
  type TargetTensors,
  weightedTotal,
} from '../../../detection/model/loss.ts';
import { createTargetBuilder, smoothed, type TargetBatch, targetShares } from '../../../detection/model/targets.ts';
import { type Tensor, tf } from '../../../detection/model/tf.ts';
import { readTargetNorms } from '../../../detection/model/train-graph.ts';
import { createRandom } from '../../../detection/random.ts';
import type { Architecture, Box } from '../../../detection/types.ts';

type Kind = 'giou' | 'diou' | 'ciou';

function centreAndSize(boxes: readonly Box[]): [Tensor, Tensor] {
  const centre = boxes.map(([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2]);
  return [tf.tensor2d(centre), tf.tensor2d(boxes.map(([x1, y1, x2, y2]) => [x2 - x1, y2 - y1]))];
}

function similarities(a: readonly Box[], b: readonly Box[], kind: Kind): number[] {
  return tf.tidy(() => Array.from(boxSimilarity(...centreAndSize(a), ...centreAndSize(b), kind).dataSync()));
}

// shared/oracles/README.md, "Small vectors".
const pairs: readonly { a: Box; b: Box; giou?: number; diou: number; ciou: number }[] = [
  { a: [0, 0, 4, 2], b: [1, 1, 3, 5], giou: -0.157143, diou: 0.045296, ciou: 0.017817 },
  { a: [0, 0, 10, 10], b: [2, 0, 12, 5], diou: 0.321628, ciou: 0.319033 },
  { a: [0, 0, 2, 2], b: [3, 3, 7, 4], giou: -0.714286, diou: -0.342308, ciou: -0.354835 },
];

test.each(pairs)('box similarities of $a and $b are those worked out in float64', ({ a, b, ...expected }) => {
  for (const kind of ['giou', 'diou', 'ciou'] as const) {
    if (expected[kind] === undefined) continue;
    expect(Math.abs(similarities([a], [b], kind)[0]! - expected[kind])).toBeLessThan(1e-6);
  }
});

test('tensors and plain numbers agree on random boxes', () => {
  const random = createRandom(3);
  const box = (): Box => {
    const [x, y] = [random.next() * 50, random.next() * 50];
    return [x, y, x + 1 + random.next() * 40, y + 1 + random.next() * 40];
  };
  const a = Array.from({ length: 50 }, box);
  const b = Array.from({ length: 50 }, box);
  const plain = { giou, diou, ciou };
  for (const kind of ['giou', 'diou', 'ciou'] as const) {
    for (const [i, value] of similarities(a, b, kind).entries())
      expect(value).toBeCloseTo(plain[kind](a[i]!, b[i]!), 5);
  }
});

test('equal boxes are similar to 1 and have no gradient that is not a number', () => {
  const [centre, size] = centreAndSize([[1, 2, 5, 9]]);
  const [dCentre, dSize] = tf.grads((c: Tensor, s: Tensor) => tf.sum(boxSimilarity(c, s, centre, size, 'ciou')))([
    centre,
    size,
  ]);
  expect(similarities([[1, 2, 5, 9]], [[1, 2, 5, 9]], 'ciou')[0]).toBeCloseTo(1, 6);
  for (const value of [...dCentre!.dataSync(), ...dSize!.dataSync()]) expect(Number.isFinite(value)).toBe(true);
});

test('gradients of the box losses equal finite differences', () => {
  const random = createRandom(5);
  for (const kind of ['giou', 'diou', 'ciou'] as const) {
    for (let trial = 0; trial < 20; trial++) {
      // Overlapping, apart, and one inside the other, of 3 to 23 pixels.
      const away = [4, 40, 1][trial % 3]!;
      const larger = [5, 5, 20][trial % 3]!;
      const target = [random.next() * 4, random.next() * 4, 3 + random.next() * 5, 3 + random.next() * 5];
      const point = [
        away * random.next(),
        away * random.next(),
        larger - 2 + random.next() * 5,
        larger - 2 + random.next() * 5,
      ];
      const alphaAt = alphaOf(point, target);
      // CIoU's alpha is a constant in the gradient, so it is one in the differences too.
      const value = (p: readonly number[]) => {
        const box = corners(p);
        const other = corners(target);
        if (kind === 'giou') return giou(box, other);
        return diou(box, other) - (kind === 'ciou' ? alphaAt * aspectOf(p, target) : 0);
      };
      const [centre, size] = centreAndSize([corners(point)]);
      const [targetCentre, targetSize] = centreAndSize([corners(target)]);
      const gradients = tf.grads((c: Tensor, s: Tensor) => tf.sum(boxSimilarity(c, s, targetCentre, targetSize, kind)))(
        [centre, size],
      );
      const computed = gradients.flatMap((g) => Array.from(g.dataSync()));
      for (let i = 0; i < 4; i++) {
        const shifted = (by: number) => value(point.map((p, j) => (i === j ? p + by : p)));
        // Rounding of float32, against differences in float64.
        expect(Math.abs(computed[i]! - (shifted(1e-5) - shifted(-1e-5)) / 2e-5)).toBeLessThan(2e-6);
      }
    }
  }
});

function corners([cx, cy, w, h]: readonly number[]): Box {
  return [cx! - w! / 2, cy! - h! / 2, cx! + w! / 2, cy! + h! / 2];
}

function aspectOf(a: readonly number[], b: readonly number[]): number {
  return (4 / Math.PI ** 2) * (Math.atan(b[2]! / b[3]!) - Math.atan(a[2]! / a[3]!)) ** 2;
}

function alphaOf(a: readonly number[], b: readonly number[]): number {
  const aspect = aspectOf(a, b);
  const difference = diou(corners(a), corners(b)) - ciou(corners(a), corners(b));
  return aspect > 0 ? difference / aspect : 0;
}

test.each([
  [0, 1, 0.0433217],
  [0, 0, 0.1299651],
  [2, 1, 0.0004509],
  [-2, 1, 0.4125195],
  [2, 0, 1.2375586],
] as const)('focal loss of logit %d for target %d is %d', (logit, target, expected) => {
  const focal = { alpha: 0.25, gamma: 2 };
  const tensor = tf.tidy(() => focalLoss(tf.tensor1d([logit]), tf.tensor1d([target]), focal).dataSync()[0]!);
  expect(Math.abs(tensor - expected)).toBeLessThan(1e-6);
  expect(Math.abs(focalLossOf(logit, target, focal) - expected)).toBeLessThan(1e-6);
});

test('focal loss with gamma 0 and no alpha is binary cross-entropy', () => {
  const logits = tf.tensor1d([-30, -2, 0, 2, 30]);
  const targets = tf.tensor1d([1, 0, 1, 1, 0]);
  const focal = focalLoss(logits, targets, { alpha: -1, gamma: 0 }).dataSync();
  const plain = binaryCrossEntropy(logits, targets).dataSync();
  for (const [i, value] of focal.entries()) {
    expect(value).toBeCloseTo(plain[i]!, 5);
    expect(value).toBeCloseTo(binaryCrossEntropyOf(logits.dataSync()[i]!, targets.dataSync()[i]!), 5);
  }
});

test('the gradient of focal loss equals finite differences, and is finite far out', () => {
  for (const focal of [
    { alpha: 0.25, gamma: 2 },
    { alpha: -1, gamma: 0.5 },
    { alpha: 0.75, gamma: 8 },
  ]) {
    for (const target of [0, 1] as const) {
      const points = [-60, -3, -0.5, 0, 1, 4, 60];
      const targets = tf.fill([points.length], target);
      const gradient = tf
        .grad((x: Tensor) => tf.sum(focalLoss(x, targets, focal)))(tf.tensor1d(points))
        .dataSync();
      for (const [i, x] of points.entries()) {
        const difference = (focalLossOf(x + 1e-5, target, focal) - focalLossOf(x - 1e-5, target, focal)) / 2e-5;
        expect(gradient[i]).toBeCloseTo(difference, 4);
      }
    }
  }
});

test('smoothing by 0.1 makes the targets .95 and .05', () => {
  expect(smoothed(1, 0.1)).toBeCloseTo(0.95, 12);
  expect(smoothed(0, 0.1)).toBeCloseTo(0.05, 12);
});

const softened = [0, 0.05, 0.3, 0.95, 1];

test.each([
  { alpha: 0.25, gamma: 2 },
  { alpha: -1, gamma: 0 },
  { alpha: 0.75, gamma: 1.5 },
])('focal loss of soft targets is that of the formula in float64, with its slope: %o', (focal) => {
  const points = [-20, -3, -0.5, 0, 1, 4, 20];
  for (const target of softened) {
    const targets = tf.fill([points.length], target);
    const values = softFocalLoss(tf.tensor1d(points), targets, focal).dataSync();
    const slopes = tf
      .grad((x: Tensor) => tf.sum(softFocalLoss(x, targets, focal)))(tf.tensor1d(points))
      .dataSync();
    for (const [i, x] of points.entries()) {
      const p = 1 / (1 + Math.exp(-x));
      const alpha = focal.alpha < 0 ? 1 : focal.alpha * target + (1 - focal.alpha) * (1 - target);
      const entropy = -(target * Math.log(p) + (1 - target) * Math.log1p(-p));
      const expected = alpha * Math.abs(target - p) ** focal.gamma * entropy;
      // Beyond 1e-9 of the ends, 1 - p has no digits left in this formula.
      expect(Math.abs(values[i]! - expected)).toBeLessThan(1e-5 * Math.max(1, expected));
      expect(softFocalLossOf(x, target, focal)).toBeCloseTo(expected, 6);
      const difference = (softFocalLossOf(x + 1e-5, target, focal) - softFocalLossOf(x - 1e-5, target, focal)) / 2e-5;
      expect(Math.abs(slopes[i]! - difference)).toBeLessThan(1e-4 * Math.max(1, Math.abs(difference)));
    }
  }
});

test('focal loss of soft targets is the focal loss where targets are hard, and cross-entropy without gamma and alpha', () => {
  for (const target of [0, 1] as const) {
    for (const x of [-4, -1, 0, 2, 5]) {
      const focal = { alpha: 0.25, gamma: 2 };
      expect(softFocalLossOf(x, target, focal)).toBeCloseTo(focalLossOf(x, target, focal), 12);
      expect(softFocalLossOf(x, target, { alpha: -1, gamma: 0 })).toBeCloseTo(binaryCrossEntropyOf(x, target), 12);
    }
  }
});

test('the slope of soft focal loss is finite where the prediction meets its target', () => {
  const logit = Math.log(0.95 / 0.05);
  const slope = tf.grad((x: Tensor) => softFocalLoss(x, tf.scalar(0.95), { alpha: -1, gamma: 0.5 }))(tf.scalar(logit));
  expect(Number.isFinite(slope.dataSync()[0])).toBe(true);
});

/** Predictions in which rows cover ground truths by chance or exactly, raw as the network gives them. */
function randomCase(structure: 'csp' | 'yolov4-tiny', seed: number, count = 6) {
  const architecture: Architecture = {
    depth: 0.33,
    width: 0.125,
    strides: [16, 32],
    anchors: [
      [
        [12, 12],
        [20, 16],
      ],
      [[40, 36]],
    ],
    activation: 'leaky',
    imageSize: 96,
    categories: [
      { id: 1, name: 'a' },
      { id: 2, name: 'b' },
    ],
    ...(structure === 'csp' ? {} : { structure }),
  };
  const random = createRandom(seed);
  const grid = cellGrid(architecture);
  const raw = Float32Array.from({ length: 2 * grid.count * grid.fields }, () => random.normal());
  const boxes = [0, 1].map(() =>
    Float32Array.from(
      Array.from({ length: count }, () => {
        const [width, height] = [8 + random.next() * 40, 8 + random.next() * 40];
        const [x, y] = [random.next() * (96 - width), random.next() * (96 - height)];
        return [x, y, x + width, y + height];
      }).flat(),
    ),
  );
  // Of the second image's first box a neighbour: both are asked of one row.
  boxes[1]!.set(boxes[1]!.subarray(0, 4), 4);
  const classes = boxes.map(() => Int32Array.from({ length: count }, () => random.int(2)));
  return { architecture, grid, raw, input: { boxes, classes, ignore: [Float32Array.of(60, 0, 96, 40), none] } };
}

const none = new Float32Array(0);

function tensorsOf(targets: TargetBatch, grid: CellGrid): TargetTensors {
  const positives = targets.rows.length;
  return {
    objectness: tf.tensor1d(Float32Array.from(targets.objectness)),
    counted: tf.tensor1d(targets.counted),
    rows: tf.tensor1d(targets.rows, 'int32'),
    cells: tf.tensor2d(targets.cells, [positives, 5]),
    boxes: tf.tensor2d(targets.boxes, [positives, 4]),
    classes: tf.tensor2d(targets.classes, [positives, grid.fields - 5]),
    weights: tf.tensor1d(targets.weights),
    normaliser: tf.scalar(1 / targets.positives),
    ...(targets.reachable === undefined
      ? {}
      : {
          reachable: {
            rows: tf.tensor1d(targets.reachable.rows, 'int32'),
            boxes: tf.tensor2d(targets.reachable.boxes, [targets.reachable.rows.length, 4]),
            cells: tf.tensor2d(grid.cells, [grid.count, 5]),
          },
        }),
  };
}

test.each([
  ['csp', 0.5],
  ['csp', 0.2],
  ['yolov4-tiny', 0.3],
  ['yolov4-tiny', 0.35],
] as const)('rows whose predicted box covers a ground truth are no background: %s, IoU %d', (structure, threshold) => {
  let covering = 0;
  for (const seed of [1, 2, 3]) {
    const { architecture, grid, raw, input } = randomCase(structure, seed, 40);
    const options = { ...defaultTrainOptions, ignore: { by: 'prediction' as const, threshold } };
    const targets = createTargetBuilder(architecture, 2, options)(input);
    const { objectness } = lossTerms(
      tf.tensor3d(raw, [2, grid.count, grid.fields]),
      tensorsOf(targets, grid),
      options,
      boxDecoding(architecture),
    );
    // As darknet's forward_yolo_layer has it: every row against every ground truth of its image.
    let expected = 0;
    for (let row = 0; row < 2 * grid.count; row++) {
      const image = Math.floor(row / grid.count);
      const logit = raw[row * grid.fields + 4]!;
      const isPositive = targets.objectness[row] === 1;
      const [cellX, cellY, stride] = grid.cells.subarray((row % grid.count) * 5, (row % grid.count) * 5 + 3);
      const [x, y] = [cellX! + stride! / 2, cellY! + stride! / 2];
      const isInRegion = image === 0 && x >= 60 && y <= 40;
      const predicted = decodeBox(raw, row * grid.fields, grid, row % grid.count);
      const truths = Array.from({ length: 40 }, (_, i) => input.boxes[image]!.subarray(i * 4, i * 4 + 4));
      const covers = truths.some((truth) => iou(predicted, Array.from(truth) as unknown as Box) > threshold);
      if (!isPositive && covers && !isInRegion) covering++;
      if (isPositive || !(covers || isInRegion)) expected += focalLossOf(logit, isPositive ? 1 : 0, options.focal);
    }
    expect(objectness.dataSync()[0]! / (expected / targets.positives)).toBeCloseTo(1, 5);
  }
  expect(covering).toBeGreaterThan(3);
});

test('per-target clipping caps what is above the bound, and leaves background and the other ground truths as they are', () => {
  const { architecture, grid, raw, input } = randomCase('csp', 4);
  const options = { ...defaultTrainOptions, labelSmoothing: 0, assignment: 'best' as const };
  const targets = createTargetBuilder(architecture, 2, options)(input);
  const { owners, shares, rest } = targetShares(targets);
  const plain = tensorsOf(targets, grid);
  const predictions = tf.tensor3d(raw, [2, grid.count, grid.fields]);
  const ends: Tensor[] = [];
  const gradientOf = (tensors: TargetTensors) =>
    tf
      .grad((x: Tensor) => {
        const terms = lossTerms(x, tensors, options, boxDecoding(architecture), (norms) => ends.push(tf.keep(norms)));
        return weightedTotal(terms, options.lossWeights);
      })(predictions)
      .dataSync() as Float32Array;
  const withBound = (bound: number, only?: number): TargetTensors => {
    const isWanted = (k: number) => only === undefined || targets.truths[k] === only;
    return {
      ...plain,
      counted: only === undefined ? tf.tensor1d(rest) : tf.zeros([rest.length]),
      weights: tf.tensor1d(targets.weights.map((weight, k) => (isWanted(k) ? weight : 0))),
      perTarget: {
        owners: tf.tensor1d(owners, 'int32'),
        shares: tf.tensor1d(shares.map((share, k) => (isWanted(k) ? share : 0))),
        bound: tf.scalar(bound),
      },
    };
  };
  const unbounded = gradientOf(withBound(Number.POSITIVE_INFINITY));
  const norms = readTargetNorms(ends.at(-1)!.dataSync() as Float32Array, targets);
  // Same loss, same gradient as without.
  for (const [i, value] of gradientOf(plain).entries()) expect(Math.abs(value - unbounded[i]!)).toBeLessThan(1e-6);

  // Each ground truth alone: its norm is the one that was told, before the division by the number of positives.
  const alone = Array.from({ length: 12 }, (_, truth) => gradientOf(withBound(Number.POSITIVE_INFINITY, truth)));
  const aloneNorms = alone.map((gradient) => Math.hypot(...gradient) * targets.positives);
  // In the order of the positives.
  const order = [...new Set(targets.truths.subarray(0, targets.positives))];
  expect(order).toHaveLength(12);
  for (const [i, truth] of order.entries()) expect(norms[i]! / aloneNorms[truth]!).toBeCloseTo(1, 4);

  const bound = aloneNorms.toSorted((a, b) => a - b)[8]! * 1.0001;
  const clipped = gradientOf(withBound(bound));
  const expected = Array.from(unbounded, (value, i) =>
    alone.reduce((sum, gradient, t) => sum - gradient[i]! * (1 - Math.min(1, bound / aloneNorms[t]!)), value),
  );
  expect(aloneNorms.filter((norm) => norm > bound)).toHaveLength(3);
  for (const [i, value] of clipped.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6);
});

test('a weight of 2 doubles what a ground truth costs and changes no other, one of 0 makes it an ignored place', () => {
  const { architecture, grid, raw, input } = randomCase('csp', 6);
  const boxes = [input.boxes[0]!.slice(0, 4), none];
  const classes = [input.classes[0]!.slice(0, 1), new Int32Array(0)];
  const terms = (weight?: number) => {
    const weights = weight === undefined ? undefined : [Float32Array.of(weight), none];
    const targets = createTargetBuilder(
      architecture,
      2,
      defaultTrainOptions,
    )({ boxes, classes, ignore: [none, none], weights });
    const tensors = tensorsOf(targets, grid);
    const loss = lossTerms(tf.tensor3d(raw, [2, grid.count, grid.fields]), tensors, defaultTrainOptions, {
      kind: 'bounded',
    });
    return [loss.box, loss.class, loss.objectness].map((term) => term.dataSync()[0]!) as [number, number, number];
  };
  const [zero, one, two] = [terms(0), terms(1), terms(2)];
  expect(terms()).toEqual(one);
  expect(zero.slice(0, 2)).toEqual([0, 0]);
  for (const i of [0, 1, 2]) expect(two[i]! - one[i]!).toBeCloseTo(one[i]! - zero[i]!, 4);
  expect(one[2]).toBeGreaterThan(zero[2]);
});
