import { expect, test } from 'vitest';
import { iou } from '../../../detection/box.ts';
import { cellGrid, decodeBox } from '../../../detection/model/cells.ts';
import { createTargetBuilder, positiveCapacity, targetShares } from '../../../detection/model/targets.ts';
import type { TrainOptions } from '../../../detection/model/types.ts';
import { createRandom } from '../../../detection/random.ts';
import type { Architecture } from '../../../detection/types.ts';

const architecture: Architecture = {
  depth: 0.33,
  width: 0.125,
  strides: [8, 16],
  anchors: [
    [
      [8, 8],
      [12, 12],
    ],
    [[40, 40]],
  ],
  activation: 'leaky',
  imageSize: 64,
  categories: [
    { id: 1, name: 'a' },
    { id: 2, name: 'b' },
  ],
};
const grid = cellGrid(architecture);
const none = new Float32Array(0);
const byAnchor: TrainOptions['ignore'] = { by: 'anchor', threshold: 0.7 };

function build(
  boxes: number[],
  options: { assignment?: 'nearby' | 'best'; ignore?: number[]; classes?: number[]; by?: typeof byAnchor } = {},
) {
  const targets = createTargetBuilder(architecture, 1, {
    assignment: options.assignment ?? 'nearby',
    labelSmoothing: 0.1,
    ignore: options.by ?? byAnchor,
  })({
    boxes: [Float32Array.from(boxes)],
    classes: [Int32Array.from(options.classes ?? boxes.slice(0, boxes.length / 4).map(() => 0))],
    ignore: [Float32Array.from(options.ignore ?? [])],
  });
  return targets;
}

/** "stride x,y anchor" of each positive. */
function placesOf(targets: ReturnType<typeof build>): string[] {
  return Array.from(targets.rows.subarray(0, targets.positives), (row) => {
    const [x, y, stride, anchor] = grid.cells.subarray(row * 5, row * 5 + 4);
    return `${stride} ${x! / stride!},${y! / stride!} ${anchor}`;
  }).sort();
}

test('the grid has every cell and anchor, fine heads first', () => {
  expect(grid.count).toBe(8 * 8 * 2 + 4 * 4);
  expect(Array.from(grid.cells.subarray(0, 15))).toEqual([0, 0, 8, 8, 8, 0, 0, 8, 12, 12, 8, 0, 8, 8, 8]);
  expect(Array.from(grid.cells.subarray(128 * 5, 129 * 5))).toEqual([0, 0, 16, 40, 40]);
});

test('raw zeros decode to the anchor at the centre of the cell', () => {
  // Row of head 8, cell (1, 2), anchor 12: x from 8 to 16, y from 16 to 24.
  expect(decodeBox(new Float32Array(5), 0, grid, (2 * 8 + 1) * 2 + 1)).toEqual([6, 14, 18, 26]);
});

test('nearby: the cell of the centre and the two nearest, with every anchor within a factor of 2', () => {
  // Centre (21, 29) is in cell (2, 3) at 5/8, 5/8: nearer to the right and below. The anchor of 40 is 4 times as large.
  expect(placesOf(build([16, 24, 26, 34]))).toEqual([
    '8 2,3 12',
    '8 2,3 8',
    '8 2,4 12',
    '8 2,4 8',
    '8 3,3 12',
    '8 3,3 8',
  ]);
});

test('nearby: no cells beyond the edge, and a shape unlike all anchors still has the best one', () => {
  expect(placesOf(build([0, 0, 2, 2]))).toEqual(['8 0,0 8']);
  expect(placesOf(build([62, 60, 64, 64]))).toEqual(['8 7,7 8']);
});

test('best: the anchor of the best shape at the cell of the centre, and those above an IoU of 0.213', () => {
  // 10x10 on 8x8: 64/100; on 12x12: 100/144; on 40x40: 100/1600.
  expect(placesOf(build([16, 24, 26, 34], { assignment: 'best' }))).toEqual(['8 2,3 12', '8 2,3 8']);
  // 3x3 on 8x8 is 9/64, below the threshold, and still the best.
  expect(placesOf(build([16, 24, 19, 27], { assignment: 'best' }))).toEqual(['8 2,3 8']);
});

test('a positive says where, what and whose it is', () => {
  const targets = build([0, 0, 9, 9, 40, 40, 50, 52], { classes: [1, 0] });
  const last = targets.positives - 1;
  const k = Array.from(targets.truths).indexOf(1);
  expect(Array.from(targets.boxes.subarray(k * 4, k * 4 + 4))).toEqual([45, 46, 10, 12]);
  expect(Array.from(targets.classes.subarray(k * 2, k * 2 + 2), (v) => Math.round(v * 100))).toEqual([95, 5]);
  expect(Array.from(targets.classes.subarray(0, 2), (v) => Math.round(v * 100))).toEqual([5, 95]);
  expect([targets.weights[last], targets.weights[last + 1]]).toEqual([1, 0]);
  expect([targets.truths[last], targets.truths[last + 1]]).toEqual([1, -1]);
  expect(targets.objectness[targets.rows[k]!]).toBe(1);
});

