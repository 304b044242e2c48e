import { expect, test } from 'vitest';
import { cellGrid, decodeBox } from '../../../detection/model/cells.ts';
import { createTargetBuilder, positiveCapacity } from '../../../detection/model/targets.ts';
import type { TrainOptions } from '../../../detection/model/types.ts';
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
