/**
 * On how many threads a training computes. The last bits of its weights depend on them, so they are chosen once:
 *
 *     threads/FINGERPRINT.json       what this training was started with, forced on every later attempt, wherever it runs
 *     threads/machines/DIGEST.json   what was measured for such a net on such a machine, for trainings to come
 */

import { sha256Hex } from '../artifacts/digest.ts';
import { defaultTrainOptions } from '../detection/model/default-options.ts';
import type { Architecture } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { RunEnvironment } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { describeCpu, trainingThreads } from './environment.ts';
import { askChild } from './tf-process.ts';
import type { TrainParameters } from './training-parameters.ts';

/** What the speed of a training hangs on. */
export type NetShape = Pick<Architecture, 'depth' | 'width' | 'imageSize' | 'strides' | 'activation' | 'structure'> & {
  readonly categories: number;
  readonly batchSize: number;
};

/** Images a second on so many threads. */
export type MeasureSpeed = (shape: NetShape, environment: RunEnvironment) => Promise<number>;

interface Choice {
  readonly threads: number;
  readonly by: 'setting' | 'rule' | 'measurement';
}

/** A shorter training would not make up for the seconds that measuring takes. */
const worthwhileSeconds = 180;
/** Images a second, times width² * imageSize²: measured for nets of width 0.125 and 0.25 at 160 and 320 pixels on 2 cores. */
const workPerSecond = 170_000;
/** Several threads have to be clearly faster: they take cores that the preparing of batches and other steps could use. */
const gainMin = 1.1;

/** `images` of an epoch. Must come before TensorFlow is loaded, which reads its thread count once. */
export async function chooseThreads(
  context: Pick<StepContext, 'store' | 'fingerprint' | 'environment' | 'signal' | 'progress'>,
  shape: NetShape,
  parameters: Pick<TrainParameters, 'steps' | 'epochs'>,
  images: number,
  measure: MeasureSpeed = measureInChild,
): Promise<number> {
  const { store, environment } = context;
  const key = `threads/${context.fingerprint}.json`;
  const earlier = await readChoice(context, key);
  if (earlier !== null) return earlier.threads;

  const choose = async (): Promise<Choice> => {
    if ((process.env.HARDCASE_THREADS ?? '') !== '') return { threads: environment.threads, by: 'setting' };
    const steps =
      parameters.steps ?? (parameters.epochs ?? defaultTrainOptions.epochs) * Math.ceil(images / shape.batchSize);
    const seconds = (steps * shape.batchSize * shape.width ** 2 * shape.imageSize ** 2) / workPerSecond;
    // The published networks are large enough to share.
    const isPublished = (shape.structure ?? 'csp') !== 'csp';
    if (environment.threads === 1 || isPublished || seconds < worthwhileSeconds) {
      return { threads: trainingThreads(shape, environment), by: 'rule' };
    }
    return { threads: await measured(context, shape, measure), by: 'measurement' };
  };
  const choice = await choose();
  // Another attempt may have been first: then its choice is everybody's.
  const first = await store.createRecord(key, Buffer.from(canonicalJson({ ...choice })));
  return first === null ? choice.threads : (JSON.parse(first.toString()) as Choice).threads;
}

async function measured(
  { store, environment, signal, progress }: Pick<StepContext, 'store' | 'environment' | 'signal' | 'progress'>,
  shape: NetShape,
  measure: MeasureSpeed,
): Promise<number> {
  const { tensorflow, oneDnn, threads } = environment;
  const machine = { cpu: describeCpu(), tensorflow, oneDnn, threads };
  const key = `threads/machines/${sha256Hex(canonicalJson({ machine, shape: { ...shape } }))}.json`;
  const known = await readChoice({ store }, key);
  if (known !== null) return known.threads;
  progress('measuring how many threads train fastest', 0);
  const speeds: Record<string, number> = {};
  for (const count of [1, threads]) {
    signal.throwIfAborted();
    speeds[count] = await measure(shape, { ...environment, threads: count });
  }
  const chosen = speeds[threads]! > gainMin * speeds[1]! ? threads : 1;
  const record = { threads: chosen, imagesPerSecond: speeds, machine, shape: { ...shape } };
  const first = await store.createRecord(key, Buffer.from(canonicalJson(record)));
  return first === null ? chosen : (JSON.parse(first.toString()) as Choice).threads;
}

async function readChoice({ store }: Pick<StepContext, 'store'>, key: string): Promise<Pick<Choice, 'threads'> | null> {
  const bytes = await store.readRecord(key);
  return bytes === null ? null : (JSON.parse(bytes.toString()) as Choice);
}

async function measureInChild(shape: NetShape, environment: RunEnvironment): Promise<number> {
  const parameters = { ...shape, strides: [...shape.strides] };
  const question = { type: 'start', kind: 'measure-speed', storeUrl: '', run: '', path: '', seed: 0, fingerprint: '' };
  return (await askChild({ ...question, type: 'start', environment, parameters })) as number;
}
