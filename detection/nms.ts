/** Non-max suppression by torchvision's rule: of boxes by falling score, each suppresses the later ones with IoU > t. */

/** Below this many boxes, comparing with every kept box costs less than keeping a grid. */
const GRID_MIN_BOXES = 256;

/** Kept boxes are filed by size: level i holds longer sides of up to 2^(i - 8) pixels, and the last one all others. */
const LEVELS = 33;
const LEVEL_OFFSET = 8;
const LAST_LEVEL = LEVELS - 1;

/**
 * Indices of the kept boxes by falling score; equal scores in order of index.
 * `boxes` is [N,4] xyxy, `scores` [N], both flat. A box without area neither suppresses nor is suppressed.
 */
export function nms(boxes: Float64Array, scores: Float64Array, iouThreshold: number): Int32Array {
  const count = scores.length;
  if (boxes.length !== count * 4) {
    throw new RangeError(`nms got ${boxes.length} coordinates for ${count} scores, expected ${count * 4}.`);
  }
  if (!(iouThreshold >= 0 && iouThreshold <= 1)) {
    throw new RangeError(`The IoU threshold of nms is ${iouThreshold}, expected 0 to 1.`);
  }
  const order = sortByScore(scores);
  return count < GRID_MIN_BOXES
    ? suppressPairwise(boxes, order, iouThreshold)
    : suppressOnGrid(boxes, order, iouThreshold);
}

/**
 * The same within each category: boxes of different categories never suppress each other.
 * The kept indices of all categories together by falling score, at most `limit`.
 */
export function nmsByCategory(
  boxes: Float64Array,
  scores: Float64Array,
  categories: ArrayLike<number>,
  iouThreshold: number,
  limit = Number.POSITIVE_INFINITY,
): Int32Array {
  const members = new Map<number, number[]>();
  for (let i = 0; i < scores.length; i++) {
    const category = categories[i]!;
    const list = members.get(category);
    if (list) list.push(i);
    else members.set(category, [i]);
  }
  const kept: number[] = [];
  for (const list of members.values()) {
    const ownBoxes = new Float64Array(list.length * 4);
    const ownScores = new Float64Array(list.length);
    for (let j = 0; j < list.length; j++) {
      const i = list[j]!;
      ownBoxes.set(boxes.subarray(i * 4, i * 4 + 4), j * 4);
      ownScores[j] = scores[i]!;
    }
    for (const j of nms(ownBoxes, ownScores, iouThreshold)) kept.push(list[j]!);
  }
  kept.sort((a, b) => scores[b]! - scores[a]! || a - b);
  return Int32Array.from(limit < kept.length ? kept.slice(0, limit) : kept);
}

