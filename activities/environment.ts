/** What the last bits of a training depend on: threads, TensorFlow build, CPU. Settled once per run. */

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Architecture } from '../detection/types.ts';
import type { RunEnvironment } from '../plan/types.ts';
import { askChild } from './tf-process.ts';

/** More intra-op threads than these gain nothing at the sizes trained here. */
const threadsMax = 8;

/**
 * Below this much work an op is too short to be shared between threads: 1 thread trains a small net at 160 px 1.5 times
 * as fast as 2. Measured in width² * imageSize², to which the work of a convolution is proportional.
 */
const sharedWorkMin = 0.25 ** 2 * 256 ** 2;

let known: Promise<RunEnvironment> | null = null;

/** The environment of a new run on this machine. Asks a TensorFlow process once. */
export function describeEnvironment(): Promise<RunEnvironment> {
  known ??= describe().catch((error: unknown) => {
    known = null;
    throw error;
  });
  return known;
}

async function describe(): Promise<RunEnvironment> {
  const base: RunEnvironment = {
    threads: threadsOf(process.env.HARDCASE_THREADS),
    tensorflow: '',
    oneDnn: process.env.TF_ENABLE_ONEDNN_OPTS !== '0',
    cpu: describeCpu(),
    hardcase: packageVersion(),
    node: process.version,
  };
  const { tensorflow } = (await askChild({
    type: 'start',
    kind: 'describe-tensorflow',
    storeUrl: '',
    run: '',
    path: '',
    seed: 0,
    fingerprint: '',
    environment: base,
    parameters: {},
  })) as { tensorflow: string };
  return { ...base, tensorflow };
}

/** In the TensorFlow process: which build it is. */
export async function describeTensorflow(): Promise<{ tensorflow: string }> {
  const { tf, nodeBackend } = await import('../detection/model/tf.ts');
  const { TF_Version } = nodeBackend().binding as unknown as { TF_Version?: string };
  return { tensorflow: `${TF_Version ?? 'unknown'} (tfjs-node ${tf.version['tfjs-node']})` };
}

/**
 * Threads for training this architecture: the run's, or one where the net is too small to share. A function of the
 * inputs and the run's environment alone, so that every attempt has the same.
 */
export function trainingThreads(
  architecture: Pick<Architecture, 'width' | 'imageSize'>,
  environment: RunEnvironment,
): number {
  const work = architecture.width ** 2 * architecture.imageSize ** 2;
  return work < sharedWorkMin ? 1 : environment.threads;
}

/** Sets the thread count of this process; without effect once TensorFlow is loaded. */
export function useThreads(threads: number): void {
  process.env.TF_NUM_INTRAOP_THREADS = String(threads);
}

function threadsOf(setting: string | undefined): number {
  if (setting === undefined || setting === '') return Math.min(threadsMax, availableParallelism());
  const threads = Number(setting);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new Error(`HARDCASE_THREADS is "${setting}", expected a whole number of threads, at least 1.`);
  }
  return threads;
}

/** Model and the instruction sets among which TensorFlow's kernels choose. */
export function describeCpu(): string {
  const model = cpus()[0]?.model.trim() ?? process.arch;
  const relevant = ['sse4_2', 'avx', 'avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16', 'amx_int8'];
  const flags = cpuFlags();
  return [model, ...relevant.filter((flag) => flags.has(flag))].join(' ');
}

function cpuFlags(): ReadonlySet<string> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    // Only Linux has the file; elsewhere the model's name must do.
    return new Set();
  }
}

export function packageVersion(): string {
  const folder = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json';
  const { version } = JSON.parse(readFileSync(fileURLToPath(new URL(folder, import.meta.url)), 'utf8')) as {
    version: string;
  };
  return version;
}
