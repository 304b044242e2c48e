/**
 * Images per second in training and inference: `npm run bench -- train-speed [case]…`, cases as in the table below.
 * Each case runs in a process of its own, because TensorFlow reads its thread count when it loads.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Batch, PreparedImage } from '../detection/model/types.ts';
import { createRandom } from '../detection/random.ts';
import type { Architecture } from '../detection/types.ts';

interface Case {
  readonly name: string;
  readonly width: number;
  readonly imageSize: number;
  readonly activation: Architecture['activation'];
  /** Threads of one op; unset leaves the choice to TensorFlow. */
  readonly threads?: string;
}

const cases: readonly Case[] = [
  { name: 'S-160-leaky', width: 0.125, imageSize: 160, activation: 'leaky', threads: '1' },
  { name: 'S-160-mish', width: 0.125, imageSize: 160, activation: 'mish', threads: '1' },
  { name: 'M-160-leaky', width: 0.25, imageSize: 160, activation: 'leaky' },
  { name: 'S-320-leaky', width: 0.125, imageSize: 320, activation: 'leaky', threads: '1' },
  { name: 'M-320-leaky', width: 0.25, imageSize: 320, activation: 'leaky' },
];

const BATCH_SIZE = 16;
const WARM_UP_STEPS = 5;
const MEASURED_STEPS = 25;

interface Measurement {
  readonly parameters: number;
  readonly training: number;
  readonly inference: number;
  readonly megabytes: number;
}

async function main(wanted: readonly string[]): Promise<void> {
  const chosen = wanted.length === 0 ? cases : cases.filter(({ name }) => wanted.includes(name));
  console.log('case          parameters  training img/s  inference img/s  peak MB');
  for (const { name, threads } of chosen) {
    // As in every training process; TensorFlow leaves oneDNN off on some CPUs.
    const env: NodeJS.ProcessEnv = { ...process.env, TF_ENABLE_ONEDNN_OPTS: '1' };
    if (threads !== undefined) env.TF_NUM_INTRAOP_THREADS = threads;
    const child = fork(fileURLToPath(import.meta.url), ['--measure', name], {
      env,
      stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
    });
    const result = await new Promise<Measurement>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Measurement));
      child.once('exit', (code) => reject(new Error(`Case ${name} ended with status ${code} and no result.`)));
    });
    const columns = [name.padEnd(13), String(result.parameters).padStart(10), result.training.toFixed(0).padStart(15)];
    console.log([...columns, result.inference.toFixed(0).padStart(16), String(result.megabytes).padStart(8)].join(' '));
  }
}

async function measure({ width, imageSize, activation }: Case): Promise<Measurement> {
  const { countParameters, initialWeights } = await import('../detection/model/network.ts');
  const { defaultTrainOptions, trainDetector } = await import('../detection/model/train.ts');
  const { createDetectorModel } = await import('../detection/model/detect.ts');
  const architecture: Architecture = {
    depth: 0.33,
    width,
    strides: [8, 16, 32],
    anchors: [1, 2, 4].map((k) => [
      [10 * k, 10 * k],
      [14 * k, 12 * k],
      [16 * k, 18 * k],
    ]),
    activation,
    imageSize,
    categories: [{ id: 1, name: 'target' }],
  };
  const images = noiseImages(imageSize);
  const batch = batchOf(images);
  const stepMs: number[] = [];
  let last = performance.now();
  await trainDetector({
    architecture,
    init: null,
    seed: 1,
    options: { ...defaultTrainOptions, epochs: 1, batchSize: BATCH_SIZE },
    source: { batchSize: BATCH_SIZE, stepsPerEpoch: WARM_UP_STEPS + MEASURED_STEPS, batch: () => batch },
    resumeFrom: null,
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async () => {
      stepMs.push(performance.now() - last);
      last = performance.now();
      return 'go-on';
    },
    onCheckpoint: async () => {},
  });
  const detector = createDetectorModel(architecture, initialWeights(architecture, 1), { batchSize: BATCH_SIZE });
  const inferMs: number[] = [];
  for (let i = 0; i < WARM_UP_STEPS + MEASURED_STEPS; i++) {
    const start = performance.now();
    detector.forEachImage(images, () => {});
    inferMs.push(performance.now() - start);
  }
  detector.dispose();
  return {
    parameters: countParameters(architecture),
    training: (1000 * BATCH_SIZE) / median(stepMs.slice(WARM_UP_STEPS)),
    inference: (1000 * BATCH_SIZE) / median(inferMs.slice(WARM_UP_STEPS)),
    megabytes: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

/** Seeded, so that every run does the same work. */
function noiseImages(imageSize: number): PreparedImage[] {
  const random = createRandom('train-speed');
  return Array.from({ length: BATCH_SIZE }, (_, imageId) => {
    const boxes = Array.from({ length: 8 }, () => {
      const [x, y] = [random.next() * (imageSize - 20), random.next() * (imageSize - 20)];
      return [x, y, x + 8 + random.next() * 12, y + 8 + random.next() * 12];
    });
    return {
      imageId,
      pixels: Uint8Array.from({ length: imageSize * imageSize * 3 }, () => random.int(256)),
      scale: 1,
      padX: 0,
      padY: 0,
      width: imageSize,
      height: imageSize,
      boxes: Float32Array.from(boxes.flat()),
      classes: new Int32Array(boxes.length),
      annotationIds: boxes.map((_box, i) => String(i)),
      ignore: new Float32Array(0),
    };
  });
}

function batchOf(images: readonly PreparedImage[]): Batch {
  const bytes = images[0]!.pixels.length;
  const pixels = new Uint8Array(images.length * bytes);
  for (const [i, image] of images.entries()) pixels.set(image.pixels, i * bytes);
  return {
    imageIds: images.map(({ imageId }) => imageId),
    pixels,
    boxes: images.map(({ boxes }) => boxes),
    classes: images.map(({ classes }) => classes),
    ignore: images.map(({ ignore }) => ignore),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const [mode, name] = process.argv.slice(2);
if (mode === '--measure') {
  const found = cases.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`There is no case "${name}".`);
  process.send!(await measure(found), () => process.disconnect());
} else {
  await main(process.argv.slice(2));
}
