/** Makes a dataset of synthetic scenes whose truth is known, with label errors planted in every split. */

import { ApplicationFailure } from '@temporalio/common';
import { saveDataset, saveJson, saveLabels } from '../artifacts/codecs.ts';
import type { Planted } from '../artifacts/types.ts';
import { assignSplits } from '../detection/formats/splits.ts';
import { generateScene, plantErrors, RARE_KIND, type Scene, sceneCategories } from '../detection/scenes.ts';
import type { Annotation, Category, Dataset, ImageEntry, Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';
import { encodePng } from './image-files.ts';

export interface SynthesizeParameters {
  readonly images: number;
  /** Pixels of a side. */
  readonly imageSize: number;
  readonly categories: number;
  /** Mean number of targets an image. */
  readonly targets: number;
  /** Side of the median target as a share of the image. */
  readonly targetSize: number;
  /** Share of the targets that are of the rare kind. */
  readonly tail?: number;
  /** Shares of the true boxes. */
  readonly errors: {
    readonly missing: number;
    readonly spurious: number;
    readonly shifted: number;
    readonly wrongClass: number;
  };
  readonly split: { readonly [name in Split]?: number };
}

export type SynthesizeOutputs = {
  readonly dataset: ArtifactRef;
  readonly truth: ArtifactRef;
  readonly planted: ArtifactRef;
};

/** An image whose split is not drawn yet, and its true boxes. */
interface StoredScene {
  readonly image: Omit<ImageEntry, 'split'>;
  readonly truth: readonly Annotation[];
  /** Feature of each true box. */
  readonly kinds: readonly number[];
}

export const synthesize: StepImplementation<SynthesizeParameters, SynthesizeOutputs> = async (
  context: StepContext,
  parameters: SynthesizeParameters,
) => {
  const { store, seed } = context;
  const categories = orBadData(context, () => sceneCategories(parameters.categories));
  const options = { ...parameters, tailShare: parameters.tail };
  const scenes: StoredScene[] = [];
  for (let index = 0; index < parameters.images; index++) {
    context.signal.throwIfAborted();
    scenes.push(await storeScene(context, generateScene(options, seed, index), index));
    context.progress(`scene ${index + 1} of ${parameters.images}`, (index + 1) / parameters.images);
  }

  // Crops of one photo overlap: were they in two splits, the test would know what training saw.
  const splits = orBadData(context, () =>
    assignSplits(
      scenes.map(({ image }) => image),
      parameters.split,
      seed,
    ),
  );
  const images: ImageEntry[] = scenes.map(({ image }) => ({ ...image, split: splits.get(image.id)! }));
  const truth = scenes.flatMap((scene) => scene.truth);
  const planted = orBadData(context, () => plantErrors(truth, images, categories, parameters.errors, seed));

  return {
    dataset: await saveDataset(store, labelled(categories, images, planted.annotations)),
    truth: await saveLabels(store, { parent: null, author: 'truth', note: 'what the scenes show', annotations: truth }),
    planted: await saveJson(store, 'planted', { errors: planted.errors, ...featuresOf(scenes) }),
  };
};

async function storeScene({ store }: StepContext, scene: Scene, index: number): Promise<StoredScene> {
  const { width, height, group, targets } = scene;
  const id = index + 1;
  const digest = await store.putObject(await encodePng(scene));
  return {
    image: { id, fileName: `images/${String(id).padStart(5, '0')}.png`, width, height, digest, group },
    kinds: targets.map(({ kind }) => kind),
    truth: targets.map(({ categoryId, box }, i) => ({ id: `${id}-${i + 1}`, imageId: id, categoryId, box })),
  };
}

/** Which feature each true box has, and how often each occurs. */
function featuresOf(scenes: readonly StoredScene[]): Pick<Planted, 'features' | 'rareFeature' | 'featureOf'> {
  const features = new Array<number>(RARE_KIND + 1).fill(0);
  const featureOf: { [truthId: string]: number } = {};
  for (const { truth, kinds } of scenes) {
    for (const [i, { id }] of truth.entries()) {
      features[kinds[i]!]!++;
      featureOf[id] = kinds[i]!;
    }
  }
  return { features, rareFeature: RARE_KIND, featureOf };
}

function labelled(
  categories: readonly Category[],
  images: readonly ImageEntry[],
  annotations: readonly Annotation[],
): Dataset {
  const note = 'scenes with planted label errors';
  return { categories, images, labels: { parent: null, author: 'synthesize', note, annotations } };
}

/** What no retry can mend: shares that sum to more than 1, more splits than photos. */
function orBadData<T>(context: StepContext, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw ApplicationFailure.nonRetryable(`${context.path}: ${error.message}`, 'BadData');
  }
}
