/** Results of steps by fingerprint, shared by all runs: the first writer of a result wins. */

import { canonicalJson } from '../plan/canonical.ts';
import { type ArtifactRef, isArtifactRef, type Json, type RunEnvironment } from '../plan/types.ts';
import { DamagedObjectError, type Store } from './store.ts';
import type { DatasetManifest, Ensemble, ReportPages } from './types.ts';

/** What a step made, and where that happened. */
export interface StepResultContent {
  readonly kind: string;
  readonly version: number;
  readonly outputs: { readonly [name: string]: Json };
  readonly run: string;
  readonly path: string;
  /** When it was recorded, ISO 8601. */
  readonly at: string;
  readonly startedAt?: string;
  readonly seed?: number;
  readonly environment?: RunEnvironment;
}

export interface RecordedStepResult extends StepResultContent {
  readonly fingerprint: string;
  /** Counts from 1; rises each time a result was forgotten and made again. */
  readonly generation: number;
}

/**
 * The result that counts, or null. One whose objects are missing, or whose list of parts is damaged, is forgotten and
 * counts as absent. The bytes of images and weights are not read here: who finds them damaged later calls
 * `forgetStepResult`.
 */
export async function readStepResult(store: Store, fingerprint: string): Promise<RecordedStepResult | null> {
  const newest = await newestGeneration(store, fingerprint);
  if (newest.generation === 0 || newest.forgotten) return null;
  const bytes = await store.readRecord(resultKey(fingerprint, newest.generation));
  if (bytes === null) return null;
  const result = decode(fingerprint, newest.generation, bytes);
  if (await isComplete(store, result.outputs)) return result;
  await forgetStepResult(store, fingerprint, result.generation);
  return null;
}

/** As `readStepResult`, but looks at no object and forgets nothing: what is recorded, whole or not. */
export async function peekStepResult(store: Store, fingerprint: string): Promise<RecordedStepResult | null> {
  const { generation, forgotten } = await newestGeneration(store, fingerprint);
  if (generation === 0 || forgotten) return null;
  const bytes = await store.readRecord(resultKey(fingerprint, generation));
  return bytes === null ? null : decode(fingerprint, generation, bytes);
}

/** Records the result, unless another writer was first: then that writer's result is the answer. */
export async function createStepResult(
  store: Store,
  fingerprint: string,
  content: StepResultContent,
): Promise<RecordedStepResult> {
  const bytes = Buffer.from(canonicalJson(content));
  for (;;) {
    const newest = await newestGeneration(store, fingerprint);
    const generation = newest.forgotten || newest.generation === 0 ? newest.generation + 1 : newest.generation;
    const first = await store.createRecord(resultKey(fingerprint, generation), bytes);
    if (first === null) return decode(fingerprint, generation, bytes);
    const winner = decode(fingerprint, generation, first);
    if (await isComplete(store, winner.outputs)) return winner;
    // Objects were removed after the winner recorded them. Ours are there, so the next generation is ours to write.
    await forgetStepResult(store, fingerprint, generation);
  }
}

/**
 * From now on the result counts as absent, and the next one recorded replaces it. Records are never deleted, because
 * a late reader must not mistake an old result for a new one: a mark beside the result says that it no longer counts.
 * Name the generation that was found damaged, so that its successor, made meanwhile, stays.
 */
export async function forgetStepResult(store: Store, fingerprint: string, generation?: number): Promise<void> {
  const forgotten = generation ?? (await newestGeneration(store, fingerprint)).generation;
  if (forgotten > 0) await store.createRecord(`results/${fingerprint}/${forgotten}.forgotten`, Buffer.from('{}'));
}

/** Every reference among the outputs, lists included. */
export function artifactRefsIn(value: Json): ArtifactRef[] {
  if (isArtifactRef(value)) return [value];
  if (Array.isArray(value)) return value.flatMap(artifactRefsIn);
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(artifactRefsIn);
  return [];
}

function resultKey(fingerprint: string, generation: number): string {
  return `results/${fingerprint}/${generation}.json`;
}

function decode(fingerprint: string, generation: number, bytes: Buffer): RecordedStepResult {
  const content = JSON.parse(bytes.toString()) as StepResultContent;
  return { ...content, fingerprint, generation };
}

async function newestGeneration(
  store: Store,
  fingerprint: string,
): Promise<{ generation: number; forgotten: boolean }> {
  const names = await store.listNames(`results/${fingerprint}/`);
  const generation = Math.max(
    0,
    ...names.filter((name) => name.endsWith('.json')).map((name) => Number.parseInt(name, 10)),
  );
  return { generation, forgotten: names.includes(`${generation}.forgotten`) };
}

async function isComplete(store: Store, outputs: { readonly [name: string]: Json }): Promise<boolean> {
  for (const ref of artifactRefsIn(outputs)) {
    if (!(await isWhole(store, ref))) return false;
  }
  return true;
}

/** Whether the object and the objects it names are there. Single images and the files of a tree are not looked at. */
async function isWhole(store: Store, ref: ArtifactRef): Promise<boolean> {
  if (ref.artifact !== 'dataset' && ref.artifact !== 'ensemble' && ref.artifact !== 'report') {
    return store.hasObject(ref.digest);
  }
  let bytes: Buffer | null;
  try {
    bytes = await store.getObject(ref.digest);
  } catch (error) {
    if (!(error instanceof DamagedObjectError)) throw error;
    // Taken away, because a store does not write an object anew while one of that digest is there.
    await store.removeObject(ref.digest);
    return false;
  }
  if (bytes === null) return false;
  for (const digest of partsOf(ref, JSON.parse(bytes.toString()))) {
    if (!(await store.hasObject(digest))) return false;
  }
  return true;
}

function partsOf(ref: ArtifactRef, content: unknown): string[] {
  if (ref.artifact === 'dataset') {
    const { images, labels } = content as DatasetManifest;
    return [images, labels];
  }
  if (ref.artifact === 'report') {
    const { html, markdown } = content as ReportPages;
    return [html, markdown];
  }
  return (content as Ensemble).models.map((model) => model.digest);
}
