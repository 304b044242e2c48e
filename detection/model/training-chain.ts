/**
 * A hash chain over a training: trainings with the same chain did the same, step by step, to the bit. The head takes in every
 * step; at the end of each epoch a link takes in the head and the whole state. Neither depends on when checkpoints were written.
 */

import { Buffer } from 'node:buffer';
import { createHash, webcrypto } from 'node:crypto';
import type { StepSettings, TrainState } from './train-graph.ts';

/** The end of an epoch; epoch 0 is the start. */
export interface EpochLink {
  readonly epoch: number;
  readonly step: number;
  /** Hash over all steps up to here. */
  readonly head: string;
  /** Digest of the whole state: weights, statistics, optimizer slots, moving averages, gathered gradients. */
  readonly state: string;
  /** Hash over the link before, and this one's fields. */
  readonly link: string;
}

/** What a checkpoint holds of the chain. */
export interface ChainState {
  /** Step at which it begins: above 0 where the training went on from a checkpoint of a release that kept no chain. */
  readonly since: number;
  readonly head: string;
  readonly epochs: readonly EpochLink[];
}

/** What goes into the head with every step, besides its number. */
export interface ChainedStep {
  /** All images that are seen in the batch. */
  readonly shown: readonly number[];
  readonly inputSize: number;
  readonly settings: StepSettings;
  /** Loss terms and the norm of the gradient, as the graph answered them. */
  readonly report: Float32Array;
}

export interface TrainingChain {
  readonly head: string;
  /** The head after so many steps; undefined: further back than it remembers, or not reached. */
  headAt(step: number): string | undefined;
  step(step: number, done: ChainedStep): void;
  /** Resolves at once, but where hashing has fallen behind. */
  epoch(epoch: number, step: number, state: TrainState): Promise<void>;
  /** The training went back to the end of an epoch, whose head is given, and goes on at another rate. */
  goBack(step: number, head: string, rate: number): void;
  save(): Promise<ChainState>;
}

/** States that wait to be hashed; each may be many megabytes. */
const waitingMax = 3;
/** Heads remembered for comparing with what another attempt has saved: as many as steps between a few checkpoints. */
const headsMax = 20_000;

/** `origin`: all that the training was started with, as text. */
export async function startChain(origin: string, state: TrainState): Promise<TrainingChain> {
  const chain = new Chain({ since: 0, head: hashOf('origin', origin), epochs: [] }, 0);
  await chain.epoch(0, 0, state);
  return chain;
}

/** Goes on with the chain of a checkpoint after `step` steps; null: of one that has none. */
export function resumeChain(saved: ChainState | null, step: number): TrainingChain {
  return new Chain(saved ?? { since: step, head: hashOf('since', step), epochs: [] }, step);
}

/** Whether each link follows from the one before. */
export function brokenLink(epochs: readonly EpochLink[]): EpochLink | null {
  for (const [i, each] of epochs.entries()) {
    if (each.link !== linkOf(epochs[i - 1]?.link ?? '', each)) return each;
  }
  return null;
}

/** Digest of all variables of the training graph, by name. Hashed on other threads. */
export async function digestState(state: TrainState): Promise<string> {
  const names = Object.keys(state).sort();
  const digests = await Promise.all(names.map(async (name) => [name, await digestOf(state[name]!)]));
  return hashOf(digests);
}

class Chain implements TrainingChain {
  head: string;
  readonly #since: number;
  /** Links of finished epochs; the last ones may still be computed. */
  #epochs: { readonly step: number; readonly link: Promise<EpochLink> }[];
  readonly #heads = new Map<number, string>();

  constructor({ since, head, epochs }: ChainState, step: number) {
    this.head = head;
    this.#since = since;
    this.#epochs = epochs.map((link) => ({ step: link.step, link: Promise.resolve(link) }));
    this.#remember(step);
  }

  headAt(step: number): string | undefined {
    return this.#heads.get(step);
  }

  step(step: number, { shown, inputSize, settings, report }: ChainedStep): void {
    const { learningRate, clipNorm, emaDecay, statisticsRate, targetBound = -1, gatherShare = -1 } = settings;
    const numbers = [step, inputSize, learningRate, clipNorm, emaDecay, statisticsRate, targetBound, gatherShare];
    this.head = createHash('sha256')
      .update(this.head)
      .update(Buffer.from(Float64Array.of(...numbers, shown.length, ...shown).buffer))
      .update(new Uint8Array(report.buffer, report.byteOffset, report.byteLength))
      .digest('hex');
    this.#remember(step);
  }

  async epoch(epoch: number, step: number, state: TrainState): Promise<void> {
    const before = this.#epochs.at(-1)?.link;
    const { head } = this;
    const link = (async (): Promise<EpochLink> => {
      const fields = { epoch, step, head, state: await digestState(state) };
      return { ...fields, link: linkOf((await before)?.link ?? '', fields) };
    })();
    this.#epochs.push({ step, link });
    await this.#epochs.at(-waitingMax)?.link;
  }

  goBack(step: number, head: string, rate: number): void {
    this.#epochs = this.#epochs.filter((each) => each.step <= step);
    for (const later of [...this.#heads.keys()]) if (later >= step) this.#heads.delete(later);
    this.head = hashOf('return', head, rate);
    this.#remember(step);
  }

  async save(): Promise<ChainState> {
    const { head } = this;
    return { since: this.#since, head, epochs: await Promise.all(this.#epochs.map(({ link }) => link)) };
  }

  #remember(step: number): void {
    this.#heads.set(step, this.head);
    if (this.#heads.size > headsMax) this.#heads.delete(this.#heads.keys().next().value!);
  }
}

function linkOf(before: string, { epoch, step, head, state }: Omit<EpochLink, 'link'>): string {
  return hashOf(before, epoch, step, head, state);
}

function hashOf(...values: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex');
}

async function digestOf({ buffer, byteOffset, byteLength }: Float32Array): Promise<string> {
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
}
