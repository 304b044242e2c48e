/** What passes between the parts of the detector: prepared images, batches, training options, reports, checkpoints. */

import type { Architecture, Box, Detections, NamedTensor } from '../types.ts';
import type { GroundTruthLoss } from './loss-profile.ts';
import type { TargetBatch } from './targets.ts';
import type { ChainState } from './training-chain.ts';

/** An image decoded once and letterboxed to the network's input, with its boxes in the same frame. */
export interface PreparedImage {
  readonly imageId: number;
  /** [S*S*3] uint8 RGB, rows from the top, padded with grey 114. */
  readonly pixels: Uint8Array;
  /** Input pixels = original pixels * scale + pad. */
  readonly scale: number;
  readonly padX: number;
  readonly padY: number;
  readonly width: number;
  readonly height: number;
  /** [N*4] xyxy, input pixels. */
  readonly boxes: Float32Array;
  /** [N] index into the architecture's categories. */
  readonly classes: Int32Array;
  /** [N] annotation ids. */
  readonly annotationIds: readonly string[];
  /** [M*4] xyxy, input pixels: ignore regions and crowds. */
  readonly ignore: Float32Array;
  /** [N] weight of each box's loss; absent: 1. */
  readonly weights?: Float32Array;
}

/** What a training looks at: an image, or a part of it. */
export interface SampleItem {
  readonly image: number;
  /** In pixels of the original image; absent: all of it. */
  readonly window?: Box;
}

/** One training batch, augmented. */
export interface Batch {
  readonly imageIds: readonly number[];
  /** All images that are to be seen in it, those of mosaics too; absent: `imageIds`. */
  readonly shown?: readonly number[];
  /** Side S of this batch's images; absent: the architecture's. */
  readonly inputSize?: number;
  /** [B*S*S*3] uint8 RGB. */
  readonly pixels: Uint8Array;
  /** For each image of the batch: [N*4] xyxy in input pixels, and [N] class indices. */
  readonly boxes: readonly Float32Array[];
  readonly classes: readonly Int32Array[];
  readonly ignore: readonly Float32Array[];
  /** For each image of the batch: [N] weight of each box's loss; absent: 1. */
  readonly weights?: readonly Float32Array[];
  /** What the rows of the network should answer, where the source has worked it out already. */
  readonly targets?: TargetBatch;
}

/** Batches as a pure function of the step, so that a resumed run needs no sampler state but the step. */
export interface BatchSource {
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /** `step` counts from 0 over all epochs. The arrays of a batch may be written over once the next one is asked for. */
  batch(step: number): Batch | Promise<Batch>;
}

/** Every switch of the training recipe; `train`'s parameters in a pipeline have the same names and defaults. */
export interface TrainOptions {
  readonly epochs: number;
  /** Images of one batch, which is one step of the training. */
  readonly batchSize: number;
  /**
   * Batches whose mean gradient makes one update of the weights. A step stays one batch: rates, clipping and the average of
   * the weights go by batches, whatever their updates are.
   */
  readonly accumulate: number;
  readonly optimizer: 'momentum' | 'adam';
  /** Peak rate, after warm-up. */
  readonly learningRate: number;
  /** Share of the peak that the cosine ends at. */
  readonly finalRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly warmupEpochs: number;
  readonly schedule: 'cosine' | 'constant';
  readonly emaDecay: number;
  /** On objectness, and with `class` on the class term too. A negative alpha is no weighting. */
  readonly focal: { readonly gamma: number; readonly alpha: number; readonly class: boolean };
  readonly labelSmoothing: number;
  /** Which cells and anchors are asked for a ground truth: see targets.ts. */
  readonly assignment: 'nearby' | 'best';
  /**
   * Rows that nobody asks for a ground truth and that cover one all the same are not background: those whose anchor, or
   * whose predicted box (darknet), has an IoU with it above the threshold.
   */
  readonly ignore: { readonly by: 'anchor' | 'prediction'; readonly threshold: number };
  readonly boxLoss: 'ciou' | 'diou' | 'giou';
  readonly lossWeights: { readonly box: number; readonly objectness: number; readonly class: number };
  readonly clip: {
    readonly by: 'off' | 'global-norm' | 'per-target';
    /** `global-norm`: bound on the norm of all gradients together; `auto` takes it from the norms of the last updates. */
    readonly norm: number | 'auto';
    /**
     * The bound is this running percentile (0..1): of the gradients of single ground truths with `per-target`, of whole
     * updates with `norm: auto`.
     */
    readonly percentile: number;
    /** When it switches on: at once, after a share of the steps, or when the smoothed loss has stopped improving. */
    readonly when: 'always' | 'plateau' | { readonly share: number };
    /** `plateau`: switches on when the smoothed loss improved by less than `improvement` (a share) in `epochs` epochs. */
    readonly plateau: { readonly improvement: number; readonly epochs: number };
  };
  /** Batch normalisation uses the running statistics that the training started with, and keeps them. */
  readonly freezeStatistics: boolean;
  readonly augment: {
    readonly flip: boolean;
    /** 0..1, strength of the changes to hue, saturation and value. */
    readonly colour: number;
    /** Probability that an image of a batch is a mosaic of four. */
    readonly mosaic: number;
    /** Mosaic is off in the last share of the epochs, so that training ends on natural images. */
    readonly mosaicOffShare: number;
    /** Largest random change of scale and shift, as a share (0.5: half to one and a half). */
    readonly scale: number;
    readonly shift: number;
  };
  /** The side of a batch is drawn within this share of the input's, anew every so many batches; a range of 0 is off. */
  readonly multiScale: { readonly range: number; readonly every: number };
  /**
   * How often a training whose loss is not finite goes back by itself to its last good checkpoint, and what its rate is
   * multiplied by each time.
   */
  readonly onNonFinite: { readonly returns: number; readonly rateFactor: number };
}

