/** Which boxes are held back from training, and which of those held before are given free. */

import { aumThreshold, type DynamicsOptions, type TargetSummary } from './dynamics.ts';
import type { Annotation } from './types.ts';

export type QuarantineRule =
  /** What never converged: see `summarizeDynamics`. */
  | { readonly by: 'never-converging' }
  /** What is learnt no faster than boxes where there is nothing: an AUM below this percentile of the threshold boxes'. */
  | { readonly by: 'aum'; readonly percentile: number }
  /** This share of the boxes, those of the highest mean loss over the last epochs. */
  | { readonly by: 'share'; readonly share: number };

/** Ids of the targets that the rule picks, each with its reason. */
export interface Picked {
  readonly rule: string;
  readonly reasons: ReadonlyMap<string, string>;
}

export class NoThresholdBoxesError extends Error {
  override name = 'NoThresholdBoxesError';
}

export function pickByRule(
  summaries: readonly TargetSummary[],
  rule: QuarantineRule,
  { confidence, epochs, top }: Pick<DynamicsOptions, 'confidence' | 'epochs' | 'top'>,
): Picked {
  const real = summaries.filter((one) => !one.planted);
  const reasons = new Map<string, string>();
  switch (rule.by) {
    case 'never-converging': {
      for (const one of real) {
        if (!one.neverConverged) continue;
        reasons.set(one.annotationId, `never converged: late loss ${figure(one.lateLoss)}, ${sureness(one)}`);
      }
      return {
        rule: `loss among the highest ${percent(top)} in each of the last ${epochs} profiled epochs, and confidence never above ${confidence}`,
        reasons,
      };
    }
    case 'aum': {
      const threshold = aumThreshold(summaries, rule.percentile);
      if (threshold === null) {
        throw new NoThresholdBoxesError(
          'The training had no threshold boxes, so there is no AUM to compare with. Set `dynamics: { planted: 0.02 }` in the `train` step that records the dynamics.',
        );
      }
      for (const one of real) {
        if (one.aum >= threshold) continue;
        reasons.set(one.annotationId, `AUM ${figure(one.aum)}, below ${figure(threshold)} of the threshold boxes`);
      }
      return {
        rule: `area under the margin below ${figure(threshold)}, which is percentile ${100 * rule.percentile} of the ${summaries.length - real.length} threshold boxes`,
        reasons,
      };
    }
    case 'share': {
      const count = Math.floor(rule.share * real.length);
      const worst = [...real].sort((a, b) => b.lateLoss - a.lateLoss || (a.annotationId < b.annotationId ? -1 : 1));
      for (const one of worst.slice(0, count)) {
        reasons.set(one.annotationId, `late loss ${figure(one.lateLoss)}, among the highest ${percent(rule.share)}`);
      }
      return {
        rule: `mean loss over the last ${epochs} profiled epochs among the highest ${percent(rule.share)}`,
        reasons,
      };
    }
  }
}

export interface QuarantineResult {
  /** All annotations given, held ones as ignore regions and released ones as boxes again. */
  readonly annotations: readonly Annotation[];
  readonly held: readonly Decided[];
  readonly released: readonly Decided[];
}

export interface Decided {
  readonly annotation: Annotation;
  readonly reason: string;
  readonly rounds: number;
}

/**
 * Applies what a rule picked to boxes of the train split. A box held before stays held while the rule picks it again, or
 * while the training did not cover it (`covered`); else it is released. `heldBefore` gives rounds by annotation id and is
 * joined with what the annotations themselves say, so that labels alone are enough. Crowds and a reviewer's ignore
 * regions are left as they are.
 */
export function applyQuarantine(
  annotations: readonly Annotation[],
  isTrain: (imageId: number) => boolean,
  reasons: ReadonlyMap<string, string>,
  covered: ReadonlySet<string>,
  heldBefore: ReadonlyMap<string, { readonly rounds: number; readonly annotation: Annotation }>,
): QuarantineResult {
  const held: Decided[] = [];
  const released: Decided[] = [];
  const after = annotations.map((annotation): Annotation => {
    if (!isTrain(annotation.imageId) || annotation.crowd) return annotation;
    if (annotation.ignore && annotation.quarantine === undefined) return annotation;
    const earlier = heldBefore.get(annotation.id);
    // A box that was corrected since is another claim, which has to be judged anew.
    const wasHeld =
      annotation.quarantine !== undefined || (earlier !== undefined && sameClaim(earlier.annotation, annotation));
    const rounds = wasHeld ? (earlier?.rounds ?? 1) : 0;
    const box = withoutQuarantine(annotation);
    const picked = reasons.get(annotation.id);
    if (picked !== undefined || (wasHeld && !covered.has(annotation.id))) {
      const reason = picked ?? 'held before, and not covered by this training';
      held.push({ annotation: box, reason, rounds: rounds + 1 });
      // The first reason stays, so that labels change only where something is held or released.
      return {
        ...box,
        ignore: true,
        quarantine: annotation.quarantine ?? picked ?? earlier?.annotation.quarantine ?? reason,
      };
    }
    if (wasHeld) released.push({ annotation: box, reason: 'the rule no longer picks it', rounds });
    return box;
  });
  return { annotations: after, held, released };
}

/** The box as it was before it was held; other annotations as they are. */
export function withoutQuarantine(annotation: Annotation): Annotation {
  if (annotation.quarantine === undefined) return annotation;
  const { quarantine: _, ignore: __, ...box } = annotation;
  return box;
}

function sameClaim(a: Annotation, b: Annotation): boolean {
  return a.categoryId === b.categoryId && a.box.every((edge, i) => edge === b.box[i]);
}

const figure = (value: number): string => String(Number(value.toPrecision(3)));
const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

function sureness({ confidence, variability }: TargetSummary): string {
  return `confidence ${figure(confidence)} ± ${figure(variability)}`;
}
