/** Synthetic scenes with known truth: small fruit among leaves, as photos that several images are cut from. */

import { groupByImage } from './annotations.ts';
import { clip, iou } from './box.ts';
import { createRandom, hashSeed, type Random } from './random.ts';
import type { Annotation, Box, Category } from './types.ts';

export interface SceneOptions {
  /** Pixels of a side; scenes are square. Default 160. */
  readonly imageSize?: number;
  /** How many categories, 1 to 3. Default 1. */
  readonly categories?: number;
  /** Mean number of targets an image. Default 5. */
  readonly targets?: number;
  /** Side of the median target as a share of the image. Default 0.08. */
  readonly targetSize?: number;
  /** Share of targets of the rare kind, which hardly differs from the leaves around it. Default 0.04. */
  readonly tailShare?: number;
}

export interface Scene {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3], RGB. */
  readonly pixels: Uint8Array;
  /** Images of one group are cut from one photo and overlap. */
  readonly group: string;
  readonly targets: readonly SceneTarget[];
}

export interface SceneTarget {
  readonly categoryId: number;
  readonly box: Box;
  /** Its feature, 0..8: how often each occurs follows a normal distribution. 9 is the rare kind. */
  readonly kind: number;
  /** Share of it that leaves and other targets cover, 0..1. */
  readonly occlusion: number;
}

export const RARE_KIND = 9;

const CATEGORIES: readonly Category[] = [
  { id: 1, name: 'berry' },
  { id: 2, name: 'bud' },
  { id: 3, name: 'flower' },
];

export function sceneCategories(count: number): readonly Category[] {
  if (!(Number.isInteger(count) && count >= 1 && count <= CATEGORIES.length)) {
    throw new RangeError(`Scenes have 1 to ${CATEGORIES.length} categories, not ${count}.`);
  }
  return CATEGORIES.slice(0, count);
}

/** Neighbouring crops of a photo share a quarter of their width. */
const CROP_STEP = 0.75;
/** What shows less than this is not drawn at all: nobody could label it. */
const MIN_VISIBLE = 0.4;

type Colour = readonly [red: number, green: number, blue: number];

interface Target {
  readonly categoryId: number;
  readonly kind: number;
  readonly x: number;
  readonly y: number;
  readonly radiusX: number;
  readonly radiusY: number;
  readonly colour: Colour;
  /** Pixels over which the edge fades. */
  readonly blur: number;
  occlusion: number;
}

/** An ellipse that is turned: leaves in front and behind, blades and holes that only resemble targets. */
interface Blob {
  readonly x: number;
  readonly y: number;
  readonly radiusX: number;
  readonly radiusY: number;
  readonly cos: number;
  readonly sin: number;
  readonly colour: Colour;
}

interface Photo {
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  readonly behind: readonly Blob[];
  readonly targets: readonly Target[];
  readonly front: readonly Blob[];
  readonly light: number;
}

/** Scene `index` of a seed; the same for the same arguments, in any order. */
export function generateScene(options: SceneOptions, seed: number | string, index: number): Scene {
  const size = options.imageSize ?? 160;
  const { photoIndex, crop, crops } = photoOf(index);
  const photo = composePhoto(options, size, crops, hashSeed('photo', seed, photoIndex));
  const left = Math.round(crop * CROP_STEP * size);
  const pixels = render(photo, left, size, hashSeed('grain', seed, index));
  const targets: SceneTarget[] = [];
  for (const { categoryId, kind, occlusion, x, y, radiusX, radiusY } of photo.targets) {
    const whole: Box = [x - radiusX - left, y - radiusY, x + radiusX - left, y + radiusY];
    const box = clip(whole, size, size);
    const inside = (Math.max(0, box[2] - box[0]) * (box[3] - box[1])) / (4 * radiusX * radiusY);
    // a sliver at the border is no target
    if (inside >= 0.25) targets.push({ categoryId, box, kind, occlusion });
  }
  return { width: size, height: size, pixels, group: `photo${photoIndex}`, targets };
}

/** Photos give two and three images in turn. */
function photoOf(index: number): { photoIndex: number; crop: number; crops: number } {
  const inPair = index % 5;
  const photoIndex = Math.floor(index / 5) * 2 + (inPair < 2 ? 0 : 1);
  return inPair < 2 ? { photoIndex, crop: inPair, crops: 2 } : { photoIndex, crop: inPair - 2, crops: 3 };
}

