/** Decoding: EXIF rotation, grey and transparent files, the file beyond the memory bound, damaged images. */

import sharp from 'sharp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createImagePool } from '../../activities/prepare-images.ts';
import type { ImageEntry } from '../../detection/types.ts';
import { openRig, type StepRig } from './step-rig.ts';

let rig: StepRig;

beforeEach(async () => {
  rig = await openRig();
});

afterEach(async () => {
  await rig.close();
});

const never = new AbortController().signal;
const poolOf = (memoryMaxBytes?: number) =>
  createImagePool({ store: rig.store, inputSize: 32, signal: never, memoryMaxBytes });

async function entry(id: number, bytes: Buffer, width: number, height: number): Promise<ImageEntry> {
  const digest = await rig.store.putObject(bytes);
  return { id, fileName: `${id}.jpg`, width, height, digest, split: 'train', group: String(id) };
}

const plain = (red: number, width = 32, height = 32) =>
  sharp({ create: { width, height, channels: 3, background: { r: red, g: 50, b: 50 } } });

test('an image stands in its frame, with its boxes', async () => {
  const image = await entry(1, await plain(200, 64, 32).png().toBuffer(), 64, 32);
  const annotation = { id: 'a', imageId: 1, categoryId: 4, box: [16, 8, 32, 24] as const };
  const [prepared] = await poolOf().prepare([image], [annotation], [{ id: 4, name: 'x' }]);
  expect(prepared).toMatchObject({ imageId: 1, scale: 0.5, padX: 0, padY: 8, width: 64, height: 32 });
  expect([...prepared!.boxes]).toEqual([8, 12, 16, 20]);
  expect([prepared!.pixels[0], prepared!.pixels[16 * 32 * 3]]).toEqual([114, 200]);
});

test('a photo is turned as its EXIF orientation says', async () => {
  // Left half dark, right half light; orientation 6 turns it a quarter clockwise: dark half on top.
  const half = await plain(255, 16, 32).png().toBuffer();
  const bytes = await plain(0)
    .composite([{ input: half, left: 16, top: 0 }])
    .withMetadata({ orientation: 6 })
    .jpeg({ quality: 100 })
    .toBuffer();
  const [prepared] = await poolOf().prepare([await entry(1, bytes, 32, 32)], [], []);
  const red = (x: number, y: number) => prepared!.pixels[(y * 32 + x) * 3]!;
  expect(Math.max(red(4, 4), red(28, 4))).toBeLessThan(30);
  expect(Math.min(red(4, 28), red(28, 28))).toBeGreaterThan(225);
});

test('grey and 16-bit images become 8-bit RGB', async () => {
  const bytes = await plain(100).greyscale().toColourspace('grey16').png().toBuffer();
  const [prepared] = await poolOf().prepare([await entry(1, bytes, 32, 32)], [], []);
  expect(prepared!.pixels).toHaveLength(32 * 32 * 3);
  expect(prepared!.pixels[0]).toBe(prepared!.pixels[2]);
});

test('beyond the memory bound pixels lie in a file, and are the same', async () => {
  const entries = await Promise.all(
    [10, 20, 30].map(async (red, i) => entry(i + 1, await plain(red).png().toBuffer(), 32, 32)),
  );
  const prepared = await poolOf(32 * 32 * 3).prepare(entries, [], []);
  expect(prepared.map((image) => image.pixels[0])).toEqual([10, 20, 30]);
  expect(prepared[2]!.pixels.every((value, i) => value === [30, 50, 50][i % 3])).toBe(true);
});

test('an image that cannot be decoded is named, and no retry mends it', async () => {
  const whole = await plain(10, 32, 32).jpeg().toBuffer();
  const broken = await entry(7, whole.subarray(0, whole.length / 2), 32, 32);
  await expect(poolOf().prepare([broken], [], [])).rejects.toMatchObject({
    nonRetryable: true,
    message: expect.stringContaining('Cannot decode the image 7.jpg'),
  });
});

test('an image that is not in the store is named', async () => {
  const missing = { ...(await entry(1, Buffer.from('x'), 32, 32)), digest: '0'.repeat(64) };
  await expect(poolOf().prepare([missing], [], [])).rejects.toThrow('The image 1.jpg');
});
