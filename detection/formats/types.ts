/** What every reader of a dataset folder takes and gives. */

import type { Annotation, Category, Split } from '../types.ts';

/** A folder of files, on a disk or in a store. */
export interface DatasetFiles {
  /** Names of all files, relative to the folder, with forward slashes. */
  list(): readonly string[];
  readText(name: string): Promise<string>;
  /** Size after EXIF rotation. Throws where the file is no image that can be read. */
  imageSize(name: string): Promise<ImageSize>;
}

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

export type DatasetFormat = 'coco' | 'voc' | 'yolo';

/** An image as read: its file has no digest yet, and its split may still have to be drawn. */
export interface ReadImage {
  readonly id: number;
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
  readonly split: Split | null;
  readonly group: string;
}

/** A change to what stood in a file, made in good faith and listed for the user. */
export interface Coercion {
  readonly file: string;
  /** Where in the file: `annotations[3].bbox`, `object 2`, `line 7`. */
  readonly place: string;
  /** The kind of change, in a few words: `box without area`, `box partly outside the image`. */
  readonly what: string;
  readonly was: string;
  readonly became: string;
}

/** A fault that cannot be mended without a person: an error stops the import, a warning does not. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  readonly place: string;
  /** What is wrong, what was expected and what to do. */
  readonly message: string;
}

export interface ReadOptions {
  /** A field of the image entries, `folder`, or a regular expression over file names whose first group is the group. */
  readonly groupBy?: string;
}

/** Everything that a folder says, what was changed in it, and all that is wrong with it. */
export interface ReadDataset {
  readonly format: DatasetFormat;
  /** In order of id. */
  readonly categories: readonly Category[];
  /** In order of id. */
  readonly images: readonly ReadImage[];
  /** In order of image id; only of images above. */
  readonly annotations: readonly Annotation[];
  /** Splits that the folder names, in the order train, val, test. Empty: there are none to keep. */
  readonly splits: readonly Split[];
  readonly coercions: readonly Coercion[];
  /** Faulty boxes and images are left out of the above, so that `onInvalid: drop` needs nothing more. */
  readonly problems: readonly Problem[];
}

/** A dataset in the words of another format. */
export interface WrittenDataset {
  /** Text files to write. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** Images to copy, `from` a file name of the dataset. */
  readonly images: readonly { readonly from: string; readonly to: string }[];
  /** What the format cannot say. */
  readonly coercions: readonly Coercion[];
}

/** What a writer needs of a dataset: `ImageEntry` and `Labels` fit. */
export interface WritableDataset {
  readonly categories: readonly Category[];
  readonly images: readonly {
    readonly id: number;
    readonly fileName: string;
    readonly width: number;
    readonly height: number;
    readonly split: Split | null;
    readonly group: string;
  }[];
  readonly annotations: readonly Annotation[];
}