function composePhoto(options: SceneOptions, size: number, crops: number, seed: number): Photo {
  const { categories = 1, targets: meanTargets = 5, targetSize = 0.08, tailShare = 0.04 } = options;
  sceneCategories(categories);
  const random = createRandom(seed);
  const width = Math.round(size * (1 + CROP_STEP * (crops - 1)));
  const height = size;
  const light = 0.8 + 0.35 * random.next();
  const share = width / size;

  const behind: Blob[] = [];
  for (let i = 0; i < 14 * share; i++) behind.push(leaf(random, width, height, size));
  // of a target's colour or a target's outline, but never both
  for (let i = 0; i < 3 * share; i++) {
    behind.push(blob(random, width, height, size * (0.05 + 0.05 * random.next()), 0.14, fruitColour(random.normal())));
  }
  for (let i = 0; i < 3 * share; i++) {
    behind.push(blob(random, width, height, size * (0.02 + 0.03 * random.next()), 0.8, [32, 34, 26]));
  }

  const targets: Target[] = [];
  const count = poisson(random, meanTargets * share);
  for (let i = 0; i < count; i++) {
    // every third grows beside the one before, so that there are clusters
    const beside = i % 3 === 2 ? targets.at(-1) : undefined;
    const target = drawTarget(random, { width, height, categories, tailShare, side: targetSize * size }, beside);
    const box = boxOf(target);
    if (targets.every((other) => iou(boxOf(other), box) < 0.3)) targets.push(target);
  }

  const front: Blob[] = [];
  for (let i = 0; i < 5 * share; i++) front.push(leaf(random, width, height, size * 0.7));
  const visible = targets.filter((target, i) => {
    target.occlusion = occlusion(target, targets.slice(i + 1), front);
    return target.occlusion <= 1 - MIN_VISIBLE;
  });
  return { width, height, seed, behind, targets: visible, front, light };
}

function drawTarget(
  random: Random,
  scene: { width: number; height: number; categories: number; tailShare: number; side: number },
  beside: Target | undefined,
): Target {
  const categoryId = 1 + random.int(scene.categories);
  const feature = random.normal();
  const rare = random.next() < scene.tailShare;
  const side = Math.max(5, scene.side * Math.exp(0.3 * random.normal()));
  const aspect = categoryId === 2 ? 0.55 : 0.9 + 0.2 * random.next();
  const radiusX = (side / 2) * Math.sqrt(aspect);
  const radiusY = side / 2 / Math.sqrt(aspect);
  const angle = random.next() * 2 * Math.PI;
  const distance = side * (0.8 + 0.5 * random.next());
  const place = [random.next() * scene.width, random.next() * scene.height] as const;
  return {
    categoryId,
    kind: rare ? RARE_KIND : Math.min(8, Math.max(0, Math.round(feature * 1.6) + 4)),
    x: beside ? beside.x + Math.cos(angle) * distance : place[0],
    y: beside ? beside.y + Math.sin(angle) * distance : place[1],
    radiusX,
    radiusY,
    colour: rare ? leafColour(random) : targetColour(categoryId, feature),
    blur: 0.7 + 1.3 * random.next() ** 2,
    occlusion: 0,
  };
}

function boxOf({ x, y, radiusX, radiusY }: Target): Box {
  return [x - radiusX, y - radiusY, x + radiusX, y + radiusY];
}

function targetColour(categoryId: number, feature: number): Colour {
  if (categoryId === 2) return [176 + 18 * feature, 184 - 10 * feature, 70];
  if (categoryId === 3) return [226 + 8 * feature, 214 - 14 * feature, 222];
  return fruitColour(feature);
}

/** From dark purple over red to orange: the commonest is red, and both ends are rare. */
function fruitColour(feature: number): Colour {
  const ripe = Math.max(-2.5, Math.min(2.5, feature)) / 2.5;
  return ripe < 0 ? [186 + 96 * ripe, 42 + 4 * ripe, 52 - 26 * ripe] : [186 + 34 * ripe, 42 + 92 * ripe, 52 - 8 * ripe];
}

