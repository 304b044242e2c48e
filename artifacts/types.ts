/** What each artifact kind holds once decoded; `codecs.ts` turns them into bytes and back. */

import type { ClipSwitch, EpochReport, TrainOptions } from '../detection/model/types.ts';
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

/** `planted`: label errors that `synthesize` made on purpose. */
export interface Planted {
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
  };
}

/** `curves`: one training, epoch by epoch. */
export interface Curves {
  readonly epochs: readonly EpochReport[];
  readonly clipSwitch: ClipSwitch | null;
  readonly options: TrainOptions;
  readonly seconds: number;
  readonly environment: RunEnvironment;
}

/** An estimate with the ends of its 95 % interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** `trials`: the table of a capacity search. */
export interface Trials {
  readonly trials: readonly {
    readonly depth: number;
    readonly width: number;
    readonly parameters: number;
    readonly trainingLoss: number;
    readonly AP: Interval;
    readonly AP50: number;
    readonly seconds: number;
    readonly chosen: boolean;
    readonly model: ArtifactRef;
  }[];
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
  }[];
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
