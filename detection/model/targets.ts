/** From boxes to what each row of the network should answer, as arrays of fixed shape. */

import type { Architecture } from '../types.ts';
import { CELL_FIELDS, type CellGrid, cellGrid } from './cells.ts';
import type { TrainOptions } from './types.ts';

/**
 * Which rows are asked for a ground truth.
 * - `nearby`, the default: as YOLOv5, every anchor of a similar shape, at the cell of the centre and the two cells nearest to it.
 * - `best`: as darknet, the anchor of the best shape, and all above an IoU of shapes of 0.213, at the cell of the centre.
 *
 * On scenes of targets of 5 to 16 pixels, 300 steps gave AP at IoU .5 and .75 of .87 and .59 with `nearby`, .86 and .49 with `best`.
 */
export type Assignment = 'nearby' | 'best';

/**
 * Anchors within this factor in width and height are similar. YOLOv5 takes 4, with which small targets are asked of coarse cells too
 * that several of them share: the same scenes then gave .74 and .31.
 */
const SHAPE_RATIO_LIMIT = 2;
/** `iou_thresh` of darknet's yolov4.cfg. */
const SHAPE_IOU_THRESHOLD = 0.213;

export interface TargetBatch {
  /** [B*N] 1 where there is an object. */
  readonly objectness: Uint8Array;
  /**
   * [B*N] what objectness counts in the loss: 1, but 0 in ignore regions, and with `ignore.by: anchor` 0 where an anchor covers a
   * ground truth without being asked for it. A positive always counts, as much as its ground truth's weight (the largest, where
   * several ask for one row).
   */
  readonly counted: Float32Array;
  /** [P] row (over the whole batch) of each positive; 0 beyond the last. */
  readonly rows: Int32Array;
  /** [P*5] the cell of each positive, as in CellGrid. */
  readonly cells: Float32Array;
  /** [P*4] its ground truth: centre x, y, width, height, in input pixels. */
  readonly boxes: Float32Array;
  /** [P*C] its categories, smoothed. */
  readonly classes: Float32Array;
  /** [P] weight of a positive's ground truth, 1 unless given; 0 beyond the last. */
  readonly weights: Float32Array;
  /** [P] index of its ground truth, counted over the batch; -1 beyond the last. */
  readonly truths: Int32Array;
  /** `ignore.by: prediction`: the pairs of `reachableRows`. */
  readonly reachable?: ReachableRows;
  /** Number of positives. */
  readonly positives: number;
}

export interface TargetInput {
  readonly boxes: readonly Float32Array[];
  readonly classes: readonly Int32Array[];
  readonly ignore: readonly Float32Array[];
  /** For each image, [N] weight of each box's loss; absent: 1. */
  readonly weights?: readonly Float32Array[];
}

/** Pairs of a row and a ground truth whose IoU has to be looked at, because the row's predicted box can come to exceed the threshold. */
export interface ReachableRows {
  /** [K] row over the whole batch; at least one pair, of no extent where there is none. */
  readonly rows: Int32Array;
  /** [K*4] ground truth: centre x, y, width, height, in input pixels. */
  readonly boxes: Float32Array;
}

export type TargetOptions = Pick<TrainOptions, 'assignment' | 'labelSmoothing' | 'ignore'>;

/** Positives that a batch has room for: with more, those at the cells beside the centres are left out first. */
export function positiveCapacity(architecture: Architecture, batchSize: number): number {
  const { count } = cellGrid(architecture);
  return batchSize * Math.min(4096, Math.max(512, Math.ceil(count / 4)));
}

