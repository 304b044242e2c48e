/** The two ends of an `activity:` step: what the other program is given, and whether it gave what the file declares. */

import { ApplicationFailure } from '@temporalio/activity';
import { stepSeed } from '../artifacts/fingerprint.ts';
import { readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import {
  type AttemptRecord,
  type DeclaredType,
  isArtifactRef,
  type Json,
  type StepRequest,
  type StepResult,
} from '../plan/types.ts';
import { type ActivityDeps, now } from './attempt.ts';
import { endOf, keepResult, reuseStep } from './run-step.ts';
import { fingerprintOfStep } from './step-identity.ts';

export type BegunForeign =
  | { readonly result: StepResult }
  | { readonly seed: number; readonly fingerprint: string; readonly store: string };

/** The result of the same work, where there is one; else what the program must know beside its inputs. */
export async function beginForeign(
  deps: ActivityDeps,
  { step, reuse }: { step: StepRequest; reuse: boolean },
): Promise<BegunForeign> {
  const fingerprint = fingerprintOfStep(step);
  const seed = stepSeed(step.seed, step.path);
  if (reuse) {
    const result = await reuseStep(deps, step);
    if (result !== null) return { result };
  } else {
    const { run, path, kind, with: inputs, secrets, fresh } = step;
    const record = {
      fresh,
      path,
      kind,
      state: 'running',
      reused: false,
      startedAt: now(),
      with: inputs,
      secrets,
      fingerprint,
    } as const;
    await writeStepRecord(deps.store, run, record, { again: true });
  }
  return { seed, fingerprint, store: deps.store.url };
}

export interface FinishedForeign {
  readonly step: StepRequest;
  readonly reuse: boolean;
  /** What the program gave; from anywhere, so that nothing about it is taken for granted. */
  readonly given: Json;
  readonly attempts: readonly AttemptRecord[];
}

/** Records what the program gave, where it is what was declared and its artifacts are in the store. */
export async function finishForeign(
  deps: ActivityDeps,
  { step, reuse, given, attempts }: FinishedForeign,
): Promise<StepResult> {
  const { store } = deps;
  const { run, path, kind, with: inputs, secrets, fresh } = step;
  const problem = await problemOfOutputs(store, step.outputs ?? {}, given);
  if (problem !== null) {
    throw ApplicationFailure.nonRetryable(
      `The activity of ${path} gave other outputs than it declares. ${problem}`,
      'WrongOutputs',
    );
  }
  const fingerprint = fingerprintOfStep(step);
  const declared = Object.keys(step.outputs ?? {});
  const own = (given ?? {}) as { readonly [name: string]: Json };
  const outputs = Object.fromEntries(declared.map((name) => [name, own[name]!]));
  const before = await readStepRecord(store, run, path);
  const startedAt = before?.startedAt ?? now();
  const seed = stepSeed(step.seed, path);
  const record = { path, kind, startedAt, with: inputs, secrets, fingerprint, seed, fresh, attempts };
  const end = reuse
    ? endOf(step, await keepResult(deps, step, fingerprint, outputs, attempts.at(-1)?.startedAt))
    : { result: { outputs, reused: false }, record: { state: 'done', endedAt: now(), outputs } as const };
  await writeStepRecord(store, run, { state: 'done', reused: false, ...record, ...end.record }, { again: true });
  return end.result;
}

async function problemOfOutputs(
  store: Store,
  declared: { readonly [name: string]: DeclaredType },
  given: Json,
): Promise<string | null> {
  const names = Object.keys(declared);
  if (names.length === 0) return null;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return `It gave ${shown(given)}; expected an object with ${names.join(', ')}.`;
  }
  const values = given as { readonly [name: string]: Json };
  const faults: string[] = [];
  for (const name of Object.keys(values)) {
    if (!names.includes(name)) faults.push(`"${name}" is not declared.`);
  }
  for (const [name, type] of Object.entries(declared)) {
    const fault = values[name] === undefined ? 'is missing' : await misfit(store, type, values[name]);
    if (fault !== null) faults.push(`"${name}" ${fault}; expected ${typeWords(type)}.`);
  }
  return faults.length === 0 ? null : faults.join(' ');
}

/** Null where the value is of the type. */
async function misfit(store: Store, type: DeclaredType, value: Json): Promise<string | null> {
  const other = `is ${shown(value)}`;
  if (type === 'any') return null;
  if (typeof type === 'string') return typeof value === type ? null : other;
  if ('list' in type) {
    if (!Array.isArray(value)) return other;
    for (const item of value as readonly Json[]) {
      const fault = await misfit(store, type.list, item);
      if (fault !== null) return `has an entry that ${fault}`;
    }
    return null;
  }
  if (!isArtifactRef(value) || value.artifact !== type.artifact || !/^[0-9a-f]{64}$/.test(value.digest)) return other;
  if (!Number.isSafeInteger(value.bytes)) return `${other}, without its size in "bytes"`;
  return (await store.hasObject(value.digest))
    ? null
    : `names the object ${value.digest}, which is not in ${store.url}`;
}

function typeWords(type: DeclaredType): string {
  if (typeof type === 'string') return type === 'boolean' ? 'true or false' : type === 'string' ? 'text' : `a ${type}`;
  return 'list' in type
    ? `a list, each entry ${typeWords(type.list)}`
    : `{ artifact: "${type.artifact}", digest, bytes }`;
}

function shown(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
