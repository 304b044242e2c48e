import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  bitsSet,
  decodeImage,
  differenceHash,
  encodeJpeg,
  encodePng,
  hammingDistance,
  imageSize,
} from '../../activities/image-files.ts';

/** Red, green / blue, white. */
const fourPixels = { width: 2, height: 2, pixels: Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]) };
/** Gets brighter from left to right. */
const ramp = {
  width: 90,
  height: 80,
  pixels: Uint8Array.from({ length: 90 * 80 * 3 }, (_, i) => 2 * (Math.floor(i / 3) % 90)),
};

describe('Image files', () => {
  it('give back the pixels that were written as PNG', async () => {
    const decoded = await decodeImage(await encodePng(fourPixels));
    expect({ ...decoded, pixels: Uint8Array.from(decoded.pixels) }).toEqual(fourPixels);
  });

  it('are turned as EXIF says, in size and pixels', async () => {
    // Orientation 6: to be turned clockwise to be seen.
    const raw = { width: 2, height: 1, channels: 3 as const };
    const turned = await sharp(Uint8Array.from([255, 0, 0, 0, 0, 255]), { raw })
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    expect(await imageSize(turned)).toEqual({ width: 1, height: 2 });
    const { width, height, pixels } = await decodeImage(turned);
    expect([width, height, ...pixels]).toEqual([1, 2, 255, 0, 0, 0, 0, 255]);
  });

  it('become RGB from grey, from transparent and from 16 bits', async () => {
    const grey = await sharp(Uint8Array.from([7]), { raw: { width: 1, height: 1, channels: 1 } })
      .png()
      .toBuffer();
    expect([...(await decodeImage(grey)).pixels]).toEqual([7, 7, 7]);
    const clear = await sharp(Uint8Array.from([9, 9, 9, 0]), { raw: { width: 1, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect([...(await decodeImage(clear)).pixels]).toEqual([0x72, 0x72, 0x72]);
    const deep = await sharp(Uint8Array.from([255, 0, 0]), { raw: { width: 1, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect([...(await decodeImage(deep)).pixels]).toEqual([255, 0, 0]);
  });

  it('are refused when they are cut short, by every way of decoding', async () => {
    const jpeg = await encodeJpeg(ramp);
    const cut = jpeg.subarray(0, jpeg.length - 200);
    // The header is whole, so that the size alone would not tell.
    expect(await imageSize(cut)).toEqual({ width: 90, height: 80 });
    await expect(decodeImage(cut)).rejects.toThrow();
    await expect(differenceHash(cut)).rejects.toThrow();
  });

  it('look alike in another size and quality, and unlike when mirrored', async () => {
    const photo = await encodePng(ramp);
    const small = await sharp(photo).resize(45, 40).jpeg({ quality: 50 }).toBuffer();
    const mirrored = await sharp(photo).flop().toBuffer();
    const [a, b, c] = await Promise.all([photo, small, mirrored].map(differenceHash));
    expect(a).toEqual({ high: 0, low: 0 });
    expect(hammingDistance(a!, b!)).toBe(0);
    expect(bitsSet(c!)).toBe(64);
    expect(hammingDistance(a!, c!)).toBe(64);
    expect(hammingDistance({ high: 0x80000001, low: 0 }, { high: 1, low: 6 })).toBe(3);
  });
});
