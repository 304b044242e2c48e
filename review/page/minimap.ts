/** The whole image beside the crop: where the candidate lies, and what part the canvas shows. */

import type { Box } from '../../detection/types.ts';
import type { CandidateJson } from '../api.ts';
import { colours } from './canvas.ts';
import { fitBox, toImage, type View } from './view.ts';

export class Minimap {
  readonly element: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  #candidate: CandidateJson | null = null;
  #whole: ImageBitmap | null = null;
  #seen: Box | null = null;
  #frame = 0;

  constructor(element: HTMLCanvasElement, goTo: (x: number, y: number) => void) {
    this.element = element;
    this.#context = element.getContext('2d', { alpha: false })!;
    new ResizeObserver(() => this.#paint()).observe(element);
    const follow = (event: PointerEvent) => {
      if (event.buttons === 0 || this.#candidate === null) return;
      const frame = element.getBoundingClientRect();
      const [x, y] = toImage(this.#view(), [event.clientX - frame.left, event.clientY - frame.top]);
      goTo(x, y);
    };
    element.addEventListener('pointerdown', (event) => {
      element.setPointerCapture(event.pointerId);
      follow(event);
    });
    element.addEventListener('pointermove', follow);
  }

  show(candidate: CandidateJson | null, whole: ImageBitmap | null, seen: Box | null): void {
    this.#candidate = candidate;
    this.#whole = whole;
    this.#seen = seen;
    this.#paint();
  }

  #view(): View {
    const { width, height } = this.#candidate!.image;
    return fitBox([0, 0, width, height], { width: this.element.clientWidth, height: this.element.clientHeight });
  }

  #paint(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paintNow());
  }

  #paintNow(): void {
    this.#frame = 0;
    const context = this.#context;
    const ratio = window.devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = this.element;
    this.element.width = Math.max(1, Math.round(width * ratio));
    this.element.height = Math.max(1, Math.round(height * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = getComputedStyle(this.element).getPropertyValue('--canvas') || '#000';
    context.fillRect(0, 0, width, height);
    if (this.#candidate === null) return;
    const { scale, x, y } = this.#view();
    const { image, label, detection, others } = this.#candidate;
    if (this.#whole !== null) {
      context.imageSmoothingQuality = 'high';
      context.drawImage(this.#whole, x, y, image.width * scale, image.height * scale);
    }
    const frame = ([x1, y1, x2, y2]: Box, colour: string, thickness: number) => {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.strokeRect(x + x1 * scale, y + y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
    };
    context.globalAlpha = 0.55;
    for (const { box } of others) frame(box, colours.other, 1);
    context.globalAlpha = 1;
    if (label) frame(label.box, colours.label, 2);
    if (detection) frame(detection.box, colours.detection, 2);
    if (this.#seen !== null) {
      const [x1, y1, x2, y2] = this.#seen;
      context.fillStyle = 'rgba(0, 0, 0, 0.45)';
      // All but the part that is seen is darkened.
      context.beginPath();
      context.rect(x, y, image.width * scale, image.height * scale);
      context.rect(x + x1 * scale, y + y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
      context.fill('evenodd');
      frame(this.#seen, 'rgba(255, 255, 255, 0.9)', 1.5);
    }
  }
}
