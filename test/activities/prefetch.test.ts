/** Batches prepared on other threads: the same bytes as without them, their errors, and that nothing stays behind. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { type PrefetchingSource, prefetchBatches } from '../../activities/prefetch.ts';
import type { BatchRecipe } from '../../activities/prefetch-messages.ts';
import { createImagePool } from '../../activities/prepare-images.ts';
import { createBatchSource } from '../../detection/model/sampler.ts';
import { createTargetBuilder } from '../../detection/model/targets.ts';
import type { Batch } from '../../detection/model/types.ts';
import type { ImageEntry } from '../../detection/types.ts';
import { discImage, tiny } from '../detection/model/scenes.ts';
import { openRig } from './step-rig.ts';

const root = join(import.meta.dirname, '../..');
const images = new Map([1, 2, 3, 4, 5, 6, 7].map((id) => [id, discImage(id)]));
const whole = [...images.keys()].map((image) => ({ image }));

function recipe(changes: Partial<BatchRecipe['source']> = {}): BatchRecipe {
  return {
    source: {
      images,
      select: whole,
      batchSize: 3,
      inputSize: 48,
      seed: 5,
      augment: { flip: true, colour: 0.5, mosaic: 0.5, mosaicOffShare: 0, scale: 0.3, shift: 0.1 },
      multiScale: { range: 0.5, every: 2 },
      multipleOf: 16,
      totalSteps: 100,
      ...changes,
    },
    architecture: tiny,
    targets: { assignment: 'nearby', labelSmoothing: 0.1, ignore: { by: 'prediction', threshold: 0.7 } },
  };
}

/** As the trainer would have it without threads, with arrays of its own. */
function directBatch(of: BatchRecipe, step: number): Batch {
  const batch = createBatchSource(of.source).batch(step);
  const sized = { ...of.architecture, imageSize: batch.inputSize! };
  const targets = createTargetBuilder(sized, of.source.batchSize, of.targets)(batch);
  return { ...batch, targets };
}

/** Of every array and number of a batch. */
function digestOf(batch: Batch): string {
  const hash = createHash('sha256');
  const add = (name: string, value: unknown): void => {
    hash.update(name);
    if (ArrayBuffer.isView(value)) hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else if (typeof value === 'object' && value !== null) {
      for (const key of Object.keys(value).sort()) add(key, (value as Record<string, unknown>)[key]);
    } else hash.update(String(value));
  };
  add('batch', batch);
  return hash.digest('hex');
}

async function closing<T>(source: PrefetchingSource, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    await source.close();
  }
}

test.each([1, 3])('%i threads give the bytes that none give, at every size, from any step on', async (threads) => {
  const of = recipe();
  const source = prefetchBatches(of, { startAt: 4, threads });
  const sides = new Set<number>();
  await closing(source, async () => {
    for (const step of [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]) {
      const batch = await source.batch(step);
      sides.add(batch.inputSize!);
      expect(digestOf(batch)).toBe(digestOf(directBatch(of, step)));
    }
    // As after a return to an earlier state.
    expect(digestOf(await source.batch(2))).toBe(digestOf(directBatch(of, 2)));
    expect(digestOf(await source.batch(3))).toBe(digestOf(directBatch(of, 3)));
  });
  expect(sides.size).toBeGreaterThan(1);
});

test('pixels beyond the memory bound are read from their file by the threads', async () => {
  const rig = await openRig();
  try {
    const entries = await Promise.all(
      [10, 20, 30].map(async (red, i): Promise<ImageEntry> => {
        const png = sharp({ create: { width: 48, height: 48, channels: 3, background: { r: red, g: 0, b: 0 } } }).png();
        const digest = await rig.store.putObject(await png.toBuffer());
        return { id: i + 1, fileName: `${i}.png`, width: 48, height: 48, digest, split: 'train', group: '' };
      }),
    );
    const memoryMaxBytes = 48 * 48 * 3;
    const pool = createImagePool({
      store: rig.store,
      inputSize: 48,
      signal: new AbortController().signal,
      memoryMaxBytes,
    });
    const stored = await pool.prepare(entries, [], []);
    expect(stored.filter(({ place }) => place !== null)).toHaveLength(2);
    const of = recipe({ images: new Map(stored.map((image) => [image.imageId, image])), select: whole.slice(0, 3) });
    const source = prefetchBatches(of, { startAt: 0, threads: 1 });
    await closing(source, async () => {
      expect((await source.batch(0)).pixels.slice()).toEqual(directBatch(of, 0).pixels);
    });
  } finally {
    await rig.close();
  }
});

