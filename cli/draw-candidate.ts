/** A candidate as a picture: the place in its image with context, label and detection in distinct colours. */

import { blindViewOf } from '../detection/blind.ts';
import { viewOf } from '../detection/crop-view.ts';
import type { Annotation, Box, Candidate } from '../detection/types.ts';

/** Blue and orange of Okabe and Ito's palette, which the colour-blind can tell apart; the detection is dashed too. */
export const labelColour = '#0072B2';
export const detectionColour = '#E69F00';
const otherColour = '#FFFFFF';

// Small targets are enlarged until a person can judge an edge; large ones are shrunk to fit a screen.
const pictureSide = 640;

/**
 * PNG of the candidate's surroundings. `image` is the encoded file, `width` and `height` its size after EXIF rotation,
 * `others` the image's other labels, drawn thinly for comparison. `isBlind`: the model's box is hidden.
 */
export async function drawCandidate(
  image: Uint8Array,
  size: { readonly width: number; readonly height: number },
  candidate: Candidate,
  others: readonly Annotation[],
  isBlind = false,
): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  const view = (isBlind ? blindViewOf : viewOf)(candidate, size.width, size.height);
  const [left, top, right, bottom] = view;
  const scale = pictureSide / Math.max(right - left, bottom - top);
  const width = Math.max(1, Math.round((right - left) * scale));
  const height = Math.max(1, Math.round((bottom - top) * scale));
  const rectangle = (box: Box, colour: string, thickness: number, dash = ''): string => {
    const [x1, y1, x2, y2] = box;
    const frame = (paint: string, stroke: number, dashes: string) =>
      `<rect x="${(x1 - left) * scale}" y="${(y1 - top) * scale}" width="${(x2 - x1) * scale}" height="${(y2 - y1) * scale}" fill="none" stroke="${paint}" stroke-width="${stroke}"${dashes}/>`;
    // A dark rim keeps the line visible on any ground.
    return frame('#000000', thickness + 2, '') + frame(colour, thickness, dash && ` stroke-dasharray="${dash}"`);
  };
  const shapes: string[] = [];
  for (const other of others) {
    if (other.id !== candidate.annotation?.id) shapes.push(rectangle(other.box, otherColour, 1));
  }
  if (candidate.annotation) shapes.push(rectangle(candidate.annotation.box, labelColour, 3));
  if (candidate.detection && !isBlind) shapes.push(rectangle(candidate.detection.box, detectionColour, 3, '10 6'));
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join('')}</svg>`;
  // Rotation, cutting and scaling in one pipeline would be reordered by sharp; the pixels are settled first.
  const upright = await sharp(image)
    .rotate()
    .removeAlpha()
    .toColourspace('srgb')
    .png({ compressionLevel: 1 })
    .toBuffer();
  return await sharp(upright)
    .extract({ left, top, width: right - left, height: bottom - top })
    .resize(width, height, { kernel: scale > 2 ? 'nearest' : 'lanczos3', fit: 'fill' })
    .composite([{ input: Buffer.from(overlay), left: 0, top: 0 }])
    .png()
    .toBuffer();
}
