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

/** What a file shows, as 64 bits, and whether it shows anything: an even surface has a hash like any other such. */
export interface DifferenceHash {
  readonly hash: bigint;
  /** Bits of 64 that are set. */
  readonly bits: number;
}

/**
 * Difference hash (dHash, by David Oyen): is each of 9 x 8 grey cells brighter than its right neighbour? Scaling,
 * re-encoding and small changes of colour flip only a few of the bits. Decodes the whole file, and so throws as
 * `decodeImage` does.
 */
export async function differenceHash(bytes: Uint8Array): Promise<DifferenceHash> {
  const { data } = await sharp(bytes, READING)
    .autoOrient()
    .flatten({ background: '#727272' })
    .greyscale()
    .resize(9, 8, { fit: 'fill', fastShrinkOnLoad: false })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  let hash = 0n;
  let bits = 0;
  for (let y = 0; y < 8; y++) {
    for (let x = 0; x < 8; x++) {
      const isBrighter = data[y * 9 + x]! > data[y * 9 + x + 1]!;
      hash = (hash << 1n) | (isBrighter ? 1n : 0n);
      if (isBrighter) bits++;
    }
  }
  return { hash, bits };
}

/** Bits in which two hashes differ, 0..64. */
export function hammingDistance(a: bigint, b: bigint): number {
  let rest = a ^ b;
  let count = 0;
  for (; rest !== 0n; rest &= rest - 1n) count++;
  return count;
}
