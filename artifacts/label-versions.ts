/**
 * The label versions that a store knows: those of every run's datasets, their ancestors, and those that were merged by hand.
 *
 *     labels/DIGEST.json   KeptVersion: a version that no step made, created once
 */

import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef, StepRecord } from '../plan/types.ts';
import { loadDataset, loadJson } from './codecs.ts';
import { listRuns, readStepRecords } from './run-record.ts';
import type { Store } from './store.ts';
import type { Corrections } from './types.ts';

export interface KeptVersion {
  /** Digest of the `Labels`. */
  readonly labels: string;
  readonly dataset: ArtifactRef;
  readonly by: string;
  readonly at: string;
}

/** One label version, and where it comes from. */
export interface LabelVersion {
  readonly labels: string;
  /** A dataset that has these labels. */
  readonly dataset: ArtifactRef;
  /** The first step that gave it, or null for one that was merged by hand. */
  readonly step: { readonly run: string; readonly path: string } | null;
  readonly at: string;
  /** Where a review made it. */
  readonly corrections?: ArtifactRef;
}

export async function keepVersion(store: Store, version: KeptVersion): Promise<void> {
  await store.createRecord(`labels/${version.labels}.json`, Buffer.from(canonicalJson({ ...version })));
}

/** Oldest first, each once. With a run, only what that run's steps gave. */
export async function listVersions(store: Store, run?: string): Promise<LabelVersion[]> {
  const found = new Map<string, LabelVersion>();
  const runs = run === undefined ? (await listRuns(store)).map(({ header }) => header.run) : [run];
  const steps: { run: string; record: StepRecord }[] = [];
  for (const one of runs) for (const record of await readStepRecords(store, one)) steps.push({ run: one, record });
  // Of two steps that gave the same version the first made it.
  const endOf = ({ record }: (typeof steps)[number]) => record.endedAt ?? record.startedAt ?? '';
  steps.sort((a, b) => (endOf(a) < endOf(b) ? -1 : endOf(a) > endOf(b) ? 1 : 0));
  const labelsOf = new Map<string, string>();
  for (const { run: own, record } of steps) {
    const dataset = refOf(record.outputs?.dataset, 'dataset');
    if (dataset === null) continue;
    const labels = labelsOf.get(dataset.digest) ?? (await loadDataset(store, dataset)).manifest.labels;
    labelsOf.set(dataset.digest, labels);
    if (found.has(labels)) continue;
    const corrections = refOf(record.outputs?.corrections, 'corrections') ?? undefined;
    found.set(labels, {
      labels,
      dataset,
      step: { run: own, path: record.path },
      at: endOf({ run: own, record }),
      corrections,
    });
  }
  if (run === undefined) {
    for (const key of await store.listRecords('labels/')) {
      const kept = JSON.parse((await store.readRecord(key))?.toString() ?? 'null') as KeptVersion | null;
      if (kept !== null && !found.has(kept.labels)) {
        found.set(kept.labels, { labels: kept.labels, dataset: kept.dataset, step: null, at: kept.at });
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

/** The corrections that led to a version; null where no review made it. */
export async function correctionsOf(store: Store, version: LabelVersion): Promise<Corrections | null> {
  if (version.corrections === undefined) return null;
  const corrections = await loadJson(store, 'corrections', version.corrections);
  return corrections.after === version.labels ? corrections : null;
}

function refOf(value: unknown, artifact: string): ArtifactRef | null {
  if (typeof value !== 'object' || value === null) return null;
  return (value as ArtifactRef).artifact === artifact ? (value as ArtifactRef) : null;
}