function leafColour(random: Random): Colour {
  const tone = random.next();
  return [52 + 44 * tone, 92 + 50 * tone, 40 + 24 * random.next()];
}

function leaf(random: Random, width: number, height: number, size: number): Blob {
  return blob(
    random,
    width,
    height,
    size * (0.05 + 0.11 * random.next()),
    0.4 + 0.2 * random.next(),
    leafColour(random),
  );
}

function blob(random: Random, width: number, height: number, radius: number, aspect: number, colour: Colour): Blob {
  const angle = random.next() * Math.PI;
  return {
    x: random.next() * width,
    y: random.next() * height,
    radiusX: radius,
    radiusY: radius * aspect,
    cos: Math.cos(angle),
    sin: Math.sin(angle),
    colour,
  };
}

/** Knuth's way, exact for the small means here. */
function poisson(random: Random, mean: number): number {
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random.next(); product > limit; product *= random.next()) count++;
  return count;
}

/** Share of the target's disc that lies under later targets or leaves in front, at 15 x 15 places. */
function occlusion(target: Target, later: readonly Target[], front: readonly Blob[]): number {
  let places = 0;
  let covered = 0;
  for (let row = -7; row <= 7; row++) {
    for (let column = -7; column <= 7; column++) {
      if (row * row + column * column > 49) continue;
      places++;
      const x = target.x + (column / 7) * target.radiusX;
      const y = target.y + (row / 7) * target.radiusY;
      const hidden =
        front.some((leaf) => distanceIn(leaf, x, y) < 1) ||
        later.some((other) => ((x - other.x) / other.radiusX) ** 2 + ((y - other.y) / other.radiusY) ** 2 < 1);
      if (hidden) covered++;
    }
  }
  return covered / places;
}

/** Below 1 inside the ellipse. */
function distanceIn({ x, y, radiusX, radiusY, cos, sin }: Blob, atX: number, atY: number): number {
  const along = (atX - x) * cos + (atY - y) * sin;
  const across = (atY - y) * cos - (atX - x) * sin;
  return (along / radiusX) ** 2 + (across / radiusY) ** 2;
}

/** The square of the photo from `left` on, from back to front. */
function render(photo: Photo, left: number, size: number, grainSeed: number): Uint8Array {
  const canvas = new Float32Array(size * size * 3);
  const texture = foliage(photo.seed, left, size);
  for (let i = 0; i < texture.length; i++) {
    canvas[i * 3] = 34 + 62 * texture[i]!;
    canvas[i * 3 + 1] = 58 + 74 * texture[i]!;
    canvas[i * 3 + 2] = 28 + 34 * texture[i]!;
  }
  for (const shape of photo.behind) drawBlob(canvas, size, left, shape);
  for (const target of photo.targets) drawTargetOn(canvas, size, left, target);
  for (const shape of photo.front) drawBlob(canvas, size, left, shape);

  const grain = createRandom(grainSeed);
  const pixels = new Uint8Array(canvas.length);
  for (let at = 0; at < pixels.length; at += 3) {
    // one draw a pixel, as a sensor's noise is mostly in brightness
    const noise = (grain.next() + grain.next() + grain.next() - 1.5) * 14;
    for (let c = 0; c < 3; c++) {
      pixels[at + c] = Math.max(0, Math.min(255, Math.round(canvas[at + c]! * photo.light + noise)));
    }
  }
  return pixels;
}

function drawBlob(canvas: Float32Array, size: number, left: number, shape: Blob): void {
  const reach = Math.max(shape.radiusX, shape.radiusY) + 2;
  eachPixel(size, shape.x - left, shape.y, reach, (x, y, at) => {
    const distance = Math.sqrt(distanceIn(shape, x + left, y));
    const alpha = clamp01((1 - distance) * shape.radiusY + 0.5);
    if (alpha === 0) return;
    // darker to the edge, with a light rib along the middle
    const across = ((y - shape.y) * shape.cos - (x + left - shape.x) * shape.sin) / shape.radiusY;
    const shade = 1.12 - 0.38 * distance * distance + (Math.abs(across) < 0.1 ? 0.12 : 0);
    blend(canvas, at, shape.colour, shade, alpha);
  });
}

