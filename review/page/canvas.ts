/** The picture of a candidate with its boxes: drawing, zoom, pan, and boxes that can be drawn and dragged. */

import type { Box } from '../../detection/types.ts';
import type { CandidateJson } from '../api.ts';
import type { PictureSet } from './supply.ts';
import {
  boxBetween,
  drag,
  fitBox,
  type Grip,
  gripAt,
  pan,
  rounded,
  type Size,
  seenPart,
  toImage,
  type View,
  zoomAt,
} from './view.ts';

/** Blue, orange and purple of Okabe and Ito's palette, lightened for dark images; each has a line style of its own too. */
export const colours = {
  label: '#3aa0ff',
  detection: '#ffb000',
  edit: '#f5f5f5',
  other: '#ffffff',
  drawn: '#e7a3d4',
} as const;

export interface CanvasEvents {
  /** The box that is edited has changed, or editing began by dragging. */
  edited(box: Box): void;
  moved(): void;
}

export interface CanvasNames {
  readonly label: string | undefined;
  readonly detection: string | undefined;
}

/** Reach of a finger or a mouse around an edge, in CSS pixels. */
const reachPx = { mouse: 9, touch: 22, pen: 14 } as const;

export class CandidateCanvas {
  readonly element: HTMLCanvasElement;
  readonly #events: CanvasEvents;
  readonly #context: CanvasRenderingContext2D;
  #candidate: CandidateJson | null = null;
  #names: CanvasNames = { label: undefined, detection: undefined };
  #pictures: PictureSet = { crop: null, whole: null, problem: null };
  #detail: { readonly bitmap: ImageBitmap; readonly box: Box } | null = null;
  #view: View = { scale: 1, x: 0, y: 0 };
  #fitted = true;
  #edit: Box | null = null;
  #drawing = false;
  /** Boxes are out of sight, to see what is beneath them. */
  #bare = false;
  #showOthers = true;
  #drawn: readonly Box[] = [];
  #frame = 0;
  readonly #pointers = new Map<number, [number, number]>();
  #grab:
    | { readonly kind: 'pan' }
    | { readonly kind: 'grip'; readonly grip: Grip; readonly box: Box; readonly from: [number, number] }
    | { readonly kind: 'draw'; readonly from: [number, number] }
    | null = null;
  #afterPaint: (() => void)[] = [];

