/** Whatever interrupts a training, or looks at it, changes no byte of it: several sizes, odd checkpoints, lost numbers. */

import { expect, test } from 'vitest';
import { type Checkpoint, decodeCheckpoint } from '../../../detection/model/checkpoint.ts';
import { createBatchSource } from '../../../detection/model/sampler.ts';
import { defaultTrainOptions, NonFiniteLossError, trainDetector } from '../../../detection/model/train.ts';
import type { BatchSource, NonFiniteReturn, TrainJob, TrainOptions } from '../../../detection/model/types.ts';
import { encodeWeights } from '../../../detection/model/weights.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const images = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => discImage(id));

function exactParts({ weights, epochs, clipSwitch, steps, returns, chain }: Awaited<ReturnType<typeof trainDetector>>) {
  return {
    weights: Buffer.from(encodeWeights(weights)).toString('base64'),
    epochs: epochs.map(({ imagesPerSecond, waited, ...rest }) => rest),
    clipSwitch,
    steps,
    returns,
    chain,
  };
}

/** Stops after the step, and goes on from the checkpoint. */
async function interrupted(job: TrainJob, step: number) {
  let saved: Uint8Array | null = null;
  await trainDetector({
    ...job,
    afterStep: async (done) => (done === step ? 'checkpoint-and-stop' : 'go-on'),
    onCheckpoint: async (_step, bytes) => {
      saved = bytes;
    },
  });
  return trainDetector({ ...job, resumeFrom: saved });
}

const multiScale = { range: 0.34, every: 2 };

function sizedJob(changes: Partial<TrainOptions> = {}): TrainJob {
  const source = createBatchSource({
    images: new Map(images.map((image) => [image.imageId, image])),
    select: images.map(({ imageId }) => ({ image: imageId })),
    batchSize: 2,
    inputSize: 48,
    seed: 3,
    augment: defaultTrainOptions.augment,
    multiScale,
    multipleOf: 16,
    totalSteps: 12,
  });
  return quietJob(tiny, source, { ...defaultTrainOptions, epochs: 3, multiScale, ...changes });
}

test('on batches of several sizes, stopped anywhere and resumed, the result is the same to the bit', async () => {
  const job = sizedJob({ accumulate: 3, clip: { ...defaultTrainOptions.clip, by: 'per-target', when: 'always' } });
  const sides = [...Array(12).keys()].map((step) => (job.source.batch(step) as { inputSize: number }).inputSize);
  expect(new Set(sides).size).toBe(2);
  const unbroken = exactParts(await trainDetector(job));
  // Between two sizes, in the middle of one, and between batches that are gathered.
  const changes = sides.findIndex((side, i) => i > 0 && side !== sides[i - 1]);
  for (const step of [changes, 5, 8]) expect(exactParts(await interrupted(job, step))).toEqual(unbroken);
}, 120_000);

test('checkpoints at odd moments, evaluations and profiles between them change nothing', async () => {
  const job = sizedJob({ optimizer: 'momentum' });
  const calm = exactParts(await trainDetector(job));
  let evaluated = 0;
  let recorded = 0;
  // As the clock might have it: now and then, twice in a row, right after an evaluation, and never for a while.
  const moments = new Set([1, 2, 4, 9]);
  const disturbed = await trainDetector({
    ...job,
    afterStep: async (step) => {
      await new Promise((resolve) => setTimeout(resolve, step % 3));
      return moments.has(step) ? 'checkpoint' : 'go-on';
    },
    evaluate: (detect) => {
      evaluated++;
      return { AP: 0, AP50: detect(images).score.length };
    },
    profile: {
      every: 2,
      after: (_epoch, lossesOf) => {
        recorded += lossesOf(images.slice(0, 2)).length;
      },
      save: () => ({}),
      load: () => {},
    },
  });
  const epochs = disturbed.epochs.map(({ validation, ...rest }) => rest);
  expect(exactParts({ ...disturbed, epochs })).toEqual(calm);
  expect([evaluated, recorded]).toEqual([3, 8]);
}, 120_000);

