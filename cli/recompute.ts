/** Runs a finished step of a run again, apart from its result and checkpoints, and compares what comes out. */

import { randomBytes } from 'node:crypto';
import type { StepContext } from '../activities/context.ts';
import { describeEnvironment } from '../activities/environment.ts';
import { stepImplementations } from '../activities/step-implementations.ts';
import { loadJson } from '../artifacts/codecs.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { peekStepResult } from '../artifacts/step-results.ts';
import type { Store } from '../artifacts/store.ts';
import { type ArtifactRef, isArtifactRef, type Json, type RunEnvironment, type StepRecord } from '../plan/types.ts';
import { CommandError, exitCodes } from './output.ts';

export interface Recomputation {
  readonly step: string;
  /** `incomparable`: something differs, and this machine computes with other arithmetic than the one before. */
  readonly outcome: 'equal' | 'differs' | 'incomparable';
  readonly outputs: readonly {
    readonly name: string;
    readonly equal: boolean;
    readonly before: Json;
    readonly now: Json;
  }[];
  /** Where the hash chains part; null: nowhere, or the step has none. */
  readonly firstDifference: {
    readonly epoch: number;
    readonly step: number;
    readonly in: 'start' | 'steps' | 'state';
  } | null;
  /** What the arithmetic depends on and is not as it was, as `cpu: A, now B`. */
  readonly otherArithmetic: readonly string[];
}

/** Hold times, and so differ each time. */
const unrepeatable: ReadonlySet<string> = new Set(['curves', 'report', 'trials']);

export async function recompute(
  store: Store,
  run: string,
  record: StepRecord,
  say: (message: string) => void,
  signal: AbortSignal,
): Promise<Recomputation> {
  const { path, outputs } = record;
  const { fingerprint, inputs, kind } = recomputable(record);
  const before = (await peekStepResult(store, fingerprint))?.environment;
  if (before === undefined) {
    throw new CommandError(`${path} has no recorded result with an environment to compare with.`, exitCodes.input);
  }
  const apart = sha256Hex(`recompute ${fingerprint} ${randomBytes(16).toString('hex')}`);
  const settled = await keepThreads(store, fingerprint, apart);
  const context: StepContext = {
    store,
    run,
    path,
    seed: record.seed ?? 0,
    fingerprint: apart,
    environment: before,
    signal,
    progress: say,
    resumed: () => undefined,
    notice: async (message) => say(message),
  };
  try {
    const implementation = stepImplementations[kind]! as (
      context: StepContext,
      inputs: Json,
    ) => Promise<{ [name: string]: Json }>;
    const now = await implementation(context, inputs);
    const names = [...new Set([...Object.keys(outputs ?? {}), ...Object.keys(now)])];
    const compared = names
      .filter((name) => !isUnrepeatable(outputs?.[name] ?? now[name]))
      .map((name) => {
        const [was, is] = [outputs?.[name] ?? null, now[name] ?? null];
        return { name, equal: identityOf(was) === identityOf(is), before: was, now: is };
      });
    const equal = compared.every((each) => each.equal);
    const otherArithmetic = equal ? [] : await arithmeticChanges(store, record, before, settled);
    return {
      step: path,
      outcome: equal ? 'equal' : otherArithmetic.length > 0 ? 'incomparable' : 'differs',
      outputs: compared,
      firstDifference: await firstDifference(store, outputs?.chain, now.chain),
      otherArithmetic,
    };
  } finally {
    for (const prefix of [`checkpoints/${apart}/`, `threads/${apart}`]) {
      for (const key of await store.listRecords(prefix)) {
        const { object } = JSON.parse((await store.readRecord(key))?.toString() ?? '{}') as { object?: string };
        if (object !== undefined) await store.removeObject(object);
        await store.removeRecord(key);
      }
    }
  }
}

function recomputable({ path, kind, state, fingerprint, with: inputs }: StepRecord) {
  if (state !== 'done' || fingerprint === undefined || inputs === undefined) {
    throw new CommandError(
      `--recompute: ${path} is ${state}; only a finished step can be computed again.`,
      exitCodes.usage,
    );
  }
  if (stepImplementations[kind] === undefined || kind === 'report' || kind === 'export' || kind === 'capacity-rung') {
    throw new CommandError(
      `--recompute: ${path} is of the kind ${kind}, which is not one computation: people, several trials, or files outside of the store are part of it. Name a step that trains, detects, mines or evaluates.`,
      exitCodes.usage,
    );
  }
  return { fingerprint, inputs: inputs as Json, kind };
}

/** The number of threads that the step was computed with is part of its arithmetic. */
async function keepThreads(store: Store, fingerprint: string, apart: string): Promise<number | null> {
  const bytes = await store.readRecord(`threads/${fingerprint}.json`);
  if (bytes === null) return null;
  await store.createRecord(`threads/${apart}.json`, bytes);
  return (JSON.parse(bytes.toString()) as { threads: number }).threads;
}

const isUnrepeatable = (value: Json | undefined): boolean => isArtifactRef(value) && unrepeatable.has(value.artifact);

function identityOf(value: Json): string {
  return isArtifactRef(value) ? value.digest : JSON.stringify(value);
}

async function arithmeticChanges(
  store: Store,
  { outputs }: StepRecord,
  before: RunEnvironment,
  threads: number | null,
): Promise<string[]> {
  const ref = outputs?.curves;
  // A training notes what it really ran on; of other steps the run's own environment is known.
  const was = isArtifactRef(ref) ? (await loadJson(store, 'curves', ref)).environment : before;
  const here = await describeEnvironment();
  const now = { ...here, threads: threads ?? here.threads, oneDnn: before.oneDnn };
  return (['cpu', 'tensorflow', 'oneDnn', 'threads'] as const)
    .filter((name) => was[name] !== now[name])
    .map((name) => `${name}: ${was[name]}, now ${now[name]}`);
}

async function firstDifference(
  store: Store,
  before: Json | undefined,
  now: Json | undefined,
): Promise<Recomputation['firstDifference']> {
  if (!isArtifactRef(before) || !isArtifactRef(now) || before.digest === now.digest) return null;
  const [a, b] = await Promise.all([before, now].map((ref) => loadJson(store, 'chain', ref as ArtifactRef)));
  for (const [i, link] of a!.epochs.entries()) {
    const other = b!.epochs[i];
    if (other?.link === link.link) continue;
    const place = link.epoch === 0 ? 'start' : other?.head === link.head ? 'state' : 'steps';
    return { epoch: link.epoch, step: link.step, in: place };
  }
  return null;
}
