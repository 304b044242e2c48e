/** Batches prepared on other threads, some steps ahead, so that the trainer need not wait for them. */

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { createBatchSource } from '../detection/model/sampler.ts';
import type { Batch, BatchSource, PreparedImage } from '../detection/model/types.ts';
import {
  type BatchRecipe,
  type FromThread,
  filledWord,
  freedWord,
  type SharedImage,
  STOP,
  slotOf,
  type ThreadData,
} from './prefetch-messages.ts';
import type { StoredImage } from './prepare-images.ts';

export interface PrefetchingSource extends BatchSource {
  batch(step: number): Promise<Batch>;
  /** Ends the threads. */
  close(): Promise<void>;
}

export interface PrefetchOptions {
  /** The first step that will be asked for. */
  readonly startAt: number;
  readonly threads: number;
}

/** More threads than these are ahead of any trainer. */
const threadsMax = 3;
/** Pixels of all batches that are ready or being made. */
const readyMaxBytes = 256 * 2 ** 20;
/** While a batch is not ready the trainer sleeps this long at most, and then lets messages and signals in. */
const napMs = 20;
/** A batch takes milliseconds; threads that say nothing for so long hang. */
const patienceMs = 300_000;

/** Threads beside a trainer that computes on so many. */
export function prefetchThreads(trainerThreads: number): number {
  return Math.max(1, Math.min(threadsMax, availableParallelism() - trainerThreads));
}

/**
 * The same batches as those of `createBatchSource`, with their targets. A batch depends on its step alone, so the number of
 * threads and their speed change nothing. The pixels of a batch are written over once the next one is asked for.
 */
export function prefetchBatches(recipe: BatchRecipe, options: PrefetchOptions): PrefetchingSource {
  const { images, ...rest } = recipe.source;
  const direct = createBatchSource(recipe.source);
  const { batchSize, stepsPerEpoch, largestSide } = direct;
  const shared = [...images.values()].map(shareImage);
  const slotBytes = batchSize * largestSide ** 2 * 3;
  // One is with the trainer, one with each thread, and another is ready where there is room.
  const slotCount = options.threads + ((options.threads + 2) * slotBytes <= readyMaxBytes ? 2 : 1);
  const slots = Array.from({ length: slotCount }, () => new Uint8Array(new SharedArrayBuffer(slotBytes)));
  const data = { recipe: { ...recipe, source: rest }, images: shared, slots };

  let crew = startCrew(data, options.threads, options.startAt);
  let expected = options.startAt;
  let closed = false;
  return {
    batchSize,
    stepsPerEpoch,
    async batch(step) {
      if (closed) throw new Error('Internal error: a batch was asked for after the threads had been ended.');
      if (step !== expected) {
        await crew.end();
        crew = startCrew(data, options.threads, step);
      }
      expected = step + 1;
      return crew.take(step);
    },
    async close() {
      closed = true;
      await crew.end();
    },
  };
}

interface Crew {
  take(step: number): Promise<Batch>;
  end(): Promise<void>;
}

type CrewData = Pick<ThreadData, 'recipe' | 'images' | 'slots'>;

/** Threads that make the batches from step `first` on, in turns. */
function startCrew(data: CrewData, count: number, first: number): Crew {
  const slotCount = data.slots.length;
  const control = new Int32Array(new SharedArrayBuffer(4 * (1 + 2 * slotCount)));
  let failure: Error | null = null;
  let ending = false;
  const ports: MessagePort[] = [];
  const workers = Array.from({ length: count }, (_, index) => {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1);
    const workerData: ThreadData = { ...data, control, port: port2, index, count, first };
    const worker = new Worker(entryPath(), { workerData, transferList: [port2], execArgv: [] });
    worker.on('error', (error) => {
      failure ??= error;
    });
    worker.on('exit', (code) => {
      if (!ending && code !== 0)
        failure ??= new Error(`A thread that prepares batches ended by itself (code ${code}).`);
    });
    // A training that has failed must not be kept from ending its process.
    worker.unref();
    return worker;
  });

  const untilFilled = async (slot: number, round: number): Promise<void> => {
    const word = filledWord(slot);
    const askedAt = performance.now();
    for (;;) {
      const filled = Atomics.load(control, word);
      if (filled === round + 1) return;
      if (failure !== null) throw failure;
      if (performance.now() - askedAt > patienceMs) {
        throw new Error(`No batch came from the threads that prepare them within ${patienceMs / 1000} s.`);
      }
      Atomics.wait(control, word, filled, napMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  return {
    async take(step) {
      const offset = step - first;
      if (offset > 0) {
        const before = slotOf(offset - 1, slotCount);
        Atomics.store(control, freedWord(before.slot), before.round + 1);
        Atomics.notify(control, freedWord(before.slot));
      }
      const { slot, round } = slotOf(offset, slotCount);
      await untilFilled(slot, round);
      const answer = receiveMessageOnPort(ports[offset % count]!)?.message as FromThread | undefined;
      if (answer === undefined || answer.step !== step) {
        throw new Error(`Internal error: a thread sent step ${answer?.step} where ${step} was expected.`);
      }
      if ('error' in answer) throw answer.error;
      return { ...answer.batch, pixels: data.slots[slot]!.subarray(0, answer.pixelCount) };
    },
    async end() {
      ending = true;
      Atomics.store(control, STOP, 1);
      for (let slot = 0; slot < slotCount; slot++) Atomics.notify(control, freedWord(slot));
      for (const port of ports) port.close();
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

function shareImage(image: PreparedImage): SharedImage {
  const { place } = image as Partial<StoredImage>;
  const { imageId, scale, padX, padY, width, height, boxes, classes, ignore, weights } = image;
  const labels = { imageId, scale, padX, padY, width, height, boxes, classes, annotationIds: [], ignore, weights };
  return { image: labels, pixels: place ?? inSharedMemory(image.pixels) };
}

/** The same array where it can be shared already: so the images of the pool are never copied. */
function inSharedMemory(pixels: Uint8Array): Uint8Array {
  if (pixels.buffer instanceof SharedArrayBuffer) return pixels;
  const shared = new Uint8Array(new SharedArrayBuffer(pixels.length));
  shared.set(pixels);
  return shared;
}

/** The compiled entry, also when this file runs from its source (under the test runner). */
function entryPath(): string {
  const beside = import.meta.url.endsWith('.ts') ? '../dist/activities/prefetch-thread.js' : './prefetch-thread.js';
  return fileURLToPath(new URL(beside, import.meta.url));
}
