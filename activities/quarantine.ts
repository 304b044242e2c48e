/** `quarantine`: holds back single boxes of the train split that training cannot make use of, and lets go of others. */

import { ApplicationFailure } from '@temporalio/common';
import { type LoadedDataset, loadDataset, loadDynamics, loadJson, saveDataset, saveJson } from '../artifacts/codecs.ts';
import type { HeldBox, Profile, Quarantined } from '../artifacts/types.ts';
import {
  type Dynamics,
  dynamicsDefaults,
  SERIES,
  type SeriesName,
  summarizeDynamics,
  type TargetCategory,
  type TargetSummary,
} from '../detection/dynamics.ts';
import { toCandidate } from '../detection/label-issues.ts';
import {
  applyQuarantine,
  type Decided,
  NoThresholdBoxesError,
  pickByRule,
  type QuarantineRule,
} from '../detection/quarantine.ts';
import type { Annotation, Candidate } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';

export interface QuarantineParameters {
  readonly dataset: ArtifactRef;
  /** One of the two. */
  readonly dynamics?: ArtifactRef;
  readonly profiles?: readonly ArtifactRef[];
  readonly by?: QuarantineRule['by'];
  readonly share?: number;
  readonly percentile?: number;
  readonly top?: number;
  readonly epochs?: number;
  readonly confidence?: number;
  readonly previous?: ArtifactRef;
}

export type QuarantineOutputs = {
  readonly dataset: ArtifactRef;
  readonly quarantined: ArtifactRef;
  /** Held boxes that look mislabelled, for a reviewer: mining proposes nothing where a box is held. */
  readonly candidates: ArtifactRef;
  readonly held: number;
  readonly released: number;
};

const shareDefault = 0.15;
const percentileDefault = 0.99;
/** Below this share of boxes that are learnt in the end, people are told that the training was too short to judge by. */
const learntLeast = 0.3;

export const quarantine: StepImplementation<QuarantineParameters, QuarantineOutputs> = async (context, parameters) => {
  const { store } = context;
  const dataset = await loadDataset(store, parameters.dataset);
  const dynamics = await dynamicsOf(context, parameters);
  const settings = {
    confidence: parameters.confidence ?? dynamicsDefaults.confidence,
    epochs: parameters.epochs ?? dynamicsDefaults.epochs,
    top: parameters.top ?? dynamicsDefaults.top,
  };
  const rule = ruleOf(parameters);
  checkLength(context, dynamics, rule, settings.epochs);

  const trainImages = new Set(dataset.images.filter(({ split }) => split === 'train').map(({ id }) => id));
  const summaries = summarizeDynamics(dynamics, settings).filter(({ imageId }) => trainImages.has(imageId));
  const byId = new Map(summaries.map((one) => [one.annotationId, one]));
  const picked = orBadData(context, () => pickByRule(summaries, rule, settings));

  const previous = parameters.previous ? await loadJson(store, 'quarantined', parameters.previous) : null;
  const { annotations, held, released } = applyQuarantine(
    dataset.labels.annotations,
    (imageId) => trainImages.has(imageId),
    picked.reasons,
    new Set(byId.keys()),
    new Map((previous?.held ?? []).map((one) => [one.annotation.id, one])),
  );

  const real = summaries.filter(({ planted }) => !planted);
  const learnt = real.filter(({ category }) => category === 'easy').length;
  if (real.length > 0 && learnt < learntLeast * real.length) {
    await context.notice(
      `${context.path}: the training learnt only ${learnt} of ${real.length} boxes (${Math.round((100 * learnt) / real.length)} %), so what never converged tells of the training more than of the boxes. Train longer before you believe it.`,
    );
  }
  const quarantined: Quarantined = {
    by: rule.by,
    rule: picked.rule,
    considered: real.length,
    held: held.map((one) => heldBox(one, byId.get(one.annotation.id), rule)),
    released: released.map((one) => heldBox(one, byId.get(one.annotation.id), rule)),
    ...(parameters.dynamics ? { categories: countCategories(real) } : {}),
  };
  return {
    dataset: await save(context, parameters, dataset, annotations, `${held.length} boxes held by ${context.path}`),
    quarantined: await saveJson(store, 'quarantined', quarantined),
    candidates: await saveJson(store, 'candidates', candidatesOf(dataset, quarantined)),
    held: held.length,
    released: released.length,
  };
};

async function dynamicsOf(context: StepContext, { dynamics, profiles }: QuarantineParameters): Promise<Dynamics> {
  if (dynamics && !profiles) return loadDynamics(context.store, dynamics);
  if (profiles && !dynamics && profiles.length > 0) {
    const loaded = await Promise.all(profiles.map((ref) => loadJson(context.store, 'profile', ref)));
    return dynamicsOfProfiles(context, loaded);
  }
  throw ApplicationFailure.nonRetryable(
    `${context.path} reads either \`dynamics\` (of a train step) or a non-empty list of \`profiles\` (of profile-loss steps); it has ${dynamics && profiles ? 'both' : 'neither'}.`,
    'BadData',
  );
}

