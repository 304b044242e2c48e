import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { decodeCheckpoint } from '../../../detection/model/checkpoint.ts';
import { createDetectorModel } from '../../../detection/model/detect.ts';
import { initialWeights } from '../../../detection/model/network.ts';
import { nodeBackend, tf } from '../../../detection/model/tf.ts';
import {
  defaultTrainOptions,
  ForeignCheckpointError,
  NonFiniteLossError,
  trainDetector,
} from '../../../detection/model/train.ts';
import type { EpochReport, TrainJob, TrainOptions } from '../../../detection/model/types.ts';
import { encodeWeights } from '../../../detection/model/weights.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const folder = mkdtempSync(join(tmpdir(), 'hardcase-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const images = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => discImage(id));

/** AP50 needs no evaluator where a perfect model is expected: every disc found first, at IoU 0.5, and nothing scored above. */
function foundFirst(detector: ReturnType<typeof createDetectorModel>): number {
  const { image, box } = detector.detect(images, { maxPerImage: 2 });
  let found = 0;
  for (const { imageId, boxes } of images) {
    for (let g = 0; g < boxes.length; g += 4) {
      const [x1, y1, x2, y2] = boxes.subarray(g, g + 4) as unknown as [number, number, number, number];
      const hit = Array.from(image).some((id, k) => {
        if (id !== imageId) return false;
        const [a, b, c, d] = box.subarray(k * 4, k * 4 + 4) as unknown as [number, number, number, number];
        const shared = Math.max(0, Math.min(x2, c) - Math.max(x1, a)) * Math.max(0, Math.min(y2, d) - Math.max(y1, b));
        return shared / ((x2 - x1) * (y2 - y1) + (c - a) * (d - b) - shared) > 0.5;
      });
      if (hit) found++;
    }
  }
  return found / (2 * images.length);
}

test('a tiny network learns eight images by heart', async () => {
  const reports: EpochReport[] = [];
  let evaluations = 0;
  const result = await trainDetector({
    ...quietJob(tiny, sourceOf(images, 8), { ...defaultTrainOptions, epochs: 150 }),
    onEpoch: (report) => reports.push(report),
    evaluateEvery: 100,
    evaluate: (detect) => {
      evaluations++;
      return { AP: 0, AP50: detect(images).score.length };
    },
  });
  const detector = createDetectorModel(tiny, result.weights);
  expect(foundFirst(detector)).toBeGreaterThan(0.9);
  detector.dispose();
  expect(result.steps).toBe(150);
  expect(reports).toHaveLength(150);
  expect(result.epochs).toEqual(reports);
  expect(reports.at(-1)!.loss.total).toBeLessThan(reports[0]!.loss.total / 3);
  // After epoch 100, and after the last.
  expect(evaluations).toBe(2);
  expect(reports.filter(({ validation }) => validation !== undefined).map(({ epoch }) => epoch)).toEqual([100, 150]);
}, 120_000);

function shortJob(changes: Partial<TrainOptions> = {}): TrainJob {
  return quietJob(tiny, sourceOf(images, 2), { ...defaultTrainOptions, epochs: 3, ...changes });
}

/** Stops after `step` steps, goes on from the checkpoint, and answers what the second part answers. */
async function interrupted(job: TrainJob, step: number) {
  let saved: Uint8Array | null = null;
  const first = await trainDetector({
    ...job,
    afterStep: async (done) => (done === step ? 'checkpoint-and-stop' : 'go-on'),
    onCheckpoint: async (_step, bytes) => {
      saved = bytes;
    },
  });
  expect(first.steps).toBe(step);
  expect(saved).not.toBeNull();
  return trainDetector({ ...job, resumeFrom: saved });
}

const exactParts = ({ weights, epochs, clipSwitch, steps }: Awaited<ReturnType<typeof trainDetector>>) => ({
  weights: Buffer.from(encodeWeights(weights)).toString('base64'),
  epochs: epochs.map(({ imagesPerSecond, waited, ...rest }) => rest),
  clipSwitch,
  steps,
});

test.each(['momentum', 'adam'] as const)(
  'stopped anywhere and resumed, the result is the same to the bit: %s',
  async (optimizer) => {
    const job = shortJob({
      optimizer,
      clip: { ...defaultTrainOptions.clip, norm: 0.5, when: { share: 0.5 } },
    });
    const unbroken = exactParts(await trainDetector(job));
    expect(unbroken.clipSwitch).toEqual({ step: 6, epoch: 2, reason: 'share' });
    // In mid-epoch, at its end, after clipping switched on, and after the last step.
    for (const step of [1, 4, 7, 12]) expect(exactParts(await interrupted(job, step))).toEqual(unbroken);
  },
);

test('stopped while a running bound clips updates, the result is the same to the bit', async () => {
  const job = shortJob({
    clip: { ...defaultTrainOptions.clip, norm: 'auto', percentile: 0.5, when: { share: 0.25 } },
  });
  const result = await trainDetector(job);
  // About half are above their running median, once it is on; fewer while the loss falls.
  const clipped = result.epochs.map((epoch) => epoch.clipped);
  expect(Math.max(...clipped)).toBeGreaterThan(0);
  expect(Math.max(...clipped)).toBeLessThan(1);
  const unbroken = exactParts(result);
  for (const step of [2, 7]) expect(exactParts(await interrupted(job, step))).toEqual(unbroken);
});