test('an error in a thread arrives with its message, after the batches before it', async () => {
  const long = { ...discImage(7), pixels: new Uint8Array(48 * 48 * 3 + 1) };
  const of = recipe({ images: new Map([...images, [7, long]]), augment: null, multiScale: undefined });
  const sound = createBatchSource(recipe({ augment: null, multiScale: undefined }).source);
  const failing = [0, 1, 2].find((step) => sound.batch(step).imageIds.includes(7))!;
  const source = prefetchBatches(of, { startAt: 0, threads: 2 });
  await closing(source, async () => {
    for (let step = 0; step < failing; step++) await source.batch(step);
    await expect(source.batch(failing)).rejects.toThrow('offset is out of bounds');
  });
});

test('while the trainer computes without a pause, the threads go on preparing', async () => {
  const of = recipe();
  const source = prefetchBatches(of, { startAt: 0, threads: 1 });
  await closing(source, async () => {
    await source.batch(0);
    // Longer each time, for a machine that has no core to spare; one success shows that no event was needed.
    for (let step = 1; ; step++) {
      // As a step of TensorFlow: nothing of this thread's event loop runs meanwhile.
      const until = performance.now() + 50 * step;
      while (performance.now() < until);
      let turns = 0;
      const counting = setImmediate(() => turns++);
      await source.batch(step);
      clearImmediate(counting);
      if (turns === 0) break;
      expect(step).toBeLessThan(30);
    }
  });
});

test('threads that nobody ended keep no process alive', () => {
  const compiled = new URL('../../dist/activities/prefetch.js', import.meta.url).href;
  const script = `
    const { prefetchBatches } = await import(${JSON.stringify(compiled)});
    const image = { imageId: 1, pixels: new Uint8Array(32 * 32 * 3), scale: 1, padX: 0, padY: 0, width: 32, height: 32,
      boxes: new Float32Array(0), classes: new Int32Array(0), annotationIds: [], ignore: new Float32Array(0) };
    const source = prefetchBatches({
      source: { images: new Map([[1, image]]), select: [{ image: 1 }], batchSize: 1, inputSize: 32, seed: 1, augment: null, totalSteps: 9 },
      architecture: { depth: 0.33, width: 0.125, strides: [8], anchors: [[[8, 8]]], activation: 'leaky', imageSize: 32, categories: [{ id: 1, name: 'a' }] },
      targets: { assignment: 'nearby', labelSmoothing: 0, ignore: { by: 'anchor', threshold: 0.7 } },
    }, { startAt: 0, threads: 2 });
    console.log((await source.batch(0)).pixels.length);
  `;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, timeout: 20_000 });
  expect(said.toString().trim()).toBe(String(32 * 32 * 3));
});

test('ended in the middle, the threads are gone', async () => {
  const count = () => readdirSync('/proc/self/task').length;
  const before = count();
  const source = prefetchBatches(recipe(), { startAt: 0, threads: 3 });
  await source.batch(0);
  expect(count()).toBeGreaterThan(before);
  await source.close();
  await expect.poll(count).toBeLessThanOrEqual(before);
  await expect(source.batch(1)).rejects.toThrow('after the threads had been ended');
});

test('the threads load no TensorFlow: its addon is not made for them', () => {
  const reached = new Set<string>();
  const open = [join(root, 'activities/prefetch-thread.ts')];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file) || !existsSync(file) || !statSync(file).isFile()) continue;
    reached.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, names, target] of text.matchAll(/^import\s+([^;'"]*?)\s*from\s+'(\.[^']+)'/gm)) {
      if (!names!.startsWith('type ')) open.push(resolve(dirname(file), target!));
    }
  }
  const files = [...reached].map((file) => relative(root, file));
  expect(files).toContain('detection/model/targets.ts');
  expect(files).not.toContain('detection/model/tf.ts');
});
