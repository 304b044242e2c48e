/** What `train` needs to record training dynamics: threshold boxes among its labels, and a recorder of its images. */

import { createDynamicsRecorder, type DynamicsRecorder } from '../detection/model/dynamics-recorder.ts';
import { withoutQuarantine } from '../detection/quarantine.ts';
import { thresholdBoxes } from '../detection/threshold-boxes.ts';
import type { Dataset } from '../detection/types.ts';
import type { StepContext } from './context.ts';
import { imagePoolOf } from './detections.ts';
import { entriesOf } from './ground-truth.ts';

/** A type, not an interface, so that it counts as `Json`. */
export type DynamicsParameters = {
  readonly every?: number;
  readonly planted?: number;
};

/** The dataset with threshold boxes in its train split, as ground truths of this training alone. */
export function withThresholdBoxes<D extends Dataset>(
  dataset: D,
  parameters: DynamicsParameters | undefined,
  seed: number,
): D {
  const share = parameters?.planted ?? 0;
  if (share === 0) return dataset;
  const { annotations } = dataset.labels;
  const planted = thresholdBoxes(
    dataset.images.filter(({ split }) => split === 'train'),
    annotations,
    share,
    seed,
  );
  return { ...dataset, labels: { ...dataset.labels, annotations: [...annotations, ...planted] } };
}

/** Boxes in quarantine are recorded too, though training ignores them: else none could ever be seen to converge. */
export async function openRecorder(
  context: StepContext,
  dataset: Dataset,
  imageIds: readonly number[],
  inputSize: number,
  parameters: DynamicsParameters | undefined,
): Promise<DynamicsRecorder | undefined> {
  if (parameters === undefined) return undefined;
  const annotations = dataset.labels.annotations.map(withoutQuarantine);
  const entries = entriesOf(dataset, imageIds);
  const images = await imagePoolOf(context, inputSize).prepare(entries, annotations, dataset.categories);
  return createDynamicsRecorder(images, parameters.every ?? 1);
}

/** How many boxes of these images are held in quarantine. */
export function countQuarantined({ labels }: Dataset, imageIds: readonly number[]): number {
  const ids = new Set(imageIds);
  return labels.annotations.filter(({ imageId, quarantine }) => quarantine !== undefined && ids.has(imageId)).length;
}