/** Indices by falling score, equal scores by index. */
export function sortByScore(scores: Float64Array): Int32Array {
  const order = new Int32Array(scores.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  return order.sort((a, b) => scores[b]! - scores[a]! || a - b);
}

/** Every box against every kept box. Exported as the reference that the grid is tested against. */
export function suppressPairwise(boxes: Float64Array, order: Int32Array, iouThreshold: number): Int32Array {
  const kept = new Int32Array(order.length);
  let keptCount = 0;
  for (const i of order) {
    let suppressed = false;
    for (let k = 0; k < keptCount && !suppressed; k++) suppressed = overlaps(boxes, kept[k]! * 4, i * 4, iouThreshold);
    if (!suppressed) kept[keptCount++] = i;
  }
  return kept.slice(0, keptCount);
}

/**
 * Every box against the kept boxes near it. A kept box of level l has sides of at most s = 2^l, so one that meets a box
 * of width w has its centre within (w + s) / 2 of that box's centre: a few cells of side s. Cells are hashed; a collision
 * only costs a comparison.
 */
function suppressOnGrid(boxes: Float64Array, order: Int32Array, iouThreshold: number): Int32Array {
  const count = order.length;
  const kept = new Int32Array(count);
  let keptCount = 0;

  // cells: heads of linked lists of kept boxes; levels: the same, all boxes of a level in one list
  const tableSize = 2 ** Math.ceil(Math.log2(count * 2));
  const cellHead = new Int32Array(tableSize).fill(-1);
  const cellNext = new Int32Array(count);
  const levelHead = new Int32Array(LEVELS).fill(-1);
  const levelNext = new Int32Array(count);
  const levelCount = new Int32Array(LEVELS);
  const cellOf = (level: number, column: number, row: number): number => {
    let hash = Math.imul(column, 0x9e3779b1) ^ Math.imul(row, 0x85ebca6b) ^ Math.imul(level, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    return (hash ^ (hash >>> 13)) & (tableSize - 1);
  };

  // IoU > t needs longer sides within a factor of t: the intersection's sides are at most the smaller box's
  const levelSpan = iouThreshold > 0 ? Math.ceil(Math.log2(1 / iouThreshold)) + 1 : LEVELS;

  for (const i of order) {
    const q = i * 4;
    const width = boxes[q + 2]! - boxes[q]!;
    const height = boxes[q + 3]! - boxes[q + 1]!;
    const centreX = (boxes[q]! + boxes[q + 2]!) / 2;
    const centreY = (boxes[q + 1]! + boxes[q + 3]!) / 2;
    const level = levelOf(Math.max(width, height));

    let suppressed = false;
    for (let l = 0; l < LEVELS && !suppressed; l++) {
      if (levelCount[l] === 0) continue;
      // the first and last level are open-ended, so the factor says nothing about them
      if (l > 0 && l < LAST_LEVEL && level > 0 && level < LAST_LEVEL && Math.abs(l - level) > levelSpan) continue;
      const cell = 2 ** (l - LEVEL_OFFSET);
      const left = Math.floor((centreX - (width + cell) / 2) / cell);
      const right = Math.floor((centreX + (width + cell) / 2) / cell);
      const top = Math.floor((centreY - (height + cell) / 2) / cell);
      const bottom = Math.floor((centreY + (height + cell) / 2) / cell);
      const cells = (right - left + 1) * (bottom - top + 1);

      // more cells than boxes, or coordinates that are no numbers: go through the whole level
      if (l === LAST_LEVEL || !(cells <= levelCount[l]!)) {
        for (let k = levelHead[l]!; k >= 0 && !suppressed; k = levelNext[k]!) {
          suppressed = overlaps(boxes, kept[k]! * 4, q, iouThreshold);
        }
        continue;
      }
      for (let row = top; row <= bottom && !suppressed; row++) {
        for (let column = left; column <= right && !suppressed; column++) {
          for (let k = cellHead[cellOf(l, column, row)]!; k >= 0 && !suppressed; k = cellNext[k]!) {
            suppressed = overlaps(boxes, kept[k]! * 4, q, iouThreshold);
          }
        }
      }
    }
    if (suppressed) continue;

    const k = keptCount++;
    kept[k] = i;
    levelNext[k] = levelHead[level]!;
    levelHead[level] = k;
    levelCount[level]!++;
    const cell = 2 ** (level - LEVEL_OFFSET);
    const head = cellOf(level, Math.floor(centreX / cell), Math.floor(centreY / cell));
    cellNext[k] = cellHead[head]!;
    cellHead[head] = k;
  }
  return kept.slice(0, keptCount);
}

function levelOf(longerSide: number): number {
  if (!(longerSide <= 2 ** (LAST_LEVEL - 1 - LEVEL_OFFSET))) return LAST_LEVEL;
  return Math.max(0, Math.ceil(Math.log2(longerSide)) + LEVEL_OFFSET);
}

/** Whether the IoU of the boxes at `a` and `b` (offsets into `boxes`) is above the threshold. */
function overlaps(boxes: Float64Array, a: number, b: number, iouThreshold: number): boolean {
  const width = Math.min(boxes[a + 2]!, boxes[b + 2]!) - Math.max(boxes[a]!, boxes[b]!);
  if (!(width > 0)) return false;
  const height = Math.min(boxes[a + 3]!, boxes[b + 3]!) - Math.max(boxes[a + 1]!, boxes[b + 1]!);
  if (!(height > 0)) return false;
  const shared = width * height;
  const areaA = (boxes[a + 2]! - boxes[a]!) * (boxes[a + 3]! - boxes[a + 1]!);
  const areaB = (boxes[b + 2]! - boxes[b]!) * (boxes[b + 3]! - boxes[b + 1]!);
  return shared / (areaA + areaB - shared) > iouThreshold;
}
