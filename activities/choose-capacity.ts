/** `choose-capacity`: the trial of a capacity search that the pipeline goes on with, and why. */

import { ApplicationFailure } from '@temporalio/common';
import { loadDataset, saveJson } from '../artifacts/codecs.ts';
import type { TrialSize, Trials } from '../artifacts/types.ts';
import { matchForAp } from '../detection/average-precision.ts';
import { bootstrapAp } from '../detection/bootstrap.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { CapacityTrialOutputs, Trial } from './capacity-trial.ts';
import type { StepContext } from './context.ts';
import { detectionsOf } from './detections.ts';
import { groundTruthOf, imagesOfSplits } from './ground-truth.ts';
import { inTfProcess } from './tf-process.ts';

export type ChooseCapacityParameters = {
  readonly dataset: ArtifactRef;
  /** Outputs of the trials that were trained to the end. */
  readonly trials: readonly CapacityTrialOutputs[];
  /** The others, with what they had reached where they were stopped; and where that was decided. */
  readonly stopped?: Trials['stopped'];
  readonly rungs?: Trials['rungs'];
  readonly choose?: Trials['rule'];
};

export type ChooseCapacityOutputs = {
  readonly model: ArtifactRef;
  readonly trials: ArtifactRef;
  readonly depth: number;
  readonly width: number;
  readonly imageSize: number;
  readonly AP: number;
};

/** Half the width of a 95 % interval, in standard errors. */
const intervalHalfWidth = 1.96;

export const chooseCapacity = inTfProcess<ChooseCapacityParameters, ChooseCapacityOutputs>(
  'choose-capacity',
  async (context, parameters) => {
    const rows = parameters.trials.map(({ trial }) => trial);
    const rule = parameters.choose ?? 'one-se';
    if (rows.length === 0) {
      throw ApplicationFailure.nonRetryable('A capacity search needs at least one size to try.', 'NoTrials');
    }
    const errors = await standardErrors(context, parameters.dataset, rows);
    const { chosen, reason } = chooseTrial(rows, errors, rule, parameters.stopped);
    const { stopped, rungs } = parameters;
    const table: Trials = {
      trials: rows.map((row) => ({ ...row, chosen: row === chosen })),
      ...(stopped && stopped.length > 0 ? { stopped } : {}),
      ...(rungs && rungs.length > 0 ? { rungs } : {}),
      rule,
      reason: `${reason}${aboutStopped(stopped?.length ?? 0)}`,
    };
    return {
      model: chosen.model,
      trials: await saveJson(context.store, 'trials', table),
      depth: chosen.depth,
      width: chosen.width,
      imageSize: chosen.imageSize!,
      AP: chosen.AP.value,
    };
  },
);

/**
 * `best`: the highest AP. `one-se`: the smallest among those whose AP lies within one standard error of the best;
 * `errors[i]` is that of the paired difference between trial i and the best. Of equals the smaller, then the first.
 */
export function chooseTrial(
  rows: readonly Trial[],
  errors: readonly number[],
  rule: Trials['rule'],
  stopped: Trials['stopped'] = [],
): { readonly chosen: Trial; readonly reason: string } {
  const best = bestOf(rows);
  const sizes = [...rows, ...stopped];
  if (rule === 'best') return { chosen: best, reason: `${describe(best, sizes)} has the highest validation AP.` };
  const near = rows.filter((row, i) => row === best || best.AP.value - row.AP.value <= errors[i]!);
  const chosen = near.reduce((smallest, row) => (isSmaller(row, smallest) ? row : smallest));
  if (chosen === best) {
    const smaller = rows.filter((row) => isSmaller(row, best)).length;
    const others =
      smaller === 0
        ? 'none is smaller'
        : `the ${smaller} smaller ${smaller === 1 ? 'one is' : 'ones are'} worse by more than one standard error`;
    return { chosen, reason: `${describe(best, sizes)} has the highest validation AP, and ${others}.` };
  }
  const gap = best.AP.value - chosen.AP.value;
  const error = errors[rows.indexOf(chosen)]!;
  return {
    chosen,
    reason:
      `${describe(chosen, sizes)} is the smallest of ${near.length} models that cannot be told from the best ` +
      `(${describe(best, sizes)}): its validation AP is ${points(gap)} points lower, within one standard error ` +
      `(${points(error)}) of the paired difference.`,
  };
}

function bestOf(rows: readonly Trial[]): Trial {
  return rows.reduce((best, row) => {
    if (row.AP.value !== best.AP.value) return row.AP.value > best.AP.value ? row : best;
    return isSmaller(row, best) ? row : best;
  });
}

/**
 * Fewer operations an image, then fewer parameters: the same weights at twice the image size cost four times as much
 * wherever the model runs.
 */
function isSmaller(a: Trial, b: Trial): boolean {
  if (a.flops !== undefined && b.flops !== undefined && a.flops !== b.flops) return a.flops < b.flops;
  return a.parameters < b.parameters;
}

/** Of the difference in AP between each trial and the best, over the same bootstrap replicates. */
async function standardErrors(
  context: StepContext,
  datasetRef: ArtifactRef,
  rows: readonly Trial[],
): Promise<readonly number[]> {
  const dataset = await loadDataset(context.store, datasetRef);
  const imageIds = imagesOfSplits(dataset, ['val']);
  const groundTruth = groundTruthOf(dataset, imageIds);
  const matches = [];
  for (const row of rows) {
    matches.push(matchForAp(groundTruth, await detectionsOf(context, row.model, dataset, imageIds)));
  }
  const best = rows.indexOf(bestOf(rows));
  const groupOf = new Map(dataset.images.map((image) => [image.id, image.group]));
  const pairs = rows.map((_, i) => [best, i] as const);
  const { differences } = bootstrapAp(matches, pairs, groupOf, { seed: context.seed, metrics: ['AP'] });
  return differences.map(({ AP }) => (AP!.high - AP!.low) / (2 * intervalHalfWidth));
}

/** By what the search varies; depth and width always. */
function describe(trial: Trial, sizes: readonly TrialSize[]): string {
  const varies = (name: 'imageSize' | 'anchors') => sizes.some((size) => size[name] !== trial[name]);
  const words = [
    `Depth ${trial.depth}`,
    `width ${trial.width}`,
    ...(varies('imageSize') ? [`${trial.imageSize} px`] : []),
    ...(varies('anchors') ? [`${trial.anchors} anchors`] : []),
  ];
  return `${words.join(', ')} (${trial.parameters.toLocaleString('en')} parameters)`;
}

function aboutStopped(count: number): string {
  if (count === 0) return '';
  return ` ${count === 1 ? 'One other was' : `${count} others were`} stopped early.`;
}

function points(share: number): string {
  return (100 * share).toFixed(2);
}
