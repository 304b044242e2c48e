/**
 * `capacity-rung`: one size of a capacity search, trained to an epoch of its full schedule, and what it has reached
 * there. It shares its checkpoints with the trial that trains to the end, so that no epoch is trained twice.
 */

import { loadDataset } from '../artifacts/codecs.ts';
import { fingerprintOf } from '../artifacts/fingerprint.ts';
import { decodeCheckpoint } from '../detection/model/checkpoint.ts';
import type { EpochReport } from '../detection/model/types.ts';
import type { Category } from '../detection/types.ts';
import type { Json } from '../plan/types.ts';
import { type CapacityTrialParameters, costOf, requireValidation } from './capacity-trial.ts';
import { openCheckpoints } from './checkpoints.ts';
import type { StepContext } from './context.ts';
import { rowOf } from './step-identity.ts';
import { inTfProcess } from './tf-process.ts';
import { trainModel } from './train.ts';

export type CapacityRungParameters = CapacityTrialParameters & {
  /** Epochs of the full schedule. */
  readonly until: number;
};

export type CapacityRungOutputs = {
  readonly epoch: number;
  readonly AP: number;
  readonly AP50: number;
  readonly trainingLoss: number;
  readonly parameters: number;
  readonly flops: number;
  readonly seconds: number;
};

export const capacityRung = inTfProcess<CapacityRungParameters, CapacityRungOutputs>(
  'capacity-rung',
  async (context, { until, ...trial }) => {
    const dataset = await loadDataset(context.store, trial.dataset);
    requireValidation(dataset);
    const cost = await costOf(shapeOf(trial, dataset.categories));
    const shared = { ...context, fingerprint: fingerprintOfTrial(context, trial) };
    const found = await pastEpochs(shared);
    const past = found?.epochs[until - 1];
    const { epochs, seconds } =
      found !== null && past?.validation !== undefined
        ? { epochs: found.epochs, seconds: (found.seconds * until) / found.epochs.length }
        : // Another search may have gone past this epoch without a look at it: then it is trained apart from that.
          await trainModel(past === undefined ? shared : context, trial, until);
    const { loss, validation } = epochs[until - 1]!;
    return { epoch: until, ...validation!, trainingLoss: loss.total, ...cost, seconds };
  },
);

/** That of the trial that trains to the end: the same inputs and seed, so the same training. */
export function fingerprintOfTrial(
  { seed }: Pick<StepContext, 'seed'>,
  trial: Omit<CapacityRungParameters, 'until'>,
): string {
  const { version } = rowOf('capacity-trial')!;
  return fingerprintOf({ kind: 'capacity-trial', version, with: trial as { [name: string]: Json }, seed });
}

async function pastEpochs({
  store,
  fingerprint,
  environment,
}: StepContext): Promise<{ readonly epochs: readonly EpochReport[]; readonly seconds: number } | null> {
  const { newest } = await openCheckpoints(store, fingerprint, environment);
  return newest === null ? null : { epochs: decodeCheckpoint(newest.bytes).epochs, seconds: newest.seconds };
}

/** As it will be trained, but for the sizes of the anchors, on which its cost does not depend. */
function shapeOf(trial: CapacityTrialParameters, categories: readonly Category[]) {
  const { depth, width, imageSize = 320, strides = [8, 16, 32], anchors = 3, activation = 'leaky' } = trial;
  const sizes = Array.from({ length: anchors }, () => [1, 1] as const);
  return { depth, width, imageSize, strides, anchors: strides.map(() => sizes), activation, categories };
}
