/** The images of a training: which ones, decoded, and the anchors that suit their boxes. */

import { ApplicationFailure } from '@temporalio/common';
import { loadJson } from '../artifacts/codecs.ts';
import type { Selection } from '../artifacts/types.ts';
import { foldOf } from '../detection/folds.ts';
import type { PreparedImage, SampleItem } from '../detection/model/types.ts';
import type { Architecture, Dataset } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext } from './context.ts';
import { imagePoolOf } from './detections.ts';
import { entriesOf, imagesOfSplits } from './ground-truth.ts';
import type { TrainParameters } from './training-parameters.ts';

const replayShareDefault = 0.3;

/** Of a net that is trained from scratch. */
export const shapeDefaults = { depth: 0.33, strides: [8, 16, 32], activation: 'leaky' } as const;

export interface SelectedImages {
  readonly select: readonly SampleItem[];
  readonly replay?: { readonly from: readonly SampleItem[]; readonly share: number };
  /** Weight of a ground truth's loss, by annotation id; others weigh 1. */
  readonly weights?: Readonly<Record<string, number>>;
}

/** Ids of all images that are to be seen, whole or in part. */
export function imagesOf({ select, replay }: SelectedImages): number[] {
  return [...new Set([...select, ...(replay?.from ?? [])].map(({ image }) => image))];
}

function itemsOf({ images, crops }: Pick<Selection, 'images' | 'crops'>): readonly SampleItem[] {
  return crops ?? images.map((image) => ({ image }));
}

export async function selectedImages(
  context: StepContext,
  dataset: Dataset,
  parameters: TrainParameters,
): Promise<SelectedImages> {
  const { store } = context;
  const trainSplit = imagesOfSplits(dataset, ['train']);
  const known = new Set(trainSplit);
  const read = async (ref: ArtifactRef, name: string): Promise<Selection> => {
    const selection = await loadJson(store, 'selection', ref);
    const { images } = selection;
    const foreign = images.filter((id) => !known.has(id));
    if (foreign.length > 0) {
      throw ApplicationFailure.nonRetryable(
        `${foreign.length} of the ${images.length} images in \`${name}\` are not in the train split of the dataset ` +
          `(the first is image ${foreign[0]}). Training on validation or test images would make their figures worthless.`,
        'ForeignImages',
      );
    }
    return selection;
  };
  const { fold } = parameters;
  if (fold !== undefined && fold.without > fold.of) {
    throw ApplicationFailure.nonRetryable(
      `\`fold\` leaves out fold ${fold.without} of ${fold.of}; expected a number from 1 to ${fold.of}.`,
      'BadData',
    );
  }
  const entries = new Map(dataset.images.map((image) => [image.id, image]));
  const outsideFold = (items: readonly SampleItem[]): readonly SampleItem[] =>
    fold === undefined ? items : items.filter(({ image }) => foldOf(entries.get(image)!, fold.of) !== fold.without);
  const chosen: Selection = parameters.select ? await read(parameters.select, 'select') : { images: trainSplit };
  const select = outsideFold(itemsOf(chosen));
  if (select.length === 0) {
    throw ApplicationFailure.nonRetryable(
      parameters.select
        ? 'The selection to train on is empty. A loop over hard cases ends before that; end it, or select other images.'
        : 'The dataset has no images in its train split, expected at least one.',
      'EmptySelection',
    );
  }
  const { weights } = chosen;
  if (!parameters.replay) return { select, weights };
  const from = outsideFold(itemsOf(await read(parameters.replay.from, 'replay.from')));
  return { select, weights, replay: { from, share: parameters.replay.share ?? replayShareDefault } };
}

export interface PreparedSets {
  readonly train: ReadonlyMap<number, PreparedImage>;
  readonly val: readonly PreparedImage[];
}

export async function prepareAll(
  context: StepContext,
  dataset: Dataset,
  selected: SelectedImages,
  inputSize: number,
): Promise<PreparedSets> {
  const pool = imagePoolOf(context, inputSize);
  const prepare = (ids: readonly number[]): Promise<PreparedImage[]> =>
    pool.prepare(entriesOf(dataset, ids), dataset.labels.annotations, dataset.categories, selected.weights);
  context.progress('decoding images', 0);
  const trained = await prepare(imagesOf(selected));
  const val = await prepare(imagesOfSplits(dataset, ['val']));
  return { train: new Map(trained.map((image) => [image.imageId, image])), val };
}

export async function freshArchitecture(
  dataset: Dataset,
  parameters: TrainParameters,
  { imageSize, width }: { readonly imageSize: number; readonly width: number },
  images: readonly PreparedImage[],
  seed: number,
): Promise<Architecture> {
  const { anchorsForBoxes } = await import('../detection/model/anchors.ts');
  const { PUBLISHED } = await import('../detection/model/darknet-networks.ts');
  const published = parameters.structure && PUBLISHED[parameters.structure];
  const strides = published?.strides ?? parameters.strides ?? [8, 16, 32];
  const sizes: number[] = [];
  for (const { boxes } of images) {
    for (let i = 0; i < boxes.length; i += 4) {
      sizes.push(boxes[i + 2]! - boxes[i]!, boxes[i + 3]! - boxes[i + 1]!);
    }
  }
  return {
    ...(parameters.structure ? { structure: parameters.structure } : {}),
    depth: published ? 1 : (parameters.depth ?? shapeDefaults.depth),
    width,
    strides,
    anchors: anchorsForBoxes(sizes, { strides, perHead: parameters.anchors, seed }),
    activation: published?.activation ?? parameters.activation ?? shapeDefaults.activation,
    imageSize,
    categories: dataset.categories,
  };
}
