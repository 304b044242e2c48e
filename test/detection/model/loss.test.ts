import { expect, test } from 'vitest';
import { ciou, diou, giou } from '../../../detection/box.ts';
import {
  binaryCrossEntropy,
  binaryCrossEntropyOf,
  boxSimilarity,
  focalLoss,
  focalLossOf,
} from '../../../detection/model/loss.ts';
import { smoothed } from '../../../detection/model/targets.ts';
import { type Tensor, tf } from '../../../detection/model/tf.ts';
import { createRandom } from '../../../detection/random.ts';
import type { Box } from '../../../detection/types.ts';

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
      const target = [random.next() * 4, random.next() * 4, 3 + random.next() * 5, 3 + random.next() * 5];
      const point = [random.next() * 4, random.next() * 4, 3 + random.next() * 5, 3 + random.next() * 5];
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
        expect(computed[i]).toBeCloseTo((shifted(1e-5) - shifted(-1e-5)) / 2e-5, 4);
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