test('stopped between gathered batches and with targets clipped, the result is the same to the bit', async () => {
  const job = shortJob({
    accumulate: 3,
    clip: { ...defaultTrainOptions.clip, by: 'per-target', percentile: 0.5, when: { share: 0.25 } },
    ignore: { by: 'prediction', threshold: 0.5 },
    focal: { ...defaultTrainOptions.focal, class: true },
  });
  const result = await trainDetector(job);
  expect(result.clipSwitch).toEqual({ step: 3, epoch: 1, reason: 'share' });
  // About half are above their running median, once it is on; fewer while the loss falls.
  const [first, ...others] = result.epochs.map(({ clipped }) => clipped);
  expect(first).toBeLessThan(0.25);
  for (const share of others) expect(Math.abs(share - 0.4)).toBeLessThan(0.35);
  const unbroken = exactParts(result);
  for (const step of [2, 7]) expect(exactParts(await interrupted(job, step))).toEqual(unbroken);
});

test('frozen statistics stay those of the model trained on, and want one', async () => {
  const init = (await trainDetector(shortJob())).weights;
  const job = shortJob({ freezeStatistics: true });
  const { weights } = await trainDetector({ ...job, init });
  const isStatistic = (name: string) => /\/(mean|variance)$/.test(name);
  for (const [i, { name, data }] of weights.entries()) {
    if (isStatistic(name)) expect(data, name).toEqual(init[i]!.data);
  }
  expect(weights.some(({ name, data }, i) => !isStatistic(name) && data[0] !== init[i]!.data[0])).toBe(true);
  await expect(trainDetector(job)).rejects.toThrow(/freezeStatistics.*init/);
});

test('resumed in another process, the weights are the same to the bit', () => {
  const run = (name: string, stop: number) => {
    const here = import.meta.dirname;
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    const script = [join(here, 'train-in-process.ts'), path, String(stop)];
    const output = execFileSync(process.execPath, ['--import', join(here, 'typescript-loader.mjs'), ...script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return JSON.parse(output.toString()) as Record<'momentum' | 'adam', { steps: number; digest: string }>;
  };
  const unbroken = run('unbroken', 0);
  expect(unbroken.adam.steps).toBe(12);
  expect(unbroken.adam.digest).not.toBe(unbroken.momentum.digest);
  expect(run('broken', 5).adam.steps).toBe(5);
  expect(run('broken', 0)).toEqual(unbroken);
}, 120_000);

test('a checkpoint without a stop changes nothing, and holds everything', async () => {
  const saved: [number, Uint8Array][] = [];
  const job = shortJob();
  const result = await trainDetector({
    ...job,
    afterStep: async (step) => (step % 5 === 0 ? 'checkpoint' : 'go-on'),
    onCheckpoint: async (step, bytes) => {
      saved.push([step, bytes]);
    },
  });
  expect(exactParts(result)).toEqual(exactParts(await trainDetector(job)));
  expect(saved.map(([step]) => step)).toEqual([5, 10]);
  const { state, ...rest } = decodeCheckpoint(saved[1]![1]);
  expect(rest.step).toBe(10);
  expect(rest.epochs).toHaveLength(2);
  expect(rest.sums.steps).toBe(2);
  expect(Object.keys(state).sort()).toEqual(['emaStatistics', 'emaWeights', 'slot1', 'slot2', 'statistics', 'weights']);
});

test('a checkpoint of another training is refused', async () => {
  const other = shortJob({ learningRate: 0.5 });
  await expect(
    (async () => {
      let saved: Uint8Array | null = null;
      await trainDetector({
        ...shortJob(),
        afterStep: async () => 'checkpoint-and-stop',
        onCheckpoint: async (_step, bytes) => {
          saved = bytes;
        },
      });
      await trainDetector({ ...other, resumeFrom: saved });
    })(),
  ).rejects.toThrow(ForeignCheckpointError);
});

test('a loss that is not finite stops the training and names terms, step and images', async () => {
  const init = initialWeights(tiny, 1).map((tensor) =>
    tensor.name === 'head8/out/bias' ? { ...tensor, data: tensor.data.map(() => Number.NaN) } : tensor,
  );
  const error = await trainDetector({ ...shortJob(), init }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(NonFiniteLossError);
  const { step, imageIds, terms, message } = error as NonFiniteLossError;
  expect({ step, imageIds }).toEqual({ step: 0, imageIds: [1, 2] });
  expect(terms).toContain('objectness');
  expect(message).toMatch(/^Step 0: .*objectness is NaN.*Images of the batch: 1, 2\./);
});

test('memory stays flat over steps', async () => {
  const counts: string[] = [];
  await trainDetector({
    ...shortJob({ epochs: 5 }),
    afterStep: async () => {
      counts.push(`${tf.memory().numTensors} ${nodeBackend().binding.getNumOfTensors()}`);
      return 'go-on';
    },
  });
  expect(new Set(counts).size).toBe(1);
});

test('training goes on from other weights; a head of other categories starts anew', async () => {
  const init = initialWeights(tiny, 9);
  const job = shortJob({ epochs: 1, learningRate: 1e-9, weightDecay: 0 });
  const { weights } = await trainDetector({ ...job, init });
  const kernel = (list: typeof init | typeof weights, name: string) => list.find((t) => t.name === name)!.data;
  const [before, after] = [kernel(init, 'stem/kernel'), kernel(weights, 'stem/kernel')];
  for (const [i, value] of after.entries()) expect(value).toBeCloseTo(before[i]!, 5);

  const two = { ...tiny, categories: [...tiny.categories, { id: 4, name: 'other' }] };
  const finetuned = await trainDetector({ ...job, architecture: two, init });
  expect(finetuned.weights.find(({ name }) => name === 'head8/out/bias')!.shape).toEqual([7]);
  const deeper = { ...tiny, width: 0.25 };
  await expect(trainDetector({ ...job, architecture: deeper, init })).rejects.toThrow(
    'Weights to start from: "stem/kernel" has shape [3,3,3,8], but this architecture needs [3,3,3,16].',
  );
});
