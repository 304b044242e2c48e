/** What to run again when an object of the store is damaged or missing: the steps of the run that made it. */

import { ApplicationFailure } from '@temporalio/activity';
import { readStepRecords } from '../artifacts/run-record.ts';
import { artifactRefsIn, forgetStepResult } from '../artifacts/step-results.ts';
import { DamagedObjectError, type Store } from '../artifacts/store.ts';
import type { ArtifactRef, Json, RetryPolicy, StepRecord, StepRequest } from '../plan/types.ts';
import { rowOf } from './step-identity.ts';

/** A step whose result must be made anew. */
export interface Remake {
  readonly activity: string;
  readonly request: Json;
  readonly queue: string;
  readonly timeoutMs: number;
  readonly heartbeatMs: number;
  readonly retry: RetryPolicy;
}

/** Type of the failure of an activity that read a damaged object; its first detail is the list of remakes. */
export const damagedFailure = 'DamagedArtifact';

export interface Damage {
  readonly digest: string;
  readonly message: string;
}

/** The damaged or missing object that an error is about, or null. */
export function damageIn(error: unknown): Damage | null {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ((one.name === 'DamagedObjectError' || one.name === 'MissingArtifactError') && 'digest' in one) {
      return { digest: String(one.digest), message: one.message };
    }
  }
  return null;
}

/**
 * Takes the object away, forgets the results that hold it, and answers the failure that asks the workflow to run their
 * steps again. Where no step of the run made the object, the failure says so to people.
 */
export async function remakesFor(store: Store, request: StepRequest, { digest, message }: Damage): Promise<Error> {
  // A store does not write an object anew while one of that digest is there.
  if (await isDamaged(store, digest)) await store.removeObject(digest);
  const records = await readStepRecords(store, request.run);
  const remakes: Remake[] = [];
  for (const record of await makersOf(store, records, request, digest)) {
    const remake = remakeOf(request, record);
    if (remake === null || record.fingerprint === undefined) continue;
    await forgetStepResult(store, record.fingerprint);
    remakes.push(remake);
  }
  if (remakes.length > 0) return ApplicationFailure.nonRetryable(message, damagedFailure, remakes);
  return ApplicationFailure.nonRetryable(
    `${message} It is part of the inputs of ${request.path}, and no step of this run can make it again: put it back (import the data again, under another run id), then "hardcase retry ${request.run} ${request.path}".`,
    'DamagedInput',
  );
}

async function isDamaged(store: Store, digest: string): Promise<boolean> {
  try {
    await store.getObject(digest);
    return false;
  } catch (error) {
    if (error instanceof DamagedObjectError) return true;
    throw error;
  }
}

/** Of each input that holds the object, the step that made it first: others only pass the reference on. */
async function makersOf(
  store: Store,
  records: readonly StepRecord[],
  request: StepRequest,
  digest: string,
): Promise<readonly StepRecord[]> {
  const makers = new Map<string, StepRecord>();
  for (const input of artifactRefsIn(request.with)) {
    if (!(await holds(store, input, digest))) continue;
    const maker = records.find(({ kind, outputs }) => {
      if (['repeat', 'matrix', 'forEach', 'pipeline', 'search-capacity'].includes(kind) || outputs === undefined)
        return false;
      return artifactRefsIn(outputs).some((ref) => ref.digest === input.digest);
    });
    if (maker !== undefined && maker.path !== request.path) makers.set(maker.path, maker);
  }
  return [...makers.values()];
}

/** Whether the input is the object or names it: a dataset its image table and labels, the table its images. */
async function holds(store: Store, input: ArtifactRef, digest: string): Promise<boolean> {
  if (input.digest === digest) return true;
  const text = await readText(store, input.digest);
  if (text?.includes(digest)) return true;
  if (text === null || input.artifact !== 'dataset') return false;
  const { images, labels } = JSON.parse(text) as { images: string; labels: string };
  return ((await readText(store, images)) ?? '').includes(digest) || labels === digest;
}

async function readText(store: Store, digest: string): Promise<string | null> {
  try {
    const bytes = await store.getObject(digest);
    // Weights and detections name no other objects.
    return bytes !== null && (bytes[0] === 0x7b || bytes[0] === 0x5b) ? bytes.toString() : null;
  } catch (error) {
    // Damaged too: found when it is read itself.
    if (error instanceof DamagedObjectError) return null;
    throw error;
  }
}

function remakeOf({ run, seed, environment }: StepRequest, record: StepRecord): Remake | null {
  const row = rowOf(record.kind);
  if (row === undefined || record.with === undefined) return null;
  const { queue, timeoutMs, heartbeatMs, retry, version } = row;
  const request: StepRequest = {
    run,
    path: record.path,
    kind: record.kind,
    version,
    with: record.with,
    secrets: record.secrets,
    seed,
    environment,
    fresh: record.fresh,
  };
  const gate = row.type === 'gate';
  return {
    activity: gate ? 'apply-decisions' : record.kind,
    request: (gate ? { step: request, ended: 'decided' } : request) as unknown as Json,
    queue,
    timeoutMs,
    heartbeatMs,
    retry,
  };
}
