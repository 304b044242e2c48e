/** Image files as bytes: their size as seen, their pixels, and a fingerprint of what they show. */

import sharp from 'sharp';
import type { ImageSize } from '../detection/formats/types.ts';

/** A decoded image: 8-bit RGB, rows from the top, turned as EXIF says. */
export interface DecodedImage extends ImageSize {
  /** [width*height*3] */
  readonly pixels: Uint8Array;
}

/** Only what cannot be shown whole is refused; odd colour profiles and the like pass, as they do in any viewer. */
const READING = { failOn: 'truncated' } as const;

/** Pixels after EXIF rotation, from the header alone. Throws where the bytes are no image. */
export async function imageSize(bytes: Uint8Array): Promise<ImageSize> {
  const { width, height } = (await sharp(bytes, READING).metadata()).autoOrient;
  return { width, height };
}

/** Decodes the whole file. Throws where it is no image or is cut short. */
export async function decodeImage(bytes: Uint8Array): Promise<DecodedImage> {
  const { data, info } = await sharp(bytes, READING)
    .autoOrient()
    // Transparent places become the grey that networks are padded with.
    .flatten({ background: '#727272' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels === 3) return { width: info.width, height: info.height, pixels: data };
  throw new Error(`The image has ${info.channels} channels after decoding, expected 3.`);
}

/** The same pixels give the same bytes, as long as the library is the same. */
export async function encodePng({ width, height, pixels }: DecodedImage): Promise<Buffer> {
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 6 })
    .toBuffer();
}

/** `quality` 1..100. */
export async function encodeJpeg({ width, height, pixels }: DecodedImage, quality = 85): Promise<Buffer> {
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
}

/** What a file shows, as 64 bits in two halves. */
export interface DifferenceHash {
  /** Unsigned, 32 bits each. */
  readonly high: number;
  readonly low: number;
}

/**
 * Difference hash (dHash, by David Oyen): is each of 9 x 8 grey cells brighter than its right neighbour? Scaling,
 * re-encoding and small changes of colour flip only a few of the bits. Decodes the whole file, and so throws as
 * `decodeImage` does.
 */
export async function differenceHash(bytes: Uint8Array): Promise<DifferenceHash> {
  const data = await sharp(bytes, READING)
    .autoOrient()
    .flatten({ background: '#727272' })
    .greyscale()
    .resize(9, 8, { fit: 'fill', fastShrinkOnLoad: false })
    .raw({ depth: 'uchar' })
    .toBuffer();
  const half = (fromRow: number): number => {
    let bits = 0;
    for (let y = fromRow; y < fromRow + 4; y++) {
      for (let x = 0; x < 8; x++) bits = (bits << 1) | (data[y * 9 + x]! > data[y * 9 + x + 1]! ? 1 : 0);
    }
    return bits >>> 0;
  };
  return { high: half(0), low: half(4) };
}

/** Bits in which two hashes differ, 0..64. */
export function hammingDistance(a: DifferenceHash, b: DifferenceHash): number {
  return countBits(a.high ^ b.high) + countBits(a.low ^ b.low);
}

/** Bits that are set, 0..64: at both ends are even images, whose hash tells nothing. */
export function bitsSet({ high, low }: DifferenceHash): number {
  return countBits(high) + countBits(low);
}

/** Hacker's Delight (Warren), figure 5-2. */
function countBits(word: number): number {
  let sum = word - ((word >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
