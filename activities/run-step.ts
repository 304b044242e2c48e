/** The ladder that all steps share: recorded result, else run, store, record. */

import { ApplicationFailure } from '@temporalio/activity';
import { readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import { createStepResult, type RecordedStepResult, readStepResult } from '../artifacts/step-results.ts';
import type { Json, StepRecord, StepRequest, StepResult } from '../plan/types.ts';
import { type ActivityDeps, type AttemptPolicy, now, runAttempt } from './attempt.ts';
import type { AnyStepImplementation, StepContext } from './context.ts';
import { redactor, replaced, secretsOf } from './secrets.ts';
import { fingerprintOfStep, isReusable } from './step-identity.ts';

export async function runStep(
  deps: ActivityDeps,
  implementation: AnyStepImplementation,
  request: StepRequest,
  policy: AttemptPolicy,
): Promise<StepResult> {
  const fingerprint = fingerprintOfStep(request);
  return runAttempt(deps, { request, policy, fingerprint }, async (context) => {
    const earlier = isReusable(request.kind) ? await readStepResult(deps.store, fingerprint) : null;
    if (earlier !== null) return endOfFound(request, earlier);
    // Code that listens for the abort alone would never hear of one that came before it.
    context.signal.throwIfAborted();
    const startedAt = now();
    const outputs = await runWithSecrets(implementation, context, request);
    if (!isReusable(request.kind)) {
      return { result: { outputs, reused: false }, record: { state: 'done', endedAt: now(), outputs } };
    }
    return endOf(request, await keepResult(deps, request, fingerprint, outputs, startedAt));
  });
}

/** Secrets stay in here: what the code says and gives goes out without them. */
async function runWithSecrets(
  implementation: AnyStepImplementation,
  context: StepContext,
  { with: inputs, secrets: places = [] }: StepRequest,
): Promise<{ readonly [name: string]: Json }> {
  const run = implementation as (context: StepContext, parameters: unknown) => Promise<{ [name: string]: Json }>;
  if (places.length === 0) return run(context, inputs);
  const secrets = secretsOf(inputs, places);
  const hide = redactor(secrets.values());
  const guarded: StepContext = {
    ...context,
    progress: (message, share) => context.progress(hide.text(message), share),
    notice: (message) => context.notice(hide.text(message)),
  };
  let outputs: { readonly [name: string]: Json };
  try {
    outputs = await run(guarded, replaced(inputs, places, secrets));
  } catch (error) {
    throw hide.error(error);
  }
  const text = JSON.stringify(outputs);
  if (hide.text(text) === text) return outputs;
  throw ApplicationFailure.nonRetryable(
    `${context.path} gave a secret among its outputs, where it would be recorded.`,
    'SecretLeak',
  );
}

/** Records the outputs as the result of the fingerprint. Where another writer was first, its result is the answer. */
export async function keepResult(
  { store }: ActivityDeps,
  request: StepRequest,
  fingerprint: string,
  outputs: { readonly [name: string]: Json },
  startedAt?: string,
): Promise<RecordedStepResult> {
  const { kind, version, run, path, environment, fresh } = request;
  const content = { kind, version, outputs, run, path, at: now(), startedAt, environment };
  const kept = await createStepResult(store, fingerprint, content);
  // What a fork made anew serves other runs too, where they have no result of that work.
  if (fresh !== undefined) {
    const { fresh: _, ...shared } = request;
    await createStepResult(store, fingerprintOfStep(shared), { ...content, outputs: kept.outputs });
  }
  return kept;
}

/** A result of this very step, found again after its worker was lost, is not a reused one. */
export function endOf(
  { run, path }: StepRequest,
  found: RecordedStepResult,
): { result: StepResult; record: Partial<StepRecord> } {
  const { outputs } = found;
  const reused = found.run !== run || found.path !== path;
  return {
    result: { outputs, reused },
    record: { state: 'done', endedAt: now(), outputs, reused, waitingFor: undefined },
  };
}

/** As `endOf`, of a result that was there before the step began. */
export function endOfFound(request: StepRequest, result: RecordedStepResult): ReturnType<typeof endOf> {
  const end = endOf(request, result);
  if (end.result.reused) return end;
  const { startedAt, at } = result;
  const found = startedAt === undefined ? {} : { madeInMs: Date.parse(at) - Date.parse(startedAt) };
  return { ...end, record: { ...end.record, found } };
}

/** The result of the same work, where there is one. Else the record says that the step runs. */
export async function reuseStep(deps: ActivityDeps, request: StepRequest): Promise<StepResult | null> {
  const fingerprint = fingerprintOfStep(request);
  const found = await readStepResult(deps.store, fingerprint);
  const record = await newRecord(deps, request, fingerprint);
  if (found === null) {
    await writeStepRecord(deps.store, request.run, record, { again: true });
    return null;
  }
  const end = endOfFound(request, found);
  await writeStepRecord(deps.store, request.run, { ...record, ...end.record }, { again: true });
  return end.result;
}

/** Records the result of a step that is more than one activity, under the fingerprint of the whole. */
export async function finishStep(
  deps: ActivityDeps,
  { step, result }: { readonly step: StepRequest; readonly result: StepResult },
): Promise<StepResult> {
  const fingerprint = fingerprintOfStep(step);
  const kept = await keepResult(deps, step, fingerprint, result.outputs);
  const record = await newRecord(deps, step, fingerprint);
  const { outputs } = kept;
  const end = { state: 'done', endedAt: now(), outputs, reused: result.reused } as const;
  await writeStepRecord(deps.store, step.run, { ...record, ...end });
  return { outputs, reused: result.reused };
}

export async function newRecord(
  { store }: ActivityDeps,
  request: StepRequest,
  fingerprint: string,
): Promise<StepRecord> {
  const before = await readStepRecord(store, request.run, request.path);
  const unfinished = before !== null && before.state !== 'done' && before.state !== 'skipped';
  return {
    path: request.path,
    kind: request.kind,
    state: 'running',
    reused: false,
    startedAt: (unfinished ? before.startedAt : undefined) ?? now(),
    with: request.with,
    secrets: request.secrets,
    fingerprint,
    fresh: request.fresh,
  };
}
