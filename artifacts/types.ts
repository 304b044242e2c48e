/** What each artifact kind holds once decoded; `codecs.ts` turns them into bytes and back. */

import type { SplitAnchoring } from '../detection/anchoring.ts';
import type { TargetCategory } from '../detection/dynamics.ts';
import type { Fold } from '../detection/folds.ts';
import type { Fate, TargetHistory } from '../detection/forgetting.ts';
import type { EpochLink } from '../detection/model/training-chain.ts';
import type { ClipSwitch, EpochReport, NonFiniteReturn, TrainOptions } from '../detection/model/types.ts';
import type { Estimate, ReviewerAccuracy } from '../detection/reviewer-trust.ts';
import type {
  Annotation,
  Architecture,
  Box,
  Candidate,
  Category,
  Decision,
  ImageEntry,
  NamedTensor,
  Split,
} from '../detection/types.ts';
import type { ArtifactRef, RunEnvironment } from '../plan/types.ts';
import type { ChainTip } from './decision-chain.ts';

/** `tree`: a folder of files. Names have forward slashes and are sorted. */
export interface Tree {
  readonly files: readonly { readonly name: string; readonly digest: string; readonly bytes: number }[];
}

/** `dataset` as stored: its images and its label version are objects of their own, so that versions share images. */
export interface DatasetManifest {
  readonly categories: readonly Category[];
  /** Digest of the JSON array of `ImageEntry`. */
  readonly images: string;
  /** Digest of the JSON of `Labels`. */
  readonly labels: string;
}

export type ImageTable = readonly ImageEntry[];

/** `selection`: image ids of a dataset, rising; what else it holds narrows or weighs what training makes of them. */
export interface Selection {
  readonly images: readonly number[];
  /** Windows (pixels of the original image) that training sees instead of the whole images; by image id. */
  readonly crops?: readonly { readonly image: number; readonly window: Box }[];
  /** Weight of a ground truth's loss, by annotation id; those that are not named weigh 1. */
  readonly weights?: Readonly<Record<string, number>>;
}

/** `planted`: label errors that `synthesize` made on purpose, and what it drew. */
export interface Planted {
  /** How many true boxes have each feature; the counts follow a normal distribution, but for the rare one. */
  readonly features?: readonly number[];
  /** Index of the feature that hardly differs from what is around it. */
  readonly rareFeature?: number;
  /** Feature of each true box, by its id. */
  readonly featureOf?: Readonly<Record<string, number>>;
  readonly errors: readonly {
    readonly type: 'missing' | 'spurious' | 'shifted' | 'wrong-class';
    readonly imageId: number;
    /** Id of the true box (absent for `spurious`) and of the given label (absent for `missing`). */
    readonly truthId?: string;
    readonly annotationId?: string;
  }[];
}

/** `coercions`: what an import changed in the labels it read. */
export interface Coercions {
  readonly items: readonly {
    readonly file: string;
    readonly place: string;
    readonly what: string;
    readonly was: string;
    readonly became: string;
  }[];
}

/** `model`: the architecture and the EMA weights, with where they came from. */
export interface Model {
  readonly architecture: Architecture;
  readonly weights: readonly NamedTensor[];
  readonly training: {
    /** Steps of this training, and of all trainings in the chain of `init`. */
    readonly steps: number;
    readonly stepsInAll: number;
    readonly images: number;
    readonly seed: number;
    readonly parameters: number;
    /** The fold of the train split that it has not seen; absent: none was left out. */
    readonly fold?: Fold;
  };
}

/** A model between an old one and a new one: the share of the new weights, and what shares reached on validation. */
export interface Interpolation {
  readonly newShare: number;
  readonly tried: readonly { readonly newShare: number; readonly AP: number; readonly AP50: number }[];
}

/** `curves`: one training, epoch by epoch. */
export interface Curves {
  readonly epochs: readonly EpochReport[];
  readonly clipSwitch: ClipSwitch | null;
  /** Returns to an earlier state because a loss was not finite; absent: none. */
  readonly returns?: readonly NonFiniteReturn[];
  readonly options: TrainOptions;
  readonly seconds: number;
  readonly environment: RunEnvironment;
  /** Boxes of its images that were held in quarantine; absent: none. */
  readonly quarantined?: number;
  /** Where the model was interpolated between `init` and what was trained: what each share of the new weights reached. */
  readonly interpolation?: Interpolation;
}

