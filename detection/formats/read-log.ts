/** Gathers what a reader changed and what it found wrong, and judges boxes for all formats alike. */

import { area, clip } from '../box.ts';
import type { Box } from '../types.ts';
import type { Coercion, ImageSize, Problem } from './types.ts';

/** Boxes may stick out by so many pixels without a word: YOLO's six decimals round by about as much. */
const ROUNDING_PX = 0.01;

export class ReadLog {
  readonly coercions: Coercion[] = [];
  readonly problems: Problem[] = [];

  coerced(file: string, place: string, what: string, was: string, became: string): void {
    this.coercions.push({ file, place, what, was, became });
  }

  error(file: string, place: string, message: string): void {
    this.problems.push({ severity: 'error', file, place, message });
  }

  warning(file: string, place: string, message: string): void {
    this.problems.push({ severity: 'warning', file, place, message });
  }

  /**
   * The box to import, or null where it is dropped. Without area: dropped and listed. Partly outside: clipped and
   * listed. Not finite, negative or wholly outside: an error.
   */
  acceptBox(file: string, place: string, box: Box, image: ImageSize): Box | null {
    const shown = `[${box.map(round).join(', ')}]`;
    if (!box.every(Number.isFinite)) {
      this.error(file, place, `Box ${shown} holds a value that is not a number; expected four finite numbers.`);
      return null;
    }
    const width = box[2] - box[0];
    const height = box[3] - box[1];
    if (width < 0 || height < 0) {
      this.error(
        file,
        place,
        `Box ${shown} has negative size ${round(width)} x ${round(height)}; expected a right edge beyond the left and a lower beyond the upper.`,
      );
      return null;
    }
    if (width === 0 || height === 0) {
      this.coerced(file, place, 'box without area', shown, 'dropped');
      return null;
    }
    const inside = clip(box, image.width, image.height);
    if (inside[2] <= inside[0] || inside[3] <= inside[1] || area(inside) === 0) {
      this.error(
        file,
        place,
        `Box ${shown} lies wholly outside its image of ${image.width} x ${image.height} pixels; correct or remove it.`,
      );
      return null;
    }
    const outside = Math.max(...box.map((edge, i) => Math.abs(edge - inside[i]!)));
    if (outside > ROUNDING_PX) {
      this.coerced(file, place, 'box partly outside the image', shown, `[${inside.map(round).join(', ')}]`);
    }
    return outside > 0 ? inside : box;
  }
}

/** At most three decimals, for messages. */
export function round(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