function drawTargetOn(canvas: Float32Array, size: number, left: number, target: Target): void {
  const { radiusX, radiusY, blur, categoryId } = target;
  const radius = Math.min(radiusX, radiusY);
  const reach = Math.max(radiusX, radiusY) + blur + 1;
  eachPixel(size, target.x - left, target.y, reach, (x, y, at) => {
    const u = (x - (target.x - left)) / radiusX;
    const v = (y - target.y) / radiusY;
    const distance = Math.sqrt(u * u + v * v);
    // a flower has five petals around a yellow heart
    const outline = categoryId === 3 ? 0.8 + 0.2 * Math.cos(5 * Math.atan2(v, u)) : 1;
    const alpha = clamp01(((outline - distance) * radius) / blur + 0.5);
    if (alpha === 0) return;
    if (categoryId === 3) {
      blend(canvas, at, distance < 0.32 ? [222, 176, 40] : target.colour, 1.05 - 0.25 * distance, alpha);
      return;
    }
    // a ball lit from the upper left, with a highlight
    const depth = Math.sqrt(Math.max(0, 1 - distance * distance));
    const facing = -0.5 * u - 0.6 * v + 0.62 * depth;
    const shade = 0.55 + 0.6 * Math.max(0, facing);
    const highlight = clamp01(1 - Math.hypot(u + 0.35, v + 0.4) * 3.5);
    blend(canvas, at, target.colour, shade + 0.5 * highlight, alpha);
  });
}

function eachPixel(
  size: number,
  centreX: number,
  centreY: number,
  reach: number,
  draw: (x: number, y: number, at: number) => void,
): void {
  const fromX = Math.max(0, Math.floor(centreX - reach));
  const toX = Math.min(size - 1, Math.ceil(centreX + reach));
  const fromY = Math.max(0, Math.floor(centreY - reach));
  const toY = Math.min(size - 1, Math.ceil(centreY + reach));
  for (let y = fromY; y <= toY; y++) {
    // pixel centres, since boxes are edges
    for (let x = fromX; x <= toX; x++) draw(x + 0.5, y + 0.5, (y * size + x) * 3);
  }
}

function blend(canvas: Float32Array, at: number, colour: Colour, shade: number, alpha: number): void {
  for (let c = 0; c < 3; c++) canvas[at + c] = canvas[at + c]! * (1 - alpha) + colour[c]! * shade * alpha;
}

/**
 * [size, size], 0..1: value noise in three octaves. It is a function of the place in the photo, so that crops agree
 * where they overlap.
 */
function foliage(seed: number, left: number, size: number): Float32Array {
  const field = new Float32Array(size * size);
  addNoise(field, seed, left, size, (27 * size) / 160, 0.5);
  addNoise(field, seed + 1, left, size, (9 * size) / 160, 0.3);
  addNoise(field, seed + 2, left, size, (3 * size) / 160, 0.2);
  return field;
}

/** Adds noise of one cell width in pixels: random at the corners of the cells, smooth between them. */
function addNoise(field: Float32Array, seed: number, left: number, size: number, cell: number, weight: number): void {
  const firstColumn = Math.floor(left / cell);
  const columns = Math.floor((left + size) / cell) - firstColumn + 2;
  const rows = Math.floor(size / cell) + 2;
  const corners = new Float32Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      corners[row * columns + column] = lattice(seed, firstColumn + column, row);
    }
  }
  for (let y = 0; y < size; y++) {
    const row = Math.floor(y / cell);
    const v = smooth(y / cell - row);
    for (let x = 0; x < size; x++) {
      const column = Math.floor((x + left) / cell);
      const u = smooth((x + left) / cell - column);
      const at = row * columns + column - firstColumn;
      const top = corners[at]! * (1 - u) + corners[at + 1]! * u;
      const bottom = corners[at + columns]! * (1 - u) + corners[at + columns + 1]! * u;
      field[y * size + x]! += weight * (top * (1 - v) + bottom * v);
    }
  }
}

function lattice(seed: number, column: number, row: number): number {
  let hash = Math.imul(column, 0x27d4eb2d) ^ Math.imul(row, 0x165667b1) ^ seed;
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 4294967296;
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}