test('rows in an ignore region do not count, unless a target asks for them', () => {
  const empty = build([], { ignore: [16, 16, 32, 32] });
  // Centres 20 and 28 at stride 8, 24 at stride 16.
  expect(empty.counted.filter((c) => c === 0).length).toBe(2 * 2 * 2 + 1);
  const all = build([20, 20, 28, 28], { ignore: [0, 0, 64, 64] });
  expect(all.counted.filter((c) => c === 1).length).toBe(new Set(all.rows.subarray(0, all.positives)).size);
  for (let k = 0; k < all.positives; k++) expect(all.counted[all.rows[k]!]).toBe(1);
});

test('an anchor that covers a target without being asked is neither object nor background', () => {
  const targets = createTargetBuilder({ ...architecture, anchors: [[[40, 40]], [[40, 40]]] }, 1, {
    assignment: 'best',
    labelSmoothing: 0,
    ignore: byAnchor,
  })({ boxes: [Float32Array.of(8, 8, 48, 48)], classes: [Int32Array.of(0)], ignore: [none] });
  // Best rule: centre (28, 28) is in cell (3, 3) of stride 8 and (1, 1) of stride 16.
  const at = (row: number) => [targets.objectness[row], targets.counted[row]];
  expect(at(3 * 8 + 3)).toEqual([1, 1]);
  // The cell beside has its centre at 36: the boxes share 32 of 40 columns, IoU 32/48 = 2/3 < 0.7.
  expect(at(3 * 8 + 4)).toEqual([0, 1]);
  // The one before has its centre at 20 with the same IoU; stride 16 has 24, off by 4 both ways: 36*36 / (3200 - 1296) = 0.68.
  expect(at(3 * 8 + 2)).toEqual([0, 1]);
  expect(at(64 + 5)).toEqual([1, 1]);
});

test('an image without boxes has no positives, and counts everywhere', () => {
  const targets = build([]);
  expect(targets.positives).toBe(0);
  expect(targets.objectness.includes(1)).toBe(false);
  expect(targets.counted.includes(0)).toBe(false);
});

test('more positives than there is room for: the cells of the centres stay', () => {
  const boxes: number[] = [];
  for (let i = 0; i < 400; i++) boxes.push(20, 20, 30, 30);
  const targets = build(boxes);
  expect(targets.positives).toBe(positiveCapacity(architecture, 1));
  expect(new Set(placesOf(targets))).toEqual(new Set(['8 3,3 12', '8 3,3 8']));
});

function randomBoxes(random: ReturnType<typeof createRandom>, count: number, side: number): Float32Array {
  return Float32Array.from(
    Array.from({ length: count }, () => {
      const [width, height] = [2 + random.next() ** 2 * side * 0.8, 2 + random.next() ** 2 * side * 0.8];
      const [x, y] = [random.next() * (side - width), random.next() * (side - height)];
      return [x, y, x + width, y + height];
    }).flat(),
  );
}

/** Positives as forward_yolo_layer of darknet finds them, line by line, with its relative units and its order of loops. */
function darknetRows(boxes: Float32Array, { strides, anchors, imageSize }: Architecture): number[] {
  const all = anchors.flat();
  const overlap = (x1: number, w1: number, x2: number, w2: number) =>
    Math.min(x1 + w1 / 2, x2 + w2 / 2) - Math.max(x1 - w1 / 2, x2 - w2 / 2);
  const boxIou = (a: number[], b: number[]) => {
    const [w, h] = [overlap(a[0]!, a[2]!, b[0]!, b[2]!), overlap(a[1]!, a[3]!, b[1]!, b[3]!)];
    const shared = w < 0 || h < 0 ? 0 : w * h;
    return shared / (a[2]! * a[3]! + b[2]! * b[3]! - shared);
  };
  const rows: number[] = [];
  let start = 0;
  let first = 0;
  for (const [layer, stride] of strides.entries()) {
    const side = imageSize / stride;
    const mask = anchors[layer]!.map((_, i) => first + i);
    for (let t = 0; t < boxes.length / 4; t++) {
      const [x1, y1, x2, y2] = Array.from(boxes.subarray(t * 4, t * 4 + 4), (v) => v / imageSize) as [
        number,
        number,
        number,
        number,
      ];
      const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
      const shifted = [0, 0, x2 - x1, y2 - y1];
      let bestIou = 0;
      let bestN = 0;
      for (const [n, [width, height]] of all.entries()) {
        const found = boxIou([0, 0, width / imageSize, height / imageSize], shifted);
        if (found > bestIou) [bestIou, bestN] = [found, n];
      }
      for (const n of mask) {
        const [width, height] = all[n]!;
        if (n !== bestN && boxIou([0, 0, width / imageSize, height / imageSize], shifted) <= 0.213) continue;
        rows.push(start + (Math.floor(y * side) * side + Math.floor(x * side)) * mask.length + (n - first));
      }
    }
    start += side * side * mask.length;
    first += mask.length;
  }
  return rows.sort((a, b) => a - b);
}

