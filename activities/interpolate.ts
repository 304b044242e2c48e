/** Between an old model and what training made of it: each weight on the straight line from one to the other. */

import { ApplicationFailure } from '@temporalio/common';
import type { Interpolation } from '../artifacts/types.ts';
import type { PreparedImage } from '../detection/model/types.ts';
import type { Architecture, Detections, NamedTensor } from '../detection/types.ts';

/** `auto` chooses on validation; a number is the share of the new weights; `off` keeps the new weights. */
export type InterpolateParameter = 'auto' | 'off' | number;

/** Shares of the new weights that `auto` tries: 0 is the old model, 1 the new one. */
export const shares = [0, 0.25, 0.5, 0.75, 1] as const;

type Evaluate = (detect: (images: readonly PreparedImage[]) => Detections) => { AP: number; AP50: number };

/** A wish that cannot be met is better told before the training than after it. */
export function checkInterpolate(interpolate: InterpolateParameter, hasInit: boolean, evaluate?: Evaluate): void {
  if (interpolate === 'off') return;
  if (!hasInit) {
    throw ApplicationFailure.nonRetryable(
      '`interpolate` goes between the weights of `init` and the new ones, but this step has no `init`. Give it one, or leave `interpolate` out.',
      'NoInit',
    );
  }
  if (interpolate === 'auto' && evaluate === undefined) {
    throw ApplicationFailure.nonRetryable(
      '`interpolate: auto` chooses on validation, but the dataset has no images in its val split. Give a number, or a dataset with validation images.',
      'NoValidation',
    );
  }
}

export async function interpolateModels(
  architecture: Architecture,
  old: readonly NamedTensor[],
  fresh: readonly NamedTensor[],
  interpolate: 'auto' | number,
  evaluate: Evaluate | undefined,
): Promise<Interpolation & { readonly weights: readonly NamedTensor[] }> {
  const { createDetectorModel } = await import('../detection/model/detect.ts');
  const measure = (weights: readonly NamedTensor[]): { AP: number; AP50: number } => {
    const detector = createDetectorModel(architecture, weights);
    try {
      return evaluate!((images) => detector.detect(images));
    } finally {
      detector.dispose();
    }
  };
  const candidates = interpolate === 'auto' ? shares : [interpolate];
  const tried = evaluate
    ? candidates.map((newShare) => ({ newShare, ...measure(weightsBetween(old, fresh, newShare)) }))
    : [];
  const newShare = interpolate === 'auto' ? bestShare(tried) : interpolate;
  return { newShare, tried, weights: weightsBetween(old, fresh, newShare) };
}

/** With the highest AP; of equals the one nearest to what was trained. */
export function bestShare(tried: Interpolation['tried']): number {
  return tried.reduce((best, one) => (one.AP >= best.AP ? one : best)).newShare;
}

/**
 * (1 - newShare) * old + newShare * new, of weights and batch-norm statistics alike. Statistics measured anew on
 * un-augmented training images were worse by 1.2 points of AP in the mean of six trials (docs/decisions.md).
 */
export function weightsBetween(
  old: readonly NamedTensor[],
  fresh: readonly NamedTensor[],
  newShare: number,
): readonly NamedTensor[] {
  const oldByName = new Map(old.map((tensor) => [tensor.name, tensor]));
  return fresh.map(({ name, shape, data }) => {
    const before = oldByName.get(name);
    if (before?.data.length !== data.length) {
      throw ApplicationFailure.nonRetryable(
        `\`interpolate\` needs two models of one shape, but "${name}" has ${data.length} values in the new one and ` +
          `${before?.data.length ?? 'none'} in \`init\`: were the categories changed? Leave \`interpolate\` out.`,
        'OtherShape',
      );
    }
    if (newShare === 1) return { name, shape, data };
    return { name, shape, data: data.map((value, i) => (1 - newShare) * before.data[i]! + newShare * value) };
  });
}
