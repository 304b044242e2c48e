/** The two sides as processes that do a number of steps when asked, so that their steps can alternate. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { initialWeights } from '../../detection/model/network.ts';
import { TorchProcess } from '../torch/client.ts';
import { noiseBatch, noiseImages, type SpeedCase, speedOptions } from './cases.ts';
import type { Answer, Order } from './our-process.ts';

export type What = 'train' | 'infer';

/** A process, ready to be measured. */
export interface Contestant {
  /** Milliseconds of each of `count` steps. */
  run(what: What, count: number): Promise<readonly number[]>;
  peakBytes(): Promise<number>;
  close(): Promise<void>;
}

export async function openOurs({ name }: SpeedCase, threads: number): Promise<Contestant> {
  const entry = import.meta.url.endsWith('.ts') ? './our-process.ts' : './our-process.js';
  const env = {
    ...process.env,
    TF_NUM_INTRAOP_THREADS: String(threads),
    // As in every training process; TensorFlow leaves oneDNN off on some CPUs.
    TF_ENABLE_ONEDNN_OPTS: '1',
    TF_CPP_MIN_LOG_LEVEL: '3',
  };
  const child = fork(fileURLToPath(new URL(entry, import.meta.url)), [name], {
    env,
    stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
  });
  const ask = (order: Order) => askOurs(child, order);
  return {
    run: async (what, count) => (await ask({ kind: what, count })) as readonly number[],
    peakBytes: async () => (await ask({ kind: 'peak' })) as number,
    close: async () => {
      const closed = once(child, 'close');
      if (child.connected) child.send({ kind: 'end' } satisfies Order);
      await closed;
    },
  };
}

function askOurs(child: ChildProcess, order: Order): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ended = (status: number | null) => reject(new Error(`Our process ended with status ${status}.`));
    child.once('close', ended);
    child.once('message', (answer) => {
      child.off('close', ended);
      resolve(answer as Answer);
    });
    child.send(order);
  });
}

export interface TorchForm {
  readonly layout: 'channels_first' | 'channels_last';
  readonly compile: boolean;
}

export async function openTorch(
  { architecture }: SpeedCase,
  python: string,
  form: TorchForm,
  threads: number,
): Promise<Contestant> {
  const torch = new TorchProcess(python, threads);
  const images = noiseImages(architecture);
  const { pixels, targets } = noiseBatch(architecture, images);
  await torch.open({
    architecture,
    options: speedOptions,
    weights: initialWeights(architecture, 1),
    ...form,
    // What costs PyTorch less, and no average: ours has one.
    padding: 'symmetric',
    average: false,
    threads,
  });
  await torch.sendBatch(pixels, architecture.imageSize, targets);
  const settings = {
    learningRate: 0.01,
    clipNorm: Number.POSITIVE_INFINITY,
    emaDecay: 0,
    statisticsRate: 0.03,
    norm: false,
  };
  return {
    run: (what, count) => torch.repeat(what, count, settings),
    peakBytes: () => torch.peakBytes(),
    close: () => torch.close(),
  };
}
