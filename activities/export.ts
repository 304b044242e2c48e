/** Files for other tools: a model as a TensorFlow.js graph model, a dataset's labels as COCO JSON. */

import { resolve } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadModel, saveJson } from '../artifacts/codecs.ts';
import type { Store } from '../artifacts/store.ts';
import { FileInTheWayError, writeTree } from '../artifacts/tree.ts';
import { writeDataset } from '../detection/formats/index.ts';
import { exportTfjs } from '../detection/model/export-tfjs.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';

export interface ExportParameters {
  readonly model?: ArtifactRef;
  readonly dataset?: ArtifactRef;
  /** Folder, relative to where the worker runs unless absolute; absent: only into the store. */
  readonly to?: string;
}

export type ExportOutputs = {
  /** A tree. */
  readonly files: ArtifactRef;
};

export const exportFiles: StepImplementation<ExportParameters, ExportOutputs> = async (
  context: StepContext,
  { model, dataset, to }: ExportParameters,
) => {
  if (model === undefined && dataset === undefined) {
    throw ApplicationFailure.nonRetryable(
      `${context.path} has nothing to export; give "model", "dataset" or both.`,
      'BadData',
    );
  }
  const contents: { name: string; content: Uint8Array }[] = [];
  if (model !== undefined) contents.push(...(await modelFiles(context.store, model)));
  if (dataset !== undefined) contents.push(...(await labelFiles(context, dataset)));
  const files: { name: string; digest: string; bytes: number }[] = [];
  for (const { name, content } of contents) {
    files.push({ name, digest: await context.store.putObject(content), bytes: content.byteLength });
  }
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const tree = await saveJson(context.store, 'tree', { files });
  if (to !== undefined) await placeFiles(context.store, tree, to);
  return { files: tree };
};

/**
 * Writes exported files into the folder; a file with other contents is never overwritten. `to` is no part of the
 * fingerprint, so a reused result is placed by this too.
 */
export async function placeFiles(store: Store, tree: ArtifactRef, to: string): Promise<void> {
  try {
    await writeTree(store, tree, resolve(to));
  } catch (error) {
    if (error instanceof FileInTheWayError) throw ApplicationFailure.nonRetryable(error.message, 'BadData');
    throw error;
  }
}

async function modelFiles(store: Store, ref: ArtifactRef) {
  const { architecture, weights } = await loadModel(store, ref);
  const { modelJson, weightsBin } = exportTfjs(architecture, weights);
  return [
    { name: 'model/model.json', content: Buffer.from(modelJson) },
    { name: 'model/weights.bin', content: weightsBin },
  ];
}

async function labelFiles(context: StepContext, ref: ArtifactRef) {
  const { categories, images, labels } = await loadDataset(context.store, ref);
  const { files, coercions } = writeDataset({ categories, images, annotations: labels.annotations }, 'coco');
  if (coercions.length > 0) {
    const first = coercions[0]!;
    await context.notice(
      `${context.path}: COCO cannot say everything: ${coercions.length} ${coercions.length === 1 ? 'label differs' : 'labels differ'} in the export (first: ${first.place}: ${first.what}, ${first.was} became ${first.became}).`,
    );
  }
  return files.map(({ name, text }) => ({ name, content: Buffer.from(text) }));
}