/** Makes the targets of one batch after another. The arrays of a result are used again for the next. */
export function createTargetBuilder(architecture: Architecture, batchSize: number, options: TargetOptions) {
  const grid = cellGrid(architecture);
  const capacity = positiveCapacity(architecture, batchSize);
  const categories = architecture.categories.length;
  const objectness = new Uint8Array(batchSize * grid.count);
  const counted = new Float32Array(batchSize * grid.count);
  const rows = new Int32Array(capacity);
  const cells = new Float32Array(capacity * CELL_FIELDS);
  const boxes = new Float32Array(capacity * 4);
  const classes = new Float32Array(capacity * categories);
  const weights = new Float32Array(capacity);
  const truths = new Int32Array(capacity);
  const on = smoothed(1, options.labelSmoothing);
  const off = smoothed(0, options.labelSmoothing);

  return (input: TargetInput): TargetBatch => {
    objectness.fill(0);
    counted.fill(1);
    rows.fill(0);
    weights.fill(0);
    truths.fill(-1);
    classes.fill(0);
    // A row beyond the last still passes through the box loss, where its zero weight must not meet an infinity.
    cells.fill(1);
    boxes.fill(1);

    const central: Positive[] = [];
    const beside: Positive[] = [];
    const all: Target[] = [];
    let truth = 0;
    for (const [image, imageBoxes] of input.boxes.entries()) {
      for (let i = 0; i < imageBoxes.length / 4; i++, truth++) {
        const [x1, y1, x2, y2] = imageBoxes.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
        const target: Target = {
          truth,
          image,
          category: input.classes[image]![i]!,
          cx: (x1 + x2) / 2,
          cy: (y1 + y2) / 2,
          width: x2 - x1,
          height: y2 - y1,
          weight: input.weights?.[image]?.[i] ?? 1,
        };
        all.push(target);
        if (options.assignment === 'nearby') assignNearby(grid, target, central, beside);
        else assignBest(grid, target, central);
        if (options.ignore.by === 'anchor') uncountCovering(grid, target, counted, options.ignore.threshold);
      }
      uncountRegions(grid, input.ignore[image]!, counted, image);
    }

    let positives = 0;
    for (const { target, row } of [...central, ...beside]) {
      const batchRow = target.image * grid.count + row;
      counted[batchRow] = objectness[batchRow] === 1 ? Math.max(counted[batchRow]!, target.weight) : target.weight;
      objectness[batchRow] = 1;
      if (positives === capacity) continue;
      const k = positives++;
      rows[k] = batchRow;
      weights[k] = target.weight;
      truths[k] = target.truth;
      cells.set(grid.cells.subarray(row * CELL_FIELDS, (row + 1) * CELL_FIELDS), k * CELL_FIELDS);
      boxes[k * 4] = target.cx;
      boxes[k * 4 + 1] = target.cy;
      boxes[k * 4 + 2] = target.width;
      boxes[k * 4 + 3] = target.height;
      for (let c = 0; c < categories; c++) classes[k * categories + c] = c === target.category ? on : off;
    }
    const targets = { objectness, counted, rows, cells, boxes, classes, weights, truths, positives };
    if (options.ignore.by === 'anchor') return targets;
    return { ...targets, reachable: reachableRows(grid, all, options.ignore.threshold) };
  };
}

/**
 * For each positive the first positive of the same ground truth (`owners`; its own place beyond the last), and what its
 * objectness counts (`shares`): that of its row, divided evenly where a row is asked for several ground truths. `rest` is
 * `counted` without the positives, so that shares and rest together count what `counted` did.
 */
export function targetShares({ counted, rows, truths, positives }: TargetBatch): {
  owners: Int32Array;
  shares: Float32Array;
  rest: Float32Array;
} {
  const owners = Int32Array.from(rows, (_, k) => k);
  const shares = new Float32Array(rows.length);
  const rest = counted.slice();
  const first = new Map<number, number>();
  const asked = new Map<number, number>();
  for (let k = 0; k < positives; k++) {
    const truth = truths[k]!;
    if (!first.has(truth)) first.set(truth, k);
    owners[k] = first.get(truth)!;
    asked.set(rows[k]!, (asked.get(rows[k]!) ?? 0) + 1);
  }
  for (let k = 0; k < positives; k++) {
    shares[k] = counted[rows[k]!]! / asked.get(rows[k]!)!;
    rest[rows[k]!] = 0;
  }
  return { owners, shares, rest };
}

/** Binary targets 0 and 1 moved towards each other: eps / 2 and 1 - eps / 2 (Szegedy et al., 2016, for two classes). */
export function smoothed(target: 0 | 1, eps: number): number {
  return target * (1 - eps) + eps / 2;
}

interface Target {
  readonly truth: number;
  readonly image: number;
  readonly category: number;
  readonly cx: number;
  readonly cy: number;
  readonly width: number;
  readonly height: number;
  readonly weight: number;
}

interface Positive {
  readonly target: Target;
  /** Row within the image. */
  readonly row: number;
}

