/** The parameters of `train`, with every default filled in, and how long they make the training. */

import type { Fold } from '../detection/folds.ts';
import type { DarknetStructure } from '../detection/model/darknet-networks.ts';
import type { TrainOptions } from '../detection/model/types.ts';
import type { Architecture } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { InterpolateParameter } from './interpolate.ts';
import type { Stratify } from './replay-strata.ts';
import type { DynamicsParameters } from './training-dynamics.ts';

/** As `train` in docs/steps.md; what is absent has the default of `defaultTrainOptions`. */
export type TrainParameters = {
  readonly dataset: ArtifactRef;
  readonly init?: ArtifactRef;
  readonly select?: ArtifactRef;
  /** Leaves out the images of this fold; see detection/folds.ts. */
  readonly fold?: Fold;
  readonly replay?: { readonly from: ArtifactRef; readonly share?: number; readonly stratify?: Stratify };
  /** Between `init` and the new weights, once trained; `off` unless given. */
  readonly interpolate?: InterpolateParameter;
  /** Optimizer steps in place of `epochs`. */
  readonly steps?: number;
  readonly imageSize?: number;
  /** Absent: ours, of the depth, width, strides and activation below. */
  readonly structure?: DarknetStructure;
  readonly depth?: number;
  readonly width?: number;
  readonly strides?: readonly number[];
  /** Anchors of a head, by k-means on the training boxes; 3 unless a capacity search varies them. */
  readonly anchors?: number;
  readonly activation?: Architecture['activation'];
  /** Records training dynamics; absent: it does not. */
  readonly dynamics?: DynamicsParameters;
  /** Epochs between two validations. */
  readonly evaluateEvery?: number;
  /** A duration such as `30s`, or milliseconds. */
  readonly checkpointEvery?: string | number;
} & DeepPartial<TrainOptions>;

type DeepPartial<T> = { readonly [K in keyof T]?: T[K] extends object ? DeepPartial<T[K]> | T[K] : T[K] };

/** Of a model that is trained on a selection: at the full rate one that had converged came out worse (docs/decisions.md). */
const finetuneLearningRate = 0.0018;

/** The recipe with every default filled in; parameters that are no part of it are left out. */
export async function optionsOf(parameters: TrainParameters): Promise<TrainOptions> {
  const { defaultTrainOptions } = await import('../detection/model/train.ts');
  const finetunes = parameters.init !== undefined && parameters.select !== undefined;
  const defaults = finetunes ? { ...defaultTrainOptions, learningRate: finetuneLearningRate } : defaultTrainOptions;
  return withDefaults(defaults, parameters) as TrainOptions;
}

/** The options given in place of the defaults, at any depth. */
export function withDefaults(defaults: object, given: object): object {
  const isObject = (value: unknown): value is object =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  return Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const own = (given as Record<string, unknown>)[name] ?? value;
      return [name, isObject(value) && isObject(own) ? withDefaults(value, own) : own];
    }),
  );
}

/**
 * Epochs, and steps of each. With `steps` given they are cut so that the total is exact, the epochs as near as can be
 * to one pass over the images; an epoch then only says when to report.
 */
export function scheduleOf(
  steps: number | undefined,
  epochs: number,
  natural: number,
): { readonly epochs: number; readonly stepsPerEpoch: number } {
  if (steps === undefined) return { epochs, stepsPerEpoch: natural };
  let best = steps;
  for (let divisor = 1; divisor <= steps; divisor++) {
    if (steps % divisor !== 0) continue;
    if (Math.abs(Math.log(divisor / natural)) < Math.abs(Math.log(best / natural))) best = divisor;
  }
  return { epochs: steps / best, stepsPerEpoch: best };
}

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

export function durationMs(duration: string | number): number {
  if (typeof duration === 'number') return duration;
  let ms = 0;
  for (const [, count, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) ms += Number(count) * unitMs[unit!]!;
  return ms;
}
