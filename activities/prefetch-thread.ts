/** The entry of a thread that prepares batches: augments images and builds targets, some steps ahead of the trainer. */

import { workerData } from 'node:worker_threads';
import { createBatchSource } from '../detection/model/sampler.ts';
import { createTargetBuilder } from '../detection/model/targets.ts';
import type { PreparedImage } from '../detection/model/types.ts';
import { readPixels } from './pixel-places.ts';
import {
  type FromThread,
  filledWord,
  freedWord,
  type SharedImage,
  STOP,
  slotOf,
  type ThreadData,
} from './prefetch-messages.ts';

const { recipe, images, control, slots, port, index, count, first } = workerData as ThreadData;
/** A trainer that is gone wakes nobody; its process takes this thread along, but a missed notice must not hold it for ever. */
const lookEveryMs = 1_000;

makeBatches();

function makeBatches(): void {
  const source = createBatchSource({
    ...recipe.source,
    images: new Map(images.map((each) => [each.image.imageId, withPixels(each)])),
  });
  const builders = new Map<number, ReturnType<typeof createTargetBuilder>>();
  const builderFor = (imageSize: number) => {
    const known = builders.get(imageSize);
    if (known !== undefined) return known;
    const sized = { ...recipe.architecture, imageSize };
    const made = createTargetBuilder(sized, recipe.source.batchSize, recipe.targets);
    builders.set(imageSize, made);
    return made;
  };
  for (let offset = index; ; offset += count) {
    const { slot, round } = slotOf(offset, slots.length);
    if (!waitFor(slot, round)) return;
    const step = first + offset;
    const answer = ((): FromThread => {
      try {
        const { pixels, ...batch } = source.batchInto(step, slots[slot]!);
        const targets = builderFor(batch.inputSize!)(batch);
        return { step, batch: { ...batch, targets }, pixelCount: pixels.length };
      } catch (error) {
        return { step, error: error as Error };
      }
    })();
    port.postMessage(answer);
    Atomics.store(control, filledWord(slot), round + 1);
    Atomics.notify(control, filledWord(slot));
    if ('error' in answer) return;
  }
}

/** Until the trainer has given the slot back often enough; false: it wants no more. */
function waitFor(slot: number, round: number): boolean {
  for (;;) {
    if (Atomics.load(control, STOP) !== 0) return false;
    const freed = Atomics.load(control, freedWord(slot));
    if (freed >= round) return true;
    Atomics.wait(control, freedWord(slot), freed, lookEveryMs);
  }
}

function withPixels({ image, pixels }: SharedImage): PreparedImage {
  return {
    ...image,
    get pixels() {
      return pixels instanceof Uint8Array ? pixels : readPixels(pixels);
    },
  };
}
