/** Kinds of ordinary images, from which a training draws what it replays. */

import { ApplicationFailure } from '@temporalio/common';
import type { Model } from '../artifacts/types.ts';
import type { PreparedImage } from '../detection/model/types.ts';
import { strataByDifficulty, strataByTargets } from '../detection/strata.ts';
import type { Dataset } from '../detection/types.ts';

export type Stratify = 'none' | 'targets' | 'difficulty';

/** Image id -> stratum; absent where images are drawn from all at once. */
export async function replayStrata(
  stratify: Stratify | undefined,
  imageIds: readonly number[],
  dataset: Dataset,
  images: ReadonlyMap<number, PreparedImage>,
  init: Model | null,
): Promise<ReadonlyMap<number, string> | undefined> {
  const ids = [...new Set(imageIds)].sort((a, b) => a - b);
  if (stratify === 'targets') return strataByTargets(ids, dataset.labels.annotations);
  if (stratify === 'difficulty') return strataByDifficulty(ids, await meanLosses(ids, dataset, images, init));
  return undefined;
}

/** Mean loss of an image's targets under the model that the training starts from. */
async function meanLosses(
  imageIds: readonly number[],
  dataset: Dataset,
  images: ReadonlyMap<number, PreparedImage>,
  init: Model | null,
): Promise<Map<number, number>> {
  if (init?.architecture.categories.length !== dataset.categories.length) {
    throw ApplicationFailure.nonRetryable(
      init === null
        ? '`stratify: difficulty` goes by the loss under `init`, but this step has none. Use `stratify: targets`.'
        : `\`stratify: difficulty\` goes by the loss under \`init\`, which knows ${init.architecture.categories.length} ` +
            `categories, but the dataset has ${dataset.categories.length}. Use \`stratify: targets\`.`,
      'NoDifficulty',
    );
  }
  const { lossPerGroundTruth } = await import('../detection/model/loss-profile.ts');
  const prepared = imageIds.map((id) => images.get(id)!);
  const sums = new Map<number, { total: number; count: number }>();
  for (const { imageId, total } of lossPerGroundTruth(init.architecture, init.weights, prepared)) {
    const sum = sums.get(imageId) ?? { total: 0, count: 0 };
    sums.set(imageId, { total: sum.total + total, count: sum.count + 1 });
  }
  return new Map([...sums].map(([id, { total, count }]) => [id, total / count]));
}