/** The batches of the images, but those of a step with a box that is no number, as often as `times` says. */
function spoiltSource(step: number, times: number): BatchSource {
  const sound = sourceOf(images, 2);
  let left = times;
  return {
    ...sound,
    batch: async (asked) => {
      const batch = await sound.batch(asked);
      if (asked !== step || left-- <= 0) return batch;
      return { ...batch, boxes: batch.boxes.map((boxes) => boxes.map(() => Number.NaN)) };
    },
  };
}

const onNonFinite = { returns: 1, rateFactor: 0.25 };
const spoiltJob = (times: number): TrainJob =>
  quietJob(tiny, spoiltSource(6, times), { ...defaultTrainOptions, epochs: 3, onNonFinite });

test('a loss that is not finite takes the training back to the end of its last epoch, with a lower rate', async () => {
  const made: NonFiniteReturn[] = [];
  const kept: Checkpoint[] = [];
  const result = await trainDetector({
    ...spoiltJob(1),
    onReturn: async (each) => void made.push(each),
    afterStep: async () => 'checkpoint',
    onCheckpoint: async (_step, bytes) => void kept.push(decodeCheckpoint(bytes)),
  });
  expect(result.returns).toEqual([
    { step: 6, to: 4, terms: expect.arrayContaining(['total']), imageIds: [5, 6], rate: 0.25 },
  ]);
  expect(made).toEqual(result.returns);
  expect(result.steps).toBe(12);
  expect(kept.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 9, 10, 11, 12]);
  // The last rate of an epoch, as without a return, times the factor.
  const { epochs } = await trainDetector(spoiltJob(0));
  expect(result.epochs.map(({ learningRate }) => learningRate)).toEqual(
    epochs.map(({ learningRate, epoch }) => learningRate * (epoch === 1 ? 1 : 0.25)),
  );
  const numbers = kept.flatMap(({ state, returnPoint }) => [
    ...Object.values(state),
    ...Object.values(returnPoint!.state),
  ]);
  expect(numbers.every((values) => values.every(Number.isFinite))).toBe(true);
});

test('what a training went back to does not depend on its checkpoints, nor on where it is stopped after that', async () => {
  const unbroken = exactParts(await trainDetector(spoiltJob(1)));
  const often = await trainDetector({ ...spoiltJob(1), afterStep: async () => 'checkpoint' });
  expect(exactParts(often)).toEqual(unbroken);
  // Stopped before the fault, which then comes once more in the second part; and after it.
  expect(exactParts(await interrupted(spoiltJob(1), 5))).toEqual(unbroken);
  expect(exactParts(await interrupted(spoiltJob(1), 7))).toEqual(unbroken);
});

test('when the returns are used up, the error names terms, images by their names, and the last good checkpoint', async () => {
  const error = await trainDetector({
    ...spoiltJob(2),
    imageName: (id) => `photo-${id}.jpg`,
    afterStep: async (step) => (step === 5 ? 'checkpoint' : 'go-on'),
  }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(NonFiniteLossError);
  expect((error as Error).message).toMatch(
    /^Step 6: total is NaN, .*Images of the batch: photo-5\.jpg, photo-6\.jpg\. The last good checkpoint is step 5\. The training had gone back once already\./,
  );
});

test('weights that an update made infinite reach no checkpoint', async () => {
  // One update of this rate leaves weights of 1e30 and more, whose squares are infinite: the next loss shows it, or the state does.
  const options = {
    ...defaultTrainOptions,
    epochs: 3,
    optimizer: 'momentum' as const,
    learningRate: 1e38,
    warmupEpochs: 0,
  };
  const saved: Checkpoint[] = [];
  const failing = trainDetector({
    ...quietJob(tiny, sourceOf(images, 2), options),
    afterStep: async () => 'checkpoint',
    onCheckpoint: async (_step, bytes) => void saved.push(decodeCheckpoint(bytes)),
  });
  await expect(failing).rejects.toThrow(NonFiniteLossError);
  for (const { state } of saved) {
    for (const values of Object.values(state)) expect(values.every(Number.isFinite)).toBe(true);
  }
});
