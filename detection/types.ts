/** The words of detection as data: what images, labels, detections and models are, in memory. */

/** One of the classes to detect. Ids are positive integers; 0 is never used, because pycocotools cannot match it. */
export interface Category {
  readonly id: number;
  readonly name: string;
}

export type Split = 'train' | 'val' | 'test';

export const SPLITS: readonly Split[] = ['train', 'val', 'test'];

/** One image of a dataset. Its pixels are the store's object `digest`. */
export interface ImageEntry {
  /** Positive integer, unique within the dataset, stable over label versions. */
  readonly id: number;
  /** Path inside the imported folder, with forward slashes. */
  readonly fileName: string;
  /** Pixels, after EXIF rotation. */
  readonly width: number;
  readonly height: number;
  /** SHA-256 of the encoded file (hex). */
  readonly digest: string;
  readonly split: Split;
  /** Images of one group (crops of one photo) are not independent: they share a split and are resampled together. */
  readonly group: string;
}

/** [x1, y1, x2, y2] in pixels of the image, x2 > x1 and y2 > y1; edges, not pixel centres. */
export type Box = readonly [number, number, number, number];

/** One labelled box (a ground truth). */
export interface Annotation {
  /** Unique within the label version and kept by later versions for the same box. */
  readonly id: string;
  readonly imageId: number;
  readonly categoryId: number;
  readonly box: Box;
  /** COCO's `iscrowd`: may take many detections. */
  readonly crowd?: boolean;
  /** An ignore region: neither target nor background in training, neither found nor missed in mining. */
  readonly ignore?: boolean;
  /** Why it is held back from training; `ignore` is set too, and the box itself is kept as it was. */
  readonly quarantine?: string;
  /** COCO's `area` where it is a segment's; else the box's own area counts. */
  readonly area?: number;
}

/** One version of a dataset's labels. */
export interface Labels {
  /** Digest of the label version this one was made from; null for an import. */
  readonly parent: string | null;
  /** Who or what made it: `import`, `synthesize`, `truth`, `review`, `quarantine`. */
  readonly author: string;
  readonly note: string;
  /** In order of image id, then id. */
  readonly annotations: readonly Annotation[];
}

/** Images, splits and one label version, as loaded into memory. */
export interface Dataset {
  readonly categories: readonly Category[];
  /** In order of id. */
  readonly images: readonly ImageEntry[];
  readonly labels: Labels;
}

/**
 * Detections of many images as flat arrays: row i is one detection. Sorted by image id, then by falling score.
 * `imageIds` lists every image that was looked at, with or without detections.
 */
export interface Detections {
  readonly imageIds: readonly number[];
  /** [N] image id of each detection. */
  readonly image: Int32Array;
  /** [N] category id. */
  readonly category: Int32Array;
  /** [N*4] xyxy, pixels of the original image. */
  readonly box: Float64Array;
  /** [N] score in 0..1. */
  readonly score: Float64Array;
}

/** Why a reviewer is asked. */
export type CandidateType = 'missing' | 'spurious' | 'badly-located' | 'wrong-class' | 'duplicate';

/** Something a reviewer is asked about: a label, a detection, or both, that do not agree. */
export interface Candidate {
  /** First 16 hex digits of a hash of image digest, type, label id and rounded detection: stable over rounds. */
  readonly id: string;
  readonly type: CandidateType;
  readonly imageId: number;
  readonly imageDigest: string;
  /** The label in question (absent for `missing`). */
  readonly annotation?: Annotation;
  /** The detection in question (absent for `spurious` and `duplicate`). */
  readonly detection?: { readonly categoryId: number; readonly box: Box; readonly score: number };
  /** IoU of annotation and detection, where both are there. */
  readonly iou?: number;
  /** 0..1, the higher the sooner a reviewer should look: expected gain for a second of time. */
  readonly rank: number;
  /** Estimated probability that the label is at fault, 0..1. This and what follows lacks in lists of earlier releases. */
  readonly chance?: number;
  /** Expected time of a reviewer, in seconds. */
  readonly seconds?: number;
  /** The same mistake in other images has the same cluster; absent: it stands alone. */
  readonly cluster?: string;
}

/** What a reviewer said about one candidate. */
export type Verdict =
  /** The model is right: add, remove, move or reclass the label as the candidate proposes. */
  | 'accept'
  /** The label is right: change nothing. */
  | 'reject'
  /** Neither: the label becomes `box` and `categoryId`, as given with the decision. */
  | 'edit'
  /** Cannot be told (too small, a crowd): the place becomes an ignore region. */
  | 'ignore'
  /** About no candidate: a target without a label that nobody asked about. Its label gets the box and category given. */
  | 'add';

export interface Decision {
  /** With `add`: chosen by whoever drew the box, `drawn-` and 16 hex digits. */
  readonly candidateId: string;
  readonly verdict: Verdict;
  /** With `edit` and `add`: the box and category that are right. */
  readonly box?: Box;
  readonly categoryId?: number;
  /** With `add` alone: the image. */
  readonly imageId?: number;
  readonly reason?: string;
  /** Time from when the candidate was shown, in seconds. */
  readonly seconds?: number;
  /** The verdict of who has seen the opinions of others that do not agree; absent: an opinion by itself. */
  readonly settles?: true;
  /** Digest of exactly what was on the screen (review/question.ts). */
  readonly saw?: string;
}

/** Architecture of a detector: all that is needed to build the network before weights are loaded. */
export interface Architecture {
  /**
   * The kind of network; absent: `csp`, ours, at any depth and width. `yolov4` and `yolov4-tiny` are the published networks, layer
   * by layer, which take darknet's weights; depth and width are 1 there.
   */
  readonly structure?: 'csp' | 'yolov4' | 'yolov4-tiny';
  /** Multiplies the number of residual blocks of each CSP stage (0.33, 0.67, 1 ...). */
  readonly depth: number;
  /** Multiplies the channels of each stage (0.125, 0.25, 0.5, 1 ...). */
  readonly width: number;
  /** Strides of the heads in rising order: [8, 16, 32], or [4, 8, 16, 32] where targets are tiny. */
  readonly strides: readonly number[];
  /** Anchor sizes in pixels of the letterboxed input: one list of [width, height] per stride. */
  readonly anchors: readonly (readonly (readonly [number, number])[])[];
  readonly activation: 'leaky' | 'mish' | 'silu';
  /** Side of the square input in pixels, a multiple of the largest stride. */
  readonly imageSize: number;
  readonly categories: readonly Category[];
}

/** Named weights as float32 arrays, in the network's own fixed order. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
