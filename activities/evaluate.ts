/** `evaluate`: AP of models, merges and controls on splits and label versions, with paired bootstrap intervals. */

import { ApplicationFailure } from '@temporalio/common';
import { type LoadedDataset, loadDataset, loadJson, loadLabels, saveJson } from '../artifacts/codecs.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import type { Ensemble, Metrics } from '../artifacts/types.ts';
import { type ApMatches, matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import { mergeByNms } from '../detection/merge.ts';
import { withoutQuarantine } from '../detection/quarantine.ts';
import type { Dataset, Detections, Labels, Split } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type EvaluateParameters = {
  readonly models: readonly ArtifactRef[];
  readonly merged?: readonly ArtifactRef[];
  readonly baseline?: ArtifactRef;
  readonly control?: readonly ArtifactRef[];
  readonly dataset: ArtifactRef;
  readonly truth?: ArtifactRef;
  /** Later label versions of the same images, oldest first. */
  readonly versions?: readonly ArtifactRef[];
  readonly splits?: readonly Split[];
  readonly replicates?: number;
};

export type EvaluateOutputs = { readonly metrics: ArtifactRef; readonly AP: number; readonly AP50: number };

/** A line of the table: one model, or several whose predictions are merged. */
interface Row {
  readonly name: string;
  readonly role: Metrics['rows'][number]['role'];
  readonly models: readonly ArtifactRef[];
  /** IoU of the merge; absent with one model. */
  readonly iou?: number;
}

interface LabelVersion {
  readonly name: string;
  readonly digest: string;
  readonly labels: Labels;
}

export const evaluate = inTfProcess<EvaluateParameters, EvaluateOutputs>('evaluate', async (context, parameters) => {
  const { splits = ['val', 'test'], replicates = 1000 } = parameters;
  const dataset = await loadDataset(context.store, parameters.dataset);
  const rows = await rowsOf(context, parameters);
  const versions = await labelVersionsOf(context, parameters);
  // The truth is not a version that anyone made, so what the run claims is measured at the last one that is.
  const final = versions.filter(({ name }) => name !== 'truth').at(-1)!;
  const pairs = comparedPairs(rows);
  const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));

  const cells: Metrics['rows'][number]['cells'][number][][] = rows.map(() => []);
  let comparisons: Metrics['comparisons'] = [];
  const measured = new Map<Split, number[]>();
  for (const split of splits) {
    const imageIds = imagesOfSplits(dataset, [split]);
    if (imageIds.length === 0) {
      await context.notice(`${context.path}: the split ${split} has no images, so the table has no column for it.`);
      continue;
    }
    measured.set(split, imageIds);
  }
  const lastSplit = [...measured.keys()].at(-1);
  if (lastSplit === undefined) {
    throw ApplicationFailure.nonRetryable(
      `None of the splits ${splits.join(', ')} has any image to evaluate on.`,
      'EmptySplit',
    );
  }

  let done = 0;
  for (const [split, imageIds] of measured) {
    const detections = await detectionsOfRows(context, rows, dataset, imageIds);
    for (const version of versions) {
      context.signal.throwIfAborted();
      const groundTruth = groundTruthOf(dataset, imageIds, version.labels);
      // Quarantined boxes stand in the train split alone, and never make a measurement easier. Elsewhere an ignore region
      // is a reviewer's word that nobody can tell what is there.
      const applyIgnore = split !== 'train';
      const matches: ApMatches[] = detections.map((found) => matchForAp(groundTruth, found, { applyIgnore }));
      const compared = split === lastSplit && version === final;
      const result = bootstrapAp(matches, compared ? pairs : [], groupOf, {
        // The same images are drawn at every label version, so that the columns can be compared too.
        seed: `${context.seed} ${split}`,
        replicates,
      });
      for (const [i, intervals] of result.models.entries()) {
        cells[i]!.push({ split, labels: version.name, AP: intervals.AP!, AP50: intervals.AP50! });
      }
      if (compared) {
        comparisons = result.differences.map((intervals, k) => ({
          name: rows[pairs[k]![0]]!.name,
          against: rows[pairs[k]![1]]!.name,
          split,
          labels: version.name,
          AP: intervals.AP!,
          AP50: intervals.AP50!,
        }));
      }
      done++;
      context.progress(`measured ${split} at ${version.name}`, done / (measured.size * versions.length));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  const metrics: Metrics = {
    rows: rows.map(({ name, role, models }, i) => ({ name, role, models, cells: cells[i]! })),
    comparisons,
    labelVersions: versions.map(({ name, digest, labels }) => ({
      name,
      digest,
      annotations: labels.annotations.length,
    })),
    images: [...measured].map(([split, imageIds]) => ({
      split,
      images: imageIds.length,
      groups: new Set(imageIds.map((id) => groupOf.get(id))).size,
      boxes: groundTruthOf(dataset, imageIds, final.labels).annotations.filter((one) => !one.crowd && !one.ignore)
        .length,
    })),
    replicates,
  };
  const claimed = cells[claimedRow(rows)]!.find((cell) => cell.split === lastSplit && cell.labels === final.name)!;
  return {
    metrics: await saveJson(context.store, 'metrics', metrics),
    AP: claimed.AP.value,
    AP50: claimed.AP50.value,
  };
});

async function rowsOf(context: StepContext, parameters: EvaluateParameters): Promise<Row[]> {
  const rows: Row[] = [];
  if (parameters.baseline) rows.push({ name: 'baseline', role: 'baseline', models: [parameters.baseline] });
  for (const [i, model] of parameters.models.entries()) {
    rows.push({ name: `model ${i + 1}`, role: 'model', models: [model] });
  }
  const ensembles = async (refs: readonly ArtifactRef[], label: string, role: Row['role']): Promise<void> => {
    for (const ref of refs) {
      const { models, iou }: Ensemble = await loadJson(context.store, 'ensemble', ref);
      // Members are models 1..n; the name says which.
      const name = `${label} ${models.map((_, i) => i + 1).join('+')}`;
      rows.push({ name, role, models, iou });
    }
  };
  await ensembles(parameters.merged ?? [], 'models', 'merged');
  await ensembles(parameters.control ?? [], 'control', 'control');
  if (rows.length === 0) throw ApplicationFailure.nonRetryable('There is no model to evaluate.', 'NoModels');
  return rows;
}

/** The dataset's own labels, later versions that changed something, and the truth where it is known. */
async function labelVersionsOf(context: StepContext, parameters: EvaluateParameters): Promise<LabelVersion[]> {
  const { store } = context;
  const own = await loadDataset(store, parameters.dataset);
  const given = [own, ...(await Promise.all((parameters.versions ?? []).map((ref) => loadDataset(store, ref))))];
  const keyOf = given.some(hasQuarantine) ? contentOf : ({ manifest }: LoadedDataset) => manifest.labels;
  const distinct = new Map<string, LoadedDataset>();
  for (const version of given) {
    const key = keyOf(version);
    // Set again, a version that came back after others becomes the newest one; the original stays first.
    if (key === keyOf(own) && distinct.size > 0) continue;
    distinct.delete(key);
    distinct.set(key, version);
  }
  const versions = [...distinct.values()].map(({ manifest, labels }, i): LabelVersion => {
    const name = i === 0 ? 'original' : i === distinct.size - 1 ? 'final' : `version ${i + 1}`;
    return { name, digest: manifest.labels, labels };
  });
  if (parameters.truth) {
    versions.push({
      name: 'truth',
      digest: parameters.truth.digest,
      labels: await loadLabels(store, parameters.truth),
    });
  }
  return versions;
}

const hasQuarantine = ({ labels }: LoadedDataset): boolean =>
  labels.annotations.some(({ quarantine }) => quarantine !== undefined);

/** Labels that differ only in what is held in quarantine are one version: a measurement asks for held boxes all the same. */
function contentOf({ labels }: LoadedDataset): string {
  return sha256Hex(canonicalJson(labels.annotations.map(withoutQuarantine)));
}

/** What the report speaks of first comes first: the merge against the control, then against model 1, then each step. */
function comparedPairs(rows: readonly Row[]): (readonly [number, number])[] {
  const indices = (role: Row['role']): number[] => rows.flatMap((row, i) => (row.role === role ? [i] : []));
  const models = indices('model');
  const merged = indices('merged').at(-1);
  const control = indices('control').at(-1);
  const baseline = indices('baseline').at(-1);
  const claimed = claimedRow(rows);
  const pairs: (readonly [number, number])[] = [];
  if (control !== undefined && claimed !== control) pairs.push([claimed, control]);
  if (merged !== undefined && models.length > 0) pairs.push([merged, models[0]!]);
  for (let k = 1; k < models.length; k++) pairs.push([models[k]!, models[k - 1]!]);
  if (baseline !== undefined && models.length > 0) pairs.push([models[0]!, baseline]);
  return pairs;
}

/** The last merged entry, or else the last model. */
function claimedRow(rows: readonly Row[]): number {
  for (const role of ['merged', 'model'] as const) {
    const last = rows.findLastIndex((row) => row.role === role);
    if (last >= 0) return last;
  }
  return rows.length - 1;
}

async function detectionsOfRows(
  context: StepContext,
  rows: readonly Row[],
  dataset: Dataset,
  imageIds: readonly number[],
): Promise<Detections[]> {
  const byModel = new Map<string, Detections>();
  const found: Detections[] = [];
  for (const row of rows) {
    const members: Detections[] = [];
    for (const model of row.models) {
      const known = byModel.get(model.digest) ?? (await detectionsOf(context, model, dataset, imageIds));
      byModel.set(model.digest, known);
      members.push(known);
    }
    found.push(row.iou === undefined ? members[0]! : mergeByNms(members, { iouThreshold: row.iou }));
  }
  return found;
}