test('best: on random boxes, the same rows as the loops of darknet', () => {
  const random = createRandom(11);
  for (let trial = 0; trial < 40; trial++) {
    const boxes = randomBoxes(random, 8, 64);
    const targets = build([...boxes], { assignment: 'best' });
    const rows = Array.from(targets.rows.subarray(0, targets.positives)).sort((a, b) => a - b);
    expect(rows).toEqual(darknetRows(boxes, architecture));
  }
});

test('in an ignore region no row is a target or background but those asked for a ground truth, with every option', () => {
  const random = createRandom(12);
  for (let trial = 0; trial < 60; trial++) {
    const assignment = trial % 2 === 0 ? ('best' as const) : ('nearby' as const);
    const by = { by: trial % 3 === 0 ? ('prediction' as const) : ('anchor' as const), threshold: 0.3 };
    const boxes = [...randomBoxes(random, 3, 64)];
    const region = randomBoxes(random, 2, 64);
    const targets = build(boxes, { assignment, by, ignore: [...region] });
    const without = build(boxes, { assignment, by });
    // The region changes no target.
    expect(targets.rows).toEqual(without.rows);
    expect(targets.objectness).toEqual(without.objectness);
    for (let row = 0; row < grid.count; row++) {
      const [x, y, stride] = grid.cells.subarray(row * 5, row * 5 + 3);
      const [cx, cy] = [x! + stride! / 2, y! + stride! / 2];
      const isInside = [0, 4].some(
        (r) => cx >= region[r]! && cx <= region[r + 2]! && cy >= region[r + 1]! && cy <= region[r + 3]!,
      );
      const expected = targets.objectness[row] === 1 ? 1 : isInside ? 0 : without.counted[row];
      expect(targets.counted[row]).toBe(expected);
    }
    // What per-target clipping counts apart is taken from there, so a region cannot come back through it.
    const { shares, rest } = targetShares(targets);
    for (const [row, counts] of rest.entries()) {
      expect(counts).toBe(targets.objectness[row] === 1 ? 0 : targets.counted[row]);
    }
    const sum = (values: Float32Array) => values.reduce((a, b) => a + b, 0);
    expect(sum(shares) + sum(rest)).toBeCloseTo(sum(targets.counted), 3);
  }
});

test('the reachable rows hold every row whose box can cover a ground truth, whatever it predicts', () => {
  const random = createRandom(13);
  for (let trial = 0; trial < 40; trial++) {
    const threshold = [0.7, 0.5, 0.2][trial % 3]!;
    const boxes = randomBoxes(random, 4, 64);
    const { reachable } = build([...boxes], { by: { by: 'prediction', threshold } });
    const known = new Set(
      Array.from(reachable!.rows, (row, k) => `${row} ${reachable!.boxes.subarray(k * 4, k * 4 + 4).join()}`),
    );
    expect(known.size).toBe(reachable!.rows.length);
    for (let row = 0; row < grid.count; row++) {
      const raw = Float32Array.from({ length: 5 }, () => random.normal() * 4);
      for (let t = 0; t < 4; t++) {
        const [x1, y1, x2, y2] = boxes.subarray(t * 4, t * 4 + 4) as unknown as [number, number, number, number];
        const width = (x2 - x1) * (0.3 + 1.4 * random.next());
        const height = (y2 - y1) * (0.3 + 1.4 * random.next());
        // A box of any size about the ground truth's, its centre wherever the row can put it.
        const [px1, py1, px2, py2] = decodeBox(raw, 0, grid, row);
        const [cx, cy] = [(px1 + px2) / 2, (py1 + py2) / 2];
        const box = [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2] as const;
        if (iou(box, [x1, y1, x2, y2]) <= threshold) continue;
        const truth = Float32Array.of((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1).join();
        expect(known.has(`${row} ${truth}`), `row ${row}, box ${t}`).toBe(true);
      }
    }
  }
  const nothing = build([], { by: { by: 'prediction', threshold: 0.7 } }).reachable!;
  expect([Array.from(nothing.rows), Array.from(nothing.boxes)]).toEqual([[0], [0, 0, 0, 0]]);
});

test('a positive has the weight of its ground truth, and its row the largest', () => {
  const input = { boxes: [Float32Array.of(16, 24, 26, 34, 40, 40, 48, 48, 16, 24, 26, 34)], ignore: [none] };
  const targets = createTargetBuilder(architecture, 1, { assignment: 'best', labelSmoothing: 0, ignore: byAnchor })({
    ...input,
    classes: [Int32Array.of(0, 0, 1)],
    weights: [Float32Array.of(0.5, 0, 3)],
  });
  for (let k = 0; k < targets.positives; k++) {
    expect(targets.weights[k]).toBe([0.5, 0, 3][targets.truths[k]!]);
    expect(targets.counted[targets.rows[k]!]).toBe(targets.truths[k] === 1 ? 0 : 3);
  }
  expect(targets.weights[targets.positives]).toBe(0);
});
