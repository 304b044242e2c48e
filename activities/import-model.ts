/** `import-model`: the weights of another program as a model, to start from or to detect with. */

import { ApplicationFailure } from '@temporalio/common';
import { saveModel } from '../artifacts/codecs.ts';
import { openTree } from '../artifacts/tree.ts';
import { COCO_CATEGORIES } from '../detection/coco-categories.ts';
import type { Architecture, Category } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { inTfProcess } from './tf-process.ts';

export type ImportModelParameters = {
  /** A tree with one `.weights` file. */
  readonly source: ArtifactRef;
  readonly structure: 'yolov4' | 'yolov4-tiny';
  readonly imageSize?: number;
  readonly anchors?: Architecture['anchors'];
  /** Names in the order of the heads. */
  readonly categories?: readonly string[];
};

export type ImportModelOutputs = { readonly model: ArtifactRef };

export const importModel = inTfProcess<ImportModelParameters, ImportModelOutputs>(
  'import-model',
  async (context, parameters) => {
    const { name, bytes } = await weightsFile(context, parameters.source);
    try {
      return await importDarknet(context, parameters, name, bytes);
    } catch (error) {
      // What does not fit will not fit the next time either.
      if (!(error instanceof Error) || error.message.startsWith('Internal error')) throw error;
      throw ApplicationFailure.nonRetryable(`${context.path}: "${name}": ${error.message}`, 'BadData');
    }
  },
);

async function weightsFile(
  context: StepContext,
  source: ArtifactRef,
): Promise<{ readonly name: string; readonly bytes: Uint8Array }> {
  const { tree, read } = await openTree(context.store, source);
  const names = tree.files.map(({ name }) => name).filter((name) => /\.(weights|conv\.\d+)$/.test(name));
  const [name] = names;
  if (name === undefined || names.length > 1) {
    const found = name === undefined ? 'none' : names.join(', ');
    throw ApplicationFailure.nonRetryable(
      `${context.path}: the folder holds ${names.length} weight files (${found}), expected one that ends in .weights (or, for the first layers alone, as in yolov4.conv.137).`,
      'BadData',
    );
  }
  return { name, bytes: await read(name) };
}

async function importDarknet(
  context: StepContext,
  { structure, imageSize, anchors, categories }: ImportModelParameters,
  name: string,
  bytes: Uint8Array,
): Promise<ImportModelOutputs> {
  const { PUBLISHED } = await import('../detection/model/darknet-networks.ts');
  const { darknetCategories, readDarknetWeights } = await import('../detection/model/darknet-weights.ts');
  const { countParameters } = await import('../detection/model/network.ts');
  const published = PUBLISHED[structure];
  const general: Architecture = {
    structure,
    depth: 1,
    width: 1,
    strides: published.strides,
    anchors: anchors ?? published.anchors,
    activation: published.activation,
    imageSize: imageSize ?? published.imageSize,
    categories: COCO_CATEGORIES,
  };
  const inFile = darknetCategories(general, bytes);
  const architecture = { ...general, categories: categoriesFor(categories, inFile) };
  const { weights, fresh } = readDarknetWeights(architecture, bytes, context.seed);
  if (fresh.length > 0) {
    const why =
      inFile === null
        ? 'the file holds the first layers alone'
        : `its heads are for ${inFile} categories, and ${architecture.categories.length} are wanted`;
    await context.notice(
      `${context.path}: ${fresh.length} layers start anew (${fresh[0]} to ${fresh.at(-1)}), because ${why} ("${name}"). Train before you detect.`,
    );
  }
  const model = {
    architecture,
    weights,
    training: {
      steps: 0,
      stepsInAll: 0,
      images: 0,
      seed: context.seed,
      parameters: countParameters(architecture),
    },
  };
  return { model: await saveModel(context.store, model) };
}

/** The names given; else COCO's, where the heads are for as many or there are none; else numbered ones. */
function categoriesFor(names: readonly string[] | undefined, inFile: number | null): readonly Category[] {
  if (names !== undefined) return names.map((name, i) => ({ id: i + 1, name }));
  if (inFile === null || inFile === COCO_CATEGORIES.length) return COCO_CATEGORIES;
  return Array.from({ length: inFile }, (_, i) => ({ id: i + 1, name: `category ${i + 1}` }));
}