type Head = CellGrid['heads'][number];

function assignNearby(grid: CellGrid, target: Target, central: Positive[], beside: Positive[]): void {
  let found = false;
  for (const head of grid.heads) {
    for (let a = 0; a < head.anchors.length; a++) {
      const [width, height] = head.anchors[a]!;
      const across = target.width / width;
      const down = target.height / height;
      if (Math.max(across, 1 / across, down, 1 / down) >= SHAPE_RATIO_LIMIT) continue;
      found = true;
      assignAnchor(head, a, target, central, beside);
    }
  }
  // A shape that no anchor comes near is still to be found: by the anchor that is least unlike.
  if (!found) {
    const { head, anchor } = bestAnchor(grid, target);
    assignAnchor(head, anchor, target, central, beside);
  }
}

function assignAnchor(head: Head, anchor: number, target: Target, central: Positive[], beside: Positive[]): void {
  const x = target.cx / head.stride;
  const y = target.cy / head.stride;
  const column = clampCell(x, head);
  const line = clampCell(y, head);
  central.push({ target, row: rowAt(head, column, line, anchor) });
  const nextColumn = x - column < 0.5 ? column - 1 : column + 1;
  const nextLine = y - line < 0.5 ? line - 1 : line + 1;
  if (nextColumn >= 0 && nextColumn < head.side) {
    beside.push({ target, row: rowAt(head, nextColumn, line, anchor) });
  }
  if (nextLine >= 0 && nextLine < head.side) beside.push({ target, row: rowAt(head, column, nextLine, anchor) });
}

function assignBest(grid: CellGrid, target: Target, central: Positive[]): void {
  const best = bestAnchor(grid, target);
  for (const head of grid.heads) {
    for (let a = 0; a < head.anchors.length; a++) {
      const isBest = head === best.head && a === best.anchor;
      if (!isBest && shapeIou(target, head.anchors[a]!) <= SHAPE_IOU_THRESHOLD) continue;
      const row = rowAt(head, clampCell(target.cx / head.stride, head), clampCell(target.cy / head.stride, head), a);
      central.push({ target, row });
    }
  }
}

function bestAnchor(grid: CellGrid, target: Target): { head: Head; anchor: number } {
  let best = { head: grid.heads[0]!, anchor: 0 };
  let bestIou = -1;
  for (const head of grid.heads) {
    for (let anchor = 0; anchor < head.anchors.length; anchor++) {
      const iou = shapeIou(target, head.anchors[anchor]!);
      if (iou > bestIou) {
        bestIou = iou;
        best = { head, anchor };
      }
    }
  }
  return best;
}

/** IoU of two boxes with one centre. */
function shapeIou({ width, height }: Target, [anchorWidth, anchorHeight]: readonly [number, number]): number {
  const shared = Math.min(width, anchorWidth) * Math.min(height, anchorHeight);
  return shared / (width * height + anchorWidth * anchorHeight - shared);
}

function rowAt({ start, side, anchors }: Head, column: number, line: number, anchor: number): number {
  return start + (line * side + column) * anchors.length + anchor;
}

/** A centre on the far edge of the image belongs to the last cell. */
function clampCell(position: number, { side }: Head): number {
  return Math.min(side - 1, Math.max(0, Math.floor(position)));
}

function uncountCovering(grid: CellGrid, target: Target, counted: Float32Array, threshold: number): void {
  for (const head of grid.heads) {
    for (const [a, [width, height]] of head.anchors.entries()) {
      if (shapeIou(target, [width, height]) <= threshold) continue;
      // Boxes further apart than this share of the larger side cannot reach the threshold.
      const reachX = (1 - threshold) * Math.max(target.width, width);
      const reachY = (1 - threshold) * Math.max(target.height, height);
      const firstColumn = Math.max(0, Math.ceil((target.cx - reachX) / head.stride - 0.5));
      const lastColumn = Math.min(head.side - 1, Math.floor((target.cx + reachX) / head.stride - 0.5));
      const firstLine = Math.max(0, Math.ceil((target.cy - reachY) / head.stride - 0.5));
      const lastLine = Math.min(head.side - 1, Math.floor((target.cy + reachY) / head.stride - 0.5));
      for (let line = firstLine; line <= lastLine; line++) {
        for (let column = firstColumn; column <= lastColumn; column++) {
          const dx = Math.abs((column + 0.5) * head.stride - target.cx);
          const dy = Math.abs((line + 0.5) * head.stride - target.cy);
          const sharedX = Math.min(width, target.width, (width + target.width) / 2 - dx);
          const sharedY = Math.min(height, target.height, (height + target.height) / 2 - dy);
          const shared = Math.max(0, sharedX) * Math.max(0, sharedY);
          const iou = shared / (width * height + target.width * target.height - shared);
          if (iou > threshold) counted[target.image * grid.count + rowAt(head, column, line, a)] = 0;
        }
      }
    }
  }
}