/** Every model of the profiles is an epoch, in their order; a model that was profiled twice counts once, as it was last. */
function dynamicsOfProfiles(context: StepContext, profiles: readonly Profile[]): Dynamics {
  const columns = new Map<string, ReadonlyMap<string, Readonly<Record<'total' | 'pTrue' | 'iou', number>>>>();
  const images = new Map<string, number>();
  for (const profile of profiles) {
    for (const [m, { model }] of profile.models.entries()) {
      const values = profile.targets.map((target) => {
        images.set(target.annotationId, target.imageId);
        const { full, iou } = target;
        if (full === undefined || iou === undefined) {
          throw ApplicationFailure.nonRetryable(
            `A profile that ${context.path} reads was made by an earlier version and lacks the loss of missed targets: run its profile-loss step again.`,
            'BadData',
          );
        }
        return [target.annotationId, { total: full[m]!, pTrue: target.pTrue[m]!, iou: iou[m]! }] as const;
      });
      columns.delete(model.digest);
      columns.set(model.digest, new Map(values));
    }
  }
  const course = [...columns.values()];
  const ids = [...images.keys()].filter((id) => course.every((column) => column.has(id)));
  const series = Object.fromEntries(
    SERIES.map((name): [SeriesName, Float32Array] => {
      const value = (id: string, e: number): number =>
        name === 'total' || name === 'pTrue' || name === 'iou' ? course[e]!.get(id)![name] : 0;
      return [name, Float32Array.from(ids.flatMap((id) => course.map((_, e) => value(id, e))))];
    }),
  ) as Dynamics['series'];
  return {
    epochs: course.map((_, e) => e + 1),
    targets: ids.map((annotationId) => ({ annotationId, imageId: images.get(annotationId)!, planted: false })),
    series,
  };
}

function ruleOf({ by = 'never-converging', share, percentile }: QuarantineParameters): QuarantineRule {
  if (by === 'share') return { by, share: share ?? shareDefault };
  if (by === 'aum') return { by, percentile: percentile ?? percentileDefault };
  return { by };
}

/** A rule about the last epochs means nothing where there are fewer. */
function checkLength(context: StepContext, { epochs }: Dynamics, { by }: QuarantineRule, needed: number): void {
  const least = by === 'never-converging' ? needed : 1;
  if (epochs.length >= least) return;
  throw ApplicationFailure.nonRetryable(
    `${context.path} looks at the last ${needed} profiled epochs, but there are ${epochs.length}. Train longer, profile more often (\`dynamics: { every }\` of the train step), or set \`epochs\` here to at most ${epochs.length}.`,
    'BadData',
  );
}

function heldBox(
  { annotation, reason, rounds }: Decided,
  seen: TargetSummary | undefined,
  rule: QuarantineRule,
): HeldBox {
  return {
    annotation,
    reason,
    rounds,
    category: seen?.category ?? null,
    confidence: seen?.confidence ?? null,
    variability: seen?.variability ?? null,
    lateLoss: seen?.lateLoss ?? null,
    aum: rule.by === 'aum' ? (seen?.aum ?? null) : null,
  };
}

function candidatesOf({ images }: LoadedDataset, { held }: Quarantined): Candidate[] {
  const byId = new Map(images.map((image) => [image.id, image]));
  return held
    .filter(({ category }) => category === 'mislabelled')
    .map(({ annotation, confidence }) =>
      toCandidate(byId.get(annotation.imageId)!, { type: 'spurious', annotation, rank: 1 - confidence! }),
    )
    .sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
}

function countCategories(summaries: readonly TargetSummary[]): Record<TargetCategory, number> {
  const counts = { easy: 0, hard: 0, mislabelled: 0, unlearnable: 0 };
  for (const { category } of summaries) counts[category]++;
  return counts;
}

/** Labels that nothing changed keep their version. */
async function save(
  { store }: StepContext,
  parameters: QuarantineParameters,
  dataset: LoadedDataset,
  annotations: readonly Annotation[],
  note: string,
): Promise<ArtifactRef> {
  const before = dataset.labels.annotations;
  if (annotations.every((annotation, i) => annotation.quarantine === before[i]!.quarantine)) return parameters.dataset;
  const labels = { parent: dataset.manifest.labels, author: 'quarantine', note, annotations };
  return saveDataset(store, { ...dataset, labels });
}

/** What no retry can mend. */
function orBadData<T>(context: StepContext, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NoThresholdBoxesError)) throw error;
    throw ApplicationFailure.nonRetryable(`${context.path}: ${error.message}`, 'BadData');
  }
}