/** `chain`: what a training did, as hashes. Two trainings with equal chains did the same in every step, to the bit. */
export interface Chain {
  readonly steps: number;
  /** First step that the chain covers, above 0 only where a checkpoint of an earlier release came before. */
  readonly since: number;
  /** Digests of what was trained on. */
  readonly dataset: string;
  readonly labels: string;
  readonly init: string | null;
  /** Hash over every step: batch, position, settings and loss. */
  readonly head: string;
  readonly epochs: readonly EpochLink[];
  /** Digest of the model that it ended with. */
  readonly model: string;
}

/** An estimate with the ends of its 95 % interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** What a trial of a capacity search varies, and what such a model costs. */
export interface TrialSize {
  readonly depth: number;
  readonly width: number;
  /** Side of the input in pixels. This and all that is optional here lacks in tables of earlier releases. */
  readonly imageSize?: number;
  /** Anchors of a head. */
  readonly anchors?: number;
  readonly parameters: number;
  /** Floating point operations of one image's convolutions: a multiplication and its addition are two. */
  readonly flops?: number;
}

/** `trials`: the table of a capacity search. */
export interface Trials {
  /** Those that were trained to the end, among which one was chosen. */
  readonly trials: readonly (TrialSize & {
    readonly trainingLoss: number;
    readonly AP: Interval;
    readonly AP50: number;
    /** AP on a sample of the training images, without augmentation, and by how much it is above that on validation. */
    readonly trainAP?: Interval;
    readonly gap?: Interval;
    readonly epochs?: number;
    /** Where the trial ran: median over its epochs, and a short measurement after it. */
    readonly trainingImagesPerSecond?: number;
    readonly inferenceImagesPerSecond?: number;
    readonly seconds: number;
    readonly chosen: boolean;
    readonly model: ArtifactRef;
  })[];
  /** Those that were stopped early, after `epochs` epochs, with what they had reached there. */
  readonly stopped?: readonly (TrialSize & {
    readonly epochs: number;
    readonly trainingLoss: number;
    readonly AP: number;
    readonly AP50: number;
    readonly seconds: number;
  })[];
  /** Where trials were compared: after so many epochs, how many of them, and how many went on. */
  readonly rungs?: readonly { readonly epoch: number; readonly compared: number; readonly kept: number }[];
  readonly rule: 'one-se' | 'best';
  /** Why that one, in a sentence. */
  readonly reason: string;
}

export type CandidateList = readonly Candidate[];

/** `corrections`: what a review did to the labels. */
export interface Corrections {
  /** Digests of the label versions before and after. */
  readonly before: string;
  readonly after: string;
  readonly reviewer: 'human' | 'oracle';
  readonly asked: number;
  /** Decided in an earlier round or run. */
  readonly carriedOver: number;
  /** Without an answer when the gate expired. */
  readonly undecided: number;
  /** The newest batch of the gate's ledger: with it, a ledger that was changed later is found out. */
  readonly ledger?: ChainTip;
  readonly decisions: readonly (Decision & {
    readonly by: string;
    readonly at: string;
    readonly type: Candidate['type'];
  })[];
  readonly changes: readonly {
    readonly imageId: number;
    readonly what: 'added' | 'removed' | 'moved' | 'reclassed' | 'ignored';
    readonly before?: Annotation;
    readonly after?: Annotation;
    readonly candidateId: string;
  }[];
  /** How far the sight of the model's box swayed those who answered; absent: it was never hidden. */
  readonly anchoring?: readonly SplitAnchoring[];
  /** From questions whose answers were known; absent: none were mixed in. */
  readonly trust?: {
    readonly questions: number;
    readonly reviewers: readonly ReviewerAccuracy[];
    /** Errors among what was asked that were probably passed over, by type. */
    readonly left: readonly ({ readonly type: Candidate['type'] } & Estimate)[];
  };
  /** Where the truth is known: planted or real errors of each type before, and how many of them are left after. */
  readonly againstTruth?: readonly { readonly type: string; readonly before: number; readonly after: number }[];
}