/** A predicted centre stays within this many strides of the centre of its cell, with every way of box-decoding.ts. */
const CENTRE_REACH = 1;

/**
 * The rows whose predicted box can have an IoU above the threshold with a ground truth, whatever they predict. For an IoU above t,
 * a side of the box is between t and 1/t times that of the ground truth, and then the centres are at most
 * max(1 - t, (1/t - 1) / 2) of the ground truth's side apart. (Rows of predictions far from their own cell cannot be.)
 */
export function reachableRows(grid: CellGrid, targets: readonly TargetPlace[], threshold: number): ReachableRows {
  const share = Math.max(1 - threshold, (1 / threshold - 1) / 2);
  const ranges = targets.flatMap(({ image, cx, cy, width, height }, target) =>
    grid.heads.map((head) => {
      const across = share * width + CENTRE_REACH * head.stride;
      const down = share * height + CENTRE_REACH * head.stride;
      return {
        target,
        head,
        offset: image * grid.count,
        firstColumn: Math.max(0, Math.ceil((cx - across) / head.stride - 0.5)),
        lastColumn: Math.min(head.side - 1, Math.floor((cx + across) / head.stride - 0.5)),
        firstLine: Math.max(0, Math.ceil((cy - down) / head.stride - 0.5)),
        lastLine: Math.min(head.side - 1, Math.floor((cy + down) / head.stride - 0.5)),
      };
    }),
  );
  let count = 0;
  for (const { head, firstColumn, lastColumn, firstLine, lastLine } of ranges) {
    count += Math.max(0, lastColumn - firstColumn + 1) * Math.max(0, lastLine - firstLine + 1) * head.anchors.length;
  }
  const rows = new Int32Array(Math.max(1, count));
  const boxes = new Float32Array(rows.length * 4);
  let k = 0;
  for (const { target, head, offset, firstColumn, lastColumn, firstLine, lastLine } of ranges) {
    const { cx, cy, width, height } = targets[target]!;
    for (let line = firstLine; line <= lastLine; line++) {
      const from = offset + rowAt(head, firstColumn, line, 0);
      const to = offset + rowAt(head, lastColumn, line, 0) + head.anchors.length;
      for (let row = from; row < to; row++, k++) {
        rows[k] = row;
        boxes[k * 4] = cx;
        boxes[k * 4 + 1] = cy;
        boxes[k * 4 + 2] = width;
        boxes[k * 4 + 3] = height;
      }
    }
  }
  return { rows, boxes };
}

export type TargetPlace = Pick<Target, 'image' | 'cx' | 'cy' | 'width' | 'height'>;

function uncountRegions(grid: CellGrid, regions: Float32Array, counted: Float32Array, image: number): void {
  for (let i = 0; i < regions.length; i += 4) {
    const [x1, y1, x2, y2] = regions.subarray(i, i + 4) as unknown as [number, number, number, number];
    for (const head of grid.heads) {
      const firstColumn = Math.max(0, Math.ceil(x1 / head.stride - 0.5));
      const lastColumn = Math.min(head.side - 1, Math.floor(x2 / head.stride - 0.5));
      const firstLine = Math.max(0, Math.ceil(y1 / head.stride - 0.5));
      const lastLine = Math.min(head.side - 1, Math.floor(y2 / head.stride - 0.5));
      for (let line = firstLine; line <= lastLine; line++) {
        const from = image * grid.count + rowAt(head, firstColumn, line, 0);
        const to = image * grid.count + rowAt(head, lastColumn, line, 0) + head.anchors.length;
        if (to > from) counted.fill(0, from, to);
      }
    }
  }
}
