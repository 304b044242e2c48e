/** Files for other tools: a model for TensorFlow.js, browsers and ONNX runtimes, a dataset's labels as COCO JSON. */

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, loadModel, saveJson } from '../artifacts/codecs.ts';
import type { Store } from '../artifacts/store.ts';
import { FileInTheWayError, writeTree } from '../artifacts/tree.ts';
import type { Tree } from '../artifacts/types.ts';
import { writeDataset } from '../detection/formats/index.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';
import { inTfProcess } from './tf-process.ts';

export interface ExportParameters {
  readonly model?: ArtifactRef;
  readonly dataset?: ArtifactRef;
  /** Of the model. */
  readonly formats?: readonly ModelFormat[];
  /** Folder, relative to where the worker runs unless absolute; absent: only into the store. */
  readonly to?: string;
}

export type ModelFormat = 'tfjs' | 'onnx';

export type ExportOutputs = {
  /** A tree. */
  readonly files: ArtifactRef;
};

type TreeFiles = Tree['files'];

export const exportFiles: StepImplementation<ExportParameters, ExportOutputs> = async (
  context: StepContext,
  { model, dataset, formats = ['tfjs'], to }: ExportParameters,
) => {
  if (model === undefined && dataset === undefined) {
    throw ApplicationFailure.nonRetryable(
      `${context.path} has nothing to export; give "model", "dataset" or both.`,
      'BadData',
    );
  }
  const files: TreeFiles[number][] = [];
  if (model !== undefined) files.push(...(await exportModel(context, { model, formats })).files);
  if (dataset !== undefined) files.push(...(await labelFiles(context, dataset)));
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const tree = await saveJson(context.store, 'tree', { files });
  if (to !== undefined) await orInTheWay(() => writeTree(context.store, tree, resolve(to)));
  return { files: tree };
};

/** One part of an export, because only the model needs TensorFlow. */
export const exportModel = inTfProcess<
  { readonly model: ArtifactRef; readonly formats: readonly ModelFormat[] },
  { readonly files: TreeFiles }
>('export-model', async ({ store }, { model, formats }) => {
  const { architecture, weights } = await loadModel(store, model);
  const files: TreeFiles[number][] = [];
  if (formats.includes('tfjs')) {
    const { exportTfjs } = await import('../detection/model/export-tfjs.ts');
    const { modelJson, weightsBin } = exportTfjs(architecture, weights);
    files.push(
      await put(store, 'model/model.json', Buffer.from(modelJson)),
      await put(store, 'model/weights.bin', weightsBin),
      await put(store, 'model/detect.js', await browserDetector()),
    );
  }
  if (formats.includes('onnx')) {
    const { exportOnnx } = await import('../detection/model/export-onnx.ts');
    files.push(await put(store, 'model/model.onnx', exportOnnx(architecture, weights)));
  }
  return { files };
});

/** detection/browser/ in one file: beside the compiled code; from source, where the build has put it. */
async function browserDetector(): Promise<Buffer> {
  for (const place of ['../detect.js', '../dist/detect.js']) {
    const content = await readFile(new URL(place, import.meta.url)).catch(() => null);
    if (content !== null) return content;
  }
  throw ApplicationFailure.nonRetryable(
    'dist/detect.js is missing. Build it with "node deploy/setup.mjs build".',
    'NotBuilt',
  );
}

async function labelFiles(context: StepContext, ref: ArtifactRef): Promise<TreeFiles> {
  const { categories, images, labels } = await loadDataset(context.store, ref);
  const { files, coercions } = writeDataset({ categories, images, annotations: labels.annotations }, 'coco');
  if (coercions.length > 0) {
    const first = coercions[0]!;
    await context.notice(
      `${context.path}: COCO cannot say everything: ${coercions.length} ${coercions.length === 1 ? 'label differs' : 'labels differ'} in the export (first: ${first.place}: ${first.what}, ${first.was} became ${first.became}).`,
    );
  }
  return Promise.all(files.map(({ name, text }) => put(context.store, name, Buffer.from(text))));
}

async function put(store: Store, name: string, content: Uint8Array): Promise<TreeFiles[number]> {
  return { name, digest: await store.putObject(content), bytes: content.byteLength };
}

/** A file in the way is for people to move; trying again would find it there again. */
async function orInTheWay(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (error instanceof FileInTheWayError) throw ApplicationFailure.nonRetryable(error.message, 'FileInTheWay');
    throw error;
  }
}
