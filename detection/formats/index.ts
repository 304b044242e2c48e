/** Any of the formats: told apart by file names, read and written by one function each. */

import { cocoFiles, readCoco, writeCoco } from './coco.ts';
import { isImageName } from './image-files.ts';
import type {
  DatasetFiles,
  DatasetFormat,
  ReadDataset,
  ReadOptions,
  WritableDataset,
  WrittenDataset,
} from './types.ts';
import { readVoc, vocFiles, writeVoc } from './voc.ts';
import { readYolo, writeYolo, yoloLabels } from './yolo.ts';

export const DATASET_FORMATS: readonly DatasetFormat[] = ['coco', 'voc', 'yolo'];

/** The format of a folder by its file names; null where none fits. */
export function detectFormat(fileNames: readonly string[]): DatasetFormat | null {
  if (vocFiles(fileNames).length > 0) return 'voc';
  if (yoloLabels(fileNames).length > 0) return 'yolo';
  if (cocoFiles(fileNames).length > 0) return 'coco';
  // a set without a single target has no label files
  const hasConfig = fileNames.some((name) => /^[^/]*\.ya?ml$/.test(name));
  return hasConfig && fileNames.some(isImageName) ? 'yolo' : null;
}

/** Reads a folder in the given format, or in the one that its file names show. Throws where they show none. */
export function readDataset(
  files: DatasetFiles,
  format: DatasetFormat | 'auto',
  options: ReadOptions = {},
): Promise<ReadDataset> {
  const found = format === 'auto' ? detectFormat(files.list()) : format;
  switch (found) {
    case 'coco':
      return readCoco(files, options);
    case 'voc':
      return readVoc(files, options);
    case 'yolo':
      return readYolo(files, options);
    case null:
      throw new UnknownFormatError(files.list().length);
  }
}

export function writeDataset(dataset: WritableDataset, format: DatasetFormat): WrittenDataset {
  switch (format) {
    case 'coco':
      return writeCoco(dataset);
    case 'voc':
      return writeVoc(dataset);
    case 'yolo':
      return writeYolo(dataset);
  }
}

export class UnknownFormatError extends Error {
  constructor(fileCount: number) {
    super(
      `None of the ${fileCount} files shows a format. Expected COCO (annotations/instances_*.json), Pascal VOC (Annotations/*.xml) or YOLO (data.yaml, images/, labels/).`,
    );
    this.name = 'UnknownFormatError';
  }
}