  constructor(element: HTMLCanvasElement, events: CanvasEvents) {
    this.element = element;
    this.#events = events;
    this.#context = element.getContext('2d', { alpha: false })!;
    new ResizeObserver(() => {
      this.#resize();
      if (this.#fitted) this.fit();
      else this.paint();
    }).observe(element);
    element.addEventListener('wheel', (event) => this.#onWheel(event), { passive: false });
    element.addEventListener('pointerdown', (event) => this.#onDown(event));
    element.addEventListener('pointermove', (event) => this.#onMove(event));
    for (const name of ['pointerup', 'pointercancel'] as const) {
      element.addEventListener(name, (event) => this.#onUp(event));
    }
    element.addEventListener('dblclick', () => this.fit());
  }

  get view(): View {
    return this.#view;
  }

  get size(): Size {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  get editBox(): Box | null {
    return this.#edit;
  }

  get isDrawing(): boolean {
    return this.#drawing;
  }

  show(candidate: CandidateJson, names: CanvasNames): void {
    this.#candidate = candidate;
    this.#names = names;
    this.#detail?.bitmap.close();
    this.#detail = null;
    this.#edit = null;
    this.#drawing = false;
    this.fit();
  }

  picture(pictures: PictureSet): void {
    this.#pictures = pictures;
    this.paint();
  }

  detail(bitmap: ImageBitmap, box: Box): void {
    this.#detail?.bitmap.close();
    this.#detail = { bitmap, box };
    this.paint();
  }

  clear(): void {
    this.#candidate = null;
    this.paint();
  }

  /** Runs once the next picture is on the screen. */
  onPainted(work: () => void): void {
    this.#afterPaint.push(work);
    this.paint();
  }

  set bare(value: boolean) {
    this.#bare = value;
    this.paint();
  }

  toggleOthers(): void {
    this.#showOthers = !this.#showOthers;
    this.paint();
  }

  /** Boxes that were drawn in this image where nobody asked. */
  set drawn(boxes: readonly Box[]) {
    this.#drawn = boxes;
    this.paint();
  }

  /** A box in the middle of what is seen, for who draws by keyboard. */
  get middle(): Box | null {
    const seen = this.#candidate === null ? null : seenPart(this.#view, this.size, this.#candidate.image);
    if (seen === null) return null;
    const [x1, y1, x2, y2] = seen;
    const [dx, dy] = [(x2 - x1) * 0.4, (y2 - y1) * 0.4];
    return rounded([x1 + dx, y1 + dy, x2 - dx, y2 - dy]);
  }

  /** The box to edit; null ends editing. */
  edit(box: Box | null): void {
    this.#edit = box;
    this.#drawing = false;
    this.paint();
  }

  draw(): void {
    this.#drawing = true;
    this.#edit = null;
    this.paint();
  }

  fit(): void {
    if (this.#candidate !== null) this.#view = fitBox(this.#candidate.crop, this.size, 12);
    this.#fitted = true;
    this.#changed();
  }

  /** The whole image, or back to the crop. */
  fitImage(): void {
    if (this.#candidate === null) return;
    const { width, height } = this.#candidate.image;
    const whole = fitBox([0, 0, width, height], this.size, 12);
    if (Math.abs(whole.scale - this.#view.scale) < 1e-6) this.fit();
    else {
      this.#view = whole;
      this.#fitted = false;
      this.#changed();
    }
  }

  zoom(factor: number): void {
    const { width, height } = this.size;
    this.#zoomAt(factor, [width / 2, height / 2]);
  }

  panBy(dx: number, dy: number): void {
    this.#view = pan(this.#view, dx, dy);
    this.#fitted = false;
    this.#changed();
  }

  centreOn(x: number, y: number): void {
    const { width, height } = this.size;
    this.panBy(width / 2 - (this.#view.x + x * this.#view.scale), height / 2 - (this.#view.y + y * this.#view.scale));
  }

  /** Image pixels; for edges that are moved by the keyboard. */
  nudge(grip: Grip, dx: number, dy: number): void {
    if (this.#edit === null || this.#candidate === null) return;
    this.#edit = rounded(drag(this.#edit, grip, dx, dy, this.#candidate.image));
    this.#events.edited(this.#edit);
    this.paint();
  }

  paint(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paintNow());
  }

  #changed(): void {
    this.paint();
    this.#events.moved();
  }

  #resize(): void {
    const ratio = window.devicePixelRatio;
    const { width, height } = this.size;
    this.element.width = Math.max(1, Math.round(width * ratio));
    this.element.height = Math.max(1, Math.round(height * ratio));
  }

  #zoomAt(factor: number, at: [number, number]): void {
    if (this.#candidate === null) return;
    const { width, height } = this.#candidate.image;
    const scaleMin = 0.5 * fitBox([0, 0, width, height], this.size).scale;
    this.#view = zoomAt(this.#view, factor, at, scaleMin);
    this.#fitted = false;
    this.#changed();
  }

  // The pointer.

  #at(event: MouseEvent): [number, number] {
    const frame = this.element.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    this.#zoomAt(Math.exp(-Math.max(-200, Math.min(200, step)) * 0.0022), this.#at(event));
  }

  #reach(event: PointerEvent): number {
    return (reachPx[event.pointerType as keyof typeof reachPx] ?? reachPx.mouse) / this.#view.scale;
  }

  /** Which box a pointer would take hold of: the one that is edited, else that of the model, else the label's. */
  #gripUnder(event: PointerEvent): { box: Box; grip: Grip } | null {
    if (this.#candidate === null || this.#bare) return null;
    const point = toImage(this.#view, this.#at(event));
    if (this.#edit !== null) {
      const grip = gripAt(this.#edit, point, this.#reach(event));
      return grip === null ? null : { box: this.#edit, grip };
    }
    const { label, detection } = this.#candidate;
    for (const shape of [detection, label]) {
      const grip = shape === undefined ? null : gripAt(shape.box, point, this.#reach(event));
      // Inside a box that is not edited yet a drag moves the picture, as people expect.
      if (shape !== undefined && grip !== null && grip !== 'move') return { box: shape.box, grip };
    }
    return null;
  }

  #onDown(event: PointerEvent): void {
    if (this.#candidate === null) return;
    this.element.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.#pointers.set(event.pointerId, at);
    // The second finger pinches, whatever the first began.
    if (this.#pointers.size > 1) {
      this.#grab = { kind: 'pan' };
      return;
    }
    if (this.#drawing && event.button === 0) {
      this.#grab = { kind: 'draw', from: toImage(this.#view, at) };
      return;
    }
    const under = event.button === 0 ? this.#gripUnder(event) : null;
    this.#grab = under === null ? { kind: 'pan' } : { kind: 'grip', ...under, from: toImage(this.#view, at) };
  }

  #onMove(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId);
    const at = this.#at(event);
    if (before === undefined || this.#grab === null || this.#candidate === null) {
      this.#cursor(event);
      return;
    }
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)![1];
      const distance = (point: [number, number]) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.#zoomAt(distance(at) / Math.max(1, distance(before)), other);
    }
    this.#pointers.set(event.pointerId, at);
    const { image } = this.#candidate;
    const grab = this.#grab;
    if (grab.kind === 'pan') {
      const share = this.#pointers.size;
      this.panBy((at[0] - before[0]) / share, (at[1] - before[1]) / share);
      return;
    }
    const point = toImage(this.#view, at);
    const box =
      grab.kind === 'draw'
        ? boxBetween(grab.from, point, image)
        : drag(grab.box, grab.grip, point[0] - grab.from[0], point[1] - grab.from[1], image);
    if (box === null) return;
    this.#edit = rounded(box);
    this.#events.edited(this.#edit);
    this.paint();
  }

  #onUp(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (this.#grab?.kind === 'draw' && this.#edit !== null) this.#drawing = false;
    if (this.#pointers.size === 0) this.#grab = null;
  }

  #cursor(event: PointerEvent): void {
    const grip = this.#gripUnder(event)?.grip;
    const shape =
      grip === undefined ? 'grab' : grip === 'move' ? 'move' : grip.length === 2 ? `${grip}-resize` : `${grip}-resize`;
    this.element.style.cursor = this.#drawing ? 'crosshair' : shape;
  }

  // Drawing.

  #paintNow(): void {
    this.#frame = 0;
    const context = this.#context;
    const ratio = window.devicePixelRatio;
    const { width, height } = this.size;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = getComputedStyle(this.element).getPropertyValue('--canvas') || '#000';
    context.fillRect(0, 0, width, height);
    const candidate = this.#candidate;
    if (candidate === null) return;
    const { scale, x, y } = this.#view;
    const place = (bitmap: ImageBitmap, [x1, y1, x2, y2]: Box) => {
      // Single pixels are worth seeing as such only when they are large; before that, smooth is easier to recognise.
      context.imageSmoothingEnabled = (scale * (x2 - x1)) / bitmap.width < 18;
      context.imageSmoothingQuality = 'high';
      context.drawImage(bitmap, x + x1 * scale, y + y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
    };
    const { image, crop } = candidate;
    if (this.#pictures.whole !== null) place(this.#pictures.whole, [0, 0, image.width, image.height]);
    if (this.#pictures.crop !== null) place(this.#pictures.crop, crop);
    if (this.#detail !== null) place(this.#detail.bitmap, this.#detail.box);
    if (this.#pictures.crop !== null || this.#pictures.problem !== null) this.#paintBoxes(candidate);
    if (this.#pictures.crop !== null) for (const work of this.#afterPaint.splice(0)) work();
  }

  #paintBoxes(candidate: CandidateJson): void {
    if (this.#bare) return;
    if (this.#showOthers)
      for (const { box } of candidate.others) this.#frameBox(box, colours.other, 1.25, [2, 4], 0.75);
    for (const box of this.#drawn) this.#frameBox(box, colours.drawn, 2.5, [11, 4, 2, 4], 1);
    const edits = this.#edit !== null;
    const { label, detection } = candidate;
    if (label) this.#frameBox(label.box, colours.label, 2.5, [], edits ? 0.45 : 1);
    if (detection) this.#frameBox(detection.box, colours.detection, 2.5, [9, 5], edits ? 0.45 : 1);
    const drawn = (candidate.opinions ?? []).map(({ box }, index) => ({ box, number: index + 1 }));
    for (const { box, number } of drawn) {
      if (box === undefined) continue;
      this.#frameBox(box, colours.edit, 2, [2, 3], edits ? 0.45 : 1);
      if (!edits) this.#tag(box, String(number), colours.edit, false);
    }
    if (this.#edit !== null) {
      this.#frameBox(this.#edit, colours.edit, 2.5, [], 1);
      this.#handles(this.#edit);
    } else {
      const above = label && detection && detection.box[1] < label.box[1] ? 'detection' : 'label';
      if (label)
        this.#tag(label.box, `label · ${this.#names.label}`, colours.label, above !== 'detection' || !detection);
      if (detection) {
        const text = `model · ${this.#names.detection} ${Math.round(detection.score * 100)} %`;
        this.#tag(detection.box, text, colours.detection, above === 'detection' || !label);
      }
    }
  }

  #onCanvas([x1, y1, x2, y2]: Box): Box {
    const { scale, x, y } = this.#view;
    return [x + x1 * scale, y + y1 * scale, x + x2 * scale, y + y2 * scale];
  }

  /** A dark rim keeps the line visible on any ground; between dashes a box beneath is seen. */
  #frameBox(box: Box, colour: string, thickness: number, dashes: number[], alpha: number): void {
    const context = this.#context;
    const [x1, y1, x2, y2] = this.#onCanvas(box);
    context.globalAlpha = alpha;
    context.lineJoin = 'round';
    context.setLineDash(dashes);
    context.strokeStyle = 'rgba(0, 0, 0, 0.65)';
    context.lineWidth = thickness + 2;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #handles(box: Box): void {
    const context = this.#context;
    const [x1, y1, x2, y2] = this.#onCanvas(box);
    const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const corners = [x1, y1, x2, y1, x1, y2, x2, y2];
    const edges = x2 - x1 > 46 && y2 - y1 > 46 ? [mx, y1, mx, y2, x1, my, x2, my] : [];
    const points = [...corners, ...edges];
    for (let i = 0; i < points.length; i += 2) {
      context.beginPath();
      context.arc(points[i]!, points[i + 1]!, 5.5, 0, 2 * Math.PI);
      context.fillStyle = colours.edit;
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = 'rgba(0, 0, 0, 0.8)';
      context.stroke();
    }
  }

  /** A name above its box, or below it, where there is room. */
  #tag(box: Box, text: string, colour: string, above: boolean): void {
    const context = this.#context;
    const [x1, y1, , y2] = this.#onCanvas(box);
    const { width, height } = this.size;
    const size = 13;
    context.font = `600 ${size}px system-ui, sans-serif`;
    const textWidth = context.measureText(text).width + 12;
    const left = Math.max(4, Math.min(x1 - 1, width - textWidth - 4));
    const wanted = above ? y1 - size - 13 : y2 + 5;
    const top = Math.max(4, Math.min(wanted, height - size - 12));
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(left, top, textWidth, size + 8, 4);
    context.fill();
    context.fillStyle = '#10141a';
    context.textBaseline = 'middle';
    context.fillText(text, left + 6, top + (size + 8) / 2 + 0.5);
  }
}

/** The part of the image that the canvas shows, for who fetches it at full resolution. */
export const seenBy = (canvas: CandidateCanvas, candidate: CandidateJson): Box | null =>
  seenPart(canvas.view, canvas.size, candidate.image);