/** `profile`: loss of each ground truth under each model. */
export interface Profile {
  readonly models: readonly { readonly name: string; readonly model: ArtifactRef }[];
  /** One entry a ground truth; `loss[m]` is -1 where model m missed it. */
  readonly targets: readonly {
    readonly imageId: number;
    readonly annotationId: string;
    readonly loss: readonly number[];
    readonly pTrue: readonly number[];
    /** The loss also where model m missed it. Absent in profiles of earlier versions, as are the next three. */
    readonly full?: readonly number[];
    /** The objectness term alone: focal loss of p_true where there is one category. */
    readonly objectness?: readonly number[];
    readonly iou?: readonly number[];
    /** Index into `features.clusters`. */
    readonly feature?: number;
    /** Held in quarantine: an ignore region in training and mining. */
    readonly quarantined?: true;
  }[];
  /** What the targets look like, in groups: how many there are of each, and what they cost. */
  readonly features?: {
    readonly focal: { readonly gamma: number; readonly alpha: number };
    readonly clusters: readonly {
      readonly count: number;
      /** Means over its targets, one a model; `missed` is a share. */
      readonly objectness: readonly number[];
      readonly pTrue: readonly number[];
      readonly missed: readonly number[];
    }[];
    /** Of each model: the count at which a feature's p_true is expected to reach one half. */
    readonly halfCount: readonly number[];
  };
}

/** `quarantined`: what a `quarantine` step holds back from training, and what it gave free again. */
export interface Quarantined {
  readonly by: 'never-converging' | 'aum' | 'share';
  /** The rule in words, with its numbers. */
  readonly rule: string;
  /** Boxes of the train split that the rule was applied to. */
  readonly considered: number;
  readonly held: readonly HeldBox[];
  /** Held before, and no longer picked by the rule. */
  readonly released: readonly HeldBox[];
  /** How many of all boxes that were considered are called what. Absent where only profiles were given. */
  readonly categories?: Readonly<Record<TargetCategory, number>>;
}

/** A box and what the rule saw of it. Figures are null where the training did not cover the box. */
export interface HeldBox {
  readonly annotation: Annotation;
  readonly reason: string;
  /** Rounds in a row that it has been held, this one included; for a released box those before. */
  readonly rounds: number;
  readonly category: TargetCategory | null;
  readonly confidence: number | null;
  readonly variability: number | null;
  readonly lateLoss: number | null;
  readonly aum: number | null;
}

/** `forgetting`: which ground truths each of a chain of models found. */
export interface Forgetting {
  readonly models: readonly ArtifactRef[];
  /** A ground truth is found by a detection of at least this score and this IoU with it. */
  readonly confidence: number;
  readonly iou: number;
  readonly targets: readonly (TargetHistory & {
    readonly fileName: string;
    readonly split: Split;
    readonly box: Box;
    readonly fate: Fate;
  })[];
}

/** `ensemble`: models whose predictions are merged. */
export interface Ensemble {
  readonly models: readonly ArtifactRef[];
  readonly method: 'nms';
  readonly iou: number;
}

/** `metrics`: the table of AP of models and merges on splits and label versions. */
export interface Metrics {
  readonly rows: readonly {
    /** `baseline`, `model 1`, `models 1+2`, `control 1+2` ... */
    readonly name: string;
    readonly role: 'baseline' | 'model' | 'merged' | 'control';
    readonly models: readonly ArtifactRef[];
    readonly cells: readonly {
      readonly split: Split;
      /** `original`, `version 2` ... `final`, `truth`. */
      readonly labels: string;
      readonly AP: Interval;
      readonly AP50: Interval;
    }[];
  }[];
  /** Paired differences of AP on the last split at the final labels: `name` minus `against`. */
  readonly comparisons: readonly {
    readonly name: string;
    readonly against: string;
    readonly split: Split;
    readonly labels: string;
    readonly AP: Interval;
    readonly AP50: Interval;
  }[];
  readonly labelVersions: readonly { readonly name: string; readonly digest: string; readonly annotations: number }[];
  readonly images: readonly {
    readonly split: Split;
    readonly images: number;
    readonly groups: number;
    readonly boxes: number;
  }[];
  readonly replicates: number;
}

/** `report`: the pages as objects of the store. */
export interface ReportPages {
  readonly html: string;
  readonly markdown: string;
}