function clamp01(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Shares of the true boxes, 0..1. */
export interface ErrorRates {
  readonly missing?: number;
  readonly spurious?: number;
  readonly shifted?: number;
  readonly wrongClass?: number;
}

export interface PlantedError {
  readonly type: 'missing' | 'spurious' | 'shifted' | 'wrong-class';
  readonly imageId: number;
  /** Absent for `spurious`. */
  readonly truthId?: string;
  /** Absent for `missing`. */
  readonly annotationId?: string;
}

export interface PlantedLabels {
  /** Right labels keep the id of their true box. */
  readonly annotations: readonly Annotation[];
  readonly errors: readonly PlantedError[];
}

/** Labels as a careless annotator leaves them. Each true box suffers one error at most. */
export function plantErrors(
  truth: readonly Annotation[],
  images: readonly { readonly id: number; readonly width: number; readonly height: number }[],
  categories: readonly Category[],
  rates: ErrorRates,
  seed: number | string,
): PlantedLabels {
  const { missing = 0, spurious = 0, shifted = 0, wrongClass = 0 } = rates;
  if (wrongClass > 0 && categories.length < 2) {
    throw new RangeError(`wrongClass is ${wrongClass}, but with one category no label can be of a wrong one.`);
  }
  if (missing + shifted + wrongClass > 1) {
    throw new RangeError(
      `missing, shifted and wrongClass sum to ${missing + shifted + wrongClass}, expected at most 1.`,
    );
  }
  const byImage = groupByImage(truth);
  const annotations: Annotation[] = [];
  const errors: PlantedError[] = [];
  for (const image of images) {
    const own = byImage.get(image.id) ?? [];
    for (const target of own) {
      // by box, so that one image more changes nothing in the others
      const random = createRandom(hashSeed('planted', seed, target.imageId, target.id));
      const luck = random.next();
      const error = { imageId: image.id, truthId: target.id, annotationId: target.id };
      if (luck < missing) {
        errors.push({ type: 'missing', imageId: image.id, truthId: target.id });
      } else if (luck < missing + shifted) {
        annotations.push({ ...target, box: shiftBox(target.box, image, random) });
        errors.push({ type: 'shifted', ...error });
      } else if (luck < missing + shifted + wrongClass) {
        const others = categories.filter(({ id }) => id !== target.categoryId);
        annotations.push({ ...target, categoryId: others[random.int(others.length)]!.id });
        errors.push({ type: 'wrong-class', ...error });
      } else annotations.push(target);

      if (random.next() >= spurious) continue;
      const box = emptyPlace(target.box, image, own, random);
      if (!box) continue;
      const id = `${target.id}-spurious`;
      annotations.push({ id, imageId: image.id, categoryId: target.categoryId, box });
      errors.push({ type: 'spurious', imageId: image.id, annotationId: id });
    }
  }
  return { annotations, errors };
}

/** Moved and resized until the IoU with the true box is 0.25 to 0.6: plainly wrong, yet plainly this object. */
function shiftBox(box: Box, image: { width: number; height: number }, random: Random): Box {
  const width = box[2] - box[0];
  const height = box[3] - box[1];
  for (let attempt = 0; attempt < 200; attempt++) {
    const dx = (random.next() - 0.5) * 1.2 * width;
    const dy = (random.next() - 0.5) * 1.2 * height;
    const scale = 0.8 + 0.5 * random.next();
    const moved = clip(
      [
        (box[0] + box[2] - width * scale) / 2 + dx,
        (box[1] + box[3] - height * scale) / 2 + dy,
        (box[0] + box[2] + width * scale) / 2 + dx,
        (box[1] + box[3] + height * scale) / 2 + dy,
      ],
      image.width,
      image.height,
    );
    const overlap = iou(box, moved);
    if (overlap >= 0.25 && overlap <= 0.6) return moved;
  }
  // half of the box always has IoU 0.5
  return [box[0], box[1], box[0] + width / 2, box[3]];
}

/** A box of about this size where no true box is; null in a crowded image. */
function emptyPlace(
  like: Box,
  image: { width: number; height: number },
  taken: readonly Annotation[],
  random: Random,
): Box | null {
  const width = like[2] - like[0];
  const height = like[3] - like[1];
  for (let attempt = 0; attempt < 50; attempt++) {
    const x = random.next() * (image.width - width);
    const y = random.next() * (image.height - height);
    const box: Box = [x, y, x + width, y + height];
    if (taken.every((other) => iou(other.box, box) < 0.05)) return box;
  }
  return null;
}