/** Means over an epoch. Loss terms are unweighted; `total` is their weighted sum. */
export interface EpochReport {
  /** Counts from 1. */
  readonly epoch: number;
  readonly loss: { readonly total: number; readonly box: number; readonly objectness: number; readonly class: number };
  readonly gradientNorm: number;
  /** 0..1: share of the steps with a clipped update; with `per-target`, mean share of ground truths clipped. */
  readonly clipped: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  /** 0..1 share of the time in which the trainer waited for its batches. */
  readonly waited: number;
  /** AP (COCO) and AP50 of the EMA weights on the validation images; absent in epochs without evaluation. */
  readonly validation?: { readonly AP: number; readonly AP50: number };
}

/** Where clipping was switched on. */
export interface ClipSwitch {
  readonly step: number;
  readonly epoch: number;
  readonly reason: 'always' | 'plateau' | 'share';
}

/** A return to the last good checkpoint, because a step's loss or gradient was not a finite number. */
export interface NonFiniteReturn {
  /** The step that failed, and the one that the training went on from. */
  readonly step: number;
  readonly to: number;
  /** Names of the loss terms, `gradientNorm`, or `weights`. */
  readonly terms: readonly string[];
  readonly imageIds: readonly number[];
  /** What the learning rate is multiplied by from then on. */
  readonly rate: number;
}

export interface TrainResult {
  /** EMA weights with their batch-norm statistics: the model that is evaluated, mined and used as `init`. */
  readonly weights: readonly NamedTensor[];
  readonly epochs: readonly EpochReport[];
  readonly clipSwitch: ClipSwitch | null;
  readonly steps: number;
  readonly returns: readonly NonFiniteReturn[];
  readonly chain: ChainState;
}

/** A checkpoint's place in the chain of its training. */
export interface CheckpointLink {
  /** Hash over all steps so far. */
  readonly head: string;
  /** Digest of the whole state. */
  readonly state: string;
  /** The head after an earlier step; undefined where this process does not know it. */
  headAt(step: number): string | undefined;
}

/** What a training keeps a record of besides its curves. Its arrays stand in the checkpoint. */
export interface TrainProfile {
  /** Epochs between two records; the last epoch is always recorded. */
  readonly every: number;
  after(epoch: number, lossesOf: (images: readonly PreparedImage[]) => GroundTruthLoss[]): void;
  save(): Record<string, Float32Array>;
  load(state: Readonly<Record<string, Float32Array>>): void;
}

/** Training as seen from the process that runs it. */
export interface TrainJob {
  readonly architecture: Architecture;
  /** Weights to start from; null: from a seeded initialisation. Heads of other shape are initialised anew. */
  readonly init: readonly NamedTensor[] | null;
  readonly seed: number;
  /** Names what is trained on (digests of the data and its label version): part of the chain. */
  readonly data?: string;
  readonly options: TrainOptions;
  readonly source: BatchSource;
  /** Bytes of the newest valid checkpoint, or null. */
  readonly resumeFrom: Uint8Array | null;
  /** Evaluates the EMA weights on validation images; called after an epoch. */
  readonly evaluate?: (detect: (images: readonly PreparedImage[]) => Detections) => { AP: number; AP50: number };
  /** Epochs between two evaluations; the last epoch is always evaluated when `evaluate` is given. */
  readonly evaluateEvery: number;
  /** Ends after so many epochs, evaluated, with a checkpoint; the schedule stays that of all epochs. Absent: all. */
  readonly until?: number;
  readonly onEpoch: (report: EpochReport) => void;
  /** Records what each ground truth costs the EMA weights, on images without augmentation, after epochs at its stride. */
  readonly profile?: TrainProfile;
  /** Called after each return to an earlier state; see `TrainOptions.onNonFinite`. */
  readonly onReturn?: (made: NonFiniteReturn) => Promise<void>;
  /** How messages name an image; absent: by its id. */
  readonly imageName?: (imageId: number) => string;
  /** Called after each step; answers whether to write a checkpoint now and whether to stop after it. */
  readonly afterStep: (step: number, lastStep: number) => Promise<'go-on' | 'checkpoint' | 'checkpoint-and-stop'>;
  readonly onCheckpoint: (step: number, bytes: Uint8Array, link: CheckpointLink) => Promise<void>;
  /** Folder for the training graph while it is loaded; the system's temporary folder unless given. */
  readonly folder?: string;
}
