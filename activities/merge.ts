/** Says how the predictions of several models become one; the merging itself happens where they are evaluated. */

import { ApplicationFailure } from '@temporalio/common';
import { saveJson } from '../artifacts/codecs.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';

export interface MergeParameters {
  readonly models: readonly ArtifactRef[];
  readonly method: 'nms';
  /** Two boxes of one category that overlap by more are one target. */
  readonly iou: number;
}

export type MergeOutputs = {
  readonly models: readonly ArtifactRef[];
  /** Models 1..2, 1..3, ... 1..n; none where there is one model. */
  readonly prefixes: readonly ArtifactRef[];
  readonly ensemble: ArtifactRef;
};

export const merge: StepImplementation<MergeParameters, MergeOutputs> = async (
  context: StepContext,
  { models, method, iou }: MergeParameters,
) => {
  if (models.length === 0) {
    throw ApplicationFailure.nonRetryable(
      `${context.path} has no models to merge; give "models" at least one.`,
      'BadData',
    );
  }
  const save = (count: number): Promise<ArtifactRef> =>
    saveJson(context.store, 'ensemble', { models: models.slice(0, count), method, iou });
  const prefixes: ArtifactRef[] = [];
  for (let count = 2; count <= models.length; count++) prefixes.push(await save(count));
  return { models, prefixes, ensemble: prefixes.at(-1) ?? (await save(1)) };
};
