/** Reads a folder in COCO, Pascal VOC or YOLO layout; images keep their bytes, and every change to a label is listed. */

import { ApplicationFailure } from '@temporalio/common';
import { saveDataset, saveJson } from '../artifacts/codecs.ts';
import { type OpenTree, openTree } from '../artifacts/tree.ts';
import type { Coercions } from '../artifacts/types.ts';
import { isImageName } from '../detection/formats/image-files.ts';
import { readDataset, UnknownFormatError } from '../detection/formats/index.ts';
import { assignSplits, type SplitShares } from '../detection/formats/splits.ts';
import type { DatasetFiles, DatasetFormat, Problem, ReadDataset, ReadImage } from '../detection/formats/types.ts';
import { type ImageEntry, SPLITS, type Split } from '../detection/types.ts';
import type { ArtifactRef } from '../plan/types.ts';
import type { StepContext, StepImplementation } from './context.ts';
import { findDuplicatesAcrossSplits } from './near-duplicates.ts';
import { type ScannedImage, scanImages } from './scan-images.ts';

export interface ImportDatasetParameters {
  /** A tree. */
  readonly source: ArtifactRef;
  readonly format: DatasetFormat | 'auto';
  /** `keep`: the splits that the folder names, where it names some. `else`: shares of a new split. */
  readonly split: { readonly keep: boolean; readonly else: SplitShares };
  /** A field of the image entries, `folder`, or a regular expression over file names whose first group is the group. */
  readonly groupBy?: string;
  readonly onInvalid: 'error' | 'drop';
}

export type ImportDatasetOutputs = {
  readonly dataset: ArtifactRef;
  readonly coercions: ArtifactRef;
  readonly images: number;
};

type CoercionItem = Coercions['items'][number];

/** Beyond this many the message would not fit into the run's history; the command lists them without end. */
const PROBLEMS_SHOWN_MAX = 500;

export const importDataset: StepImplementation<ImportDatasetParameters, ImportDatasetOutputs> = async (
  context: StepContext,
  { source, format, split, groupBy, onInvalid }: ImportDatasetParameters,
) => {
  const tree = await openTree(context.store, source);
  const names = tree.tree.files.map(({ name }) => name).filter(isImageName);
  const scanned = await scanImages(names, tree.read, {
    signal: context.signal,
    onProgress: (done, of) => context.progress(`image ${done} of ${of}`, (0.9 * done) / of),
  });
  const read = await readFolder(tree, scanned, format, groupBy);

  const isKept = split.keep && read.splits.length > 0;
  const items: CoercionItem[] = [...read.coercions];
  await judge(
    context,
    read.problems.filter((problem) => isKept || !isAboutSplits(problem)),
    onInvalid,
    items,
  );

  const splitImages = isKept ? withOwnSplit(read.images, items) : withNewSplit(context, read.images, split.else);
  checkSplitsFilled(read, splitImages, isKept, split.else);
  const images = splitImages.map((image): ImageEntry => ({ ...image, digest: tree.digestOf(image.fileName)! }));
  const ids = new Set(images.map(({ id }) => id));
  const annotations = read.annotations.filter(({ imageId }) => ids.has(imageId));

  await reportDuplicates(context, images, scanned);
  if (items.length > 0) await context.notice(sumUp(items));
  const labels = { parent: null, author: 'import', note: `read as ${read.format}`, annotations };
  return {
    dataset: await saveDataset(context.store, { categories: read.categories, images, labels }),
    coercions: await saveJson(context.store, 'coercions', { items }),
    images: images.length,
  };
};

async function readFolder(
  tree: OpenTree,
  scanned: ReadonlyMap<string, ScannedImage | Error>,
  format: DatasetFormat | 'auto',
  groupBy: string | undefined,
): Promise<ReadDataset> {
  const files: DatasetFiles = {
    list: () => tree.tree.files.map(({ name }) => name),
    readText: async (name) => (await tree.read(name)).toString('utf8'),
    imageSize: async (name) => {
      const image = scanned.get(name);
      if (image === undefined) throw new Error('its name does not end as an image does (.jpg, .png and the like)');
      if (image instanceof Error) throw image;
      return image.size;
    },
  };
  try {
    return await readDataset(files, format, { groupBy });
  } catch (error) {
    if (error instanceof UnknownFormatError) throw badData(error.message);
    throw error;
  }
}

/** Stops the import on errors, all of them at once; or lists what was left out instead. Warnings are told. */
async function judge(
  context: StepContext,
  problems: readonly Problem[],
  onInvalid: 'error' | 'drop',
  items: CoercionItem[],
): Promise<void> {
  const errors = problems.filter(({ severity }) => severity === 'error');
  // What concerns the folder as a whole cannot be left out.
  const fatal = onInvalid === 'drop' ? errors.filter(({ file }) => file === '') : errors;
  if (fatal.length > 0) {
    const lines = fatal.slice(0, PROBLEMS_SHOWN_MAX).map(lineOf);
    const more = fatal.length - lines.length;
    if (more > 0) lines.push(`and ${more} more; "hardcase dataset check FOLDER" lists all.`);
    const canDrop = onInvalid === 'error' && fatal.some(({ file }) => file !== '');
    throw badData(
      `The dataset has ${fatal.length} ${fatal.length === 1 ? 'error' : 'errors'}:\n${lines.map((line) => `  ${line}`).join('\n')}\n` +
        `Correct ${fatal.length === 1 ? 'it' : 'them'}${canDrop ? ', or set "onInvalid: drop" to leave out what is faulty' : ''}.`,
    );
  }
  for (const { file, place, message } of errors)
    items.push({ file, place, what: 'invalid', was: message, became: 'dropped' });
  for (const warning of problems.filter(({ severity }) => severity === 'warning')) {
    await context.notice(`${context.path}: ${lineOf(warning)}`);
  }
}

function lineOf({ file, place, message }: Problem): string {
  return [file, place, message].filter((part) => part !== '').join(': ');
}

/** Of no concern where the folder's own splits are not kept. */
function isAboutSplits({ file, place }: Problem): boolean {
  return file === '' && (place === 'splits' || SPLITS.some((split) => split === place));
}

type SplitImage = ReadImage & { readonly split: Split };

function withOwnSplit(images: readonly ReadImage[], items: CoercionItem[]): SplitImage[] {
  const kept: SplitImage[] = [];
  for (const image of images) {
    const { split } = image;
    if (split !== null) kept.push({ ...image, split });
    else
      items.push({
        file: image.fileName,
        place: '',
        what: 'image in no split',
        was: 'in the folder',
        became: 'left out',
      });
  }
  return kept;
}

function withNewSplit(context: StepContext, images: readonly ReadImage[], shares: SplitShares): SplitImage[] {
  try {
    const splits = assignSplits(images, shares, context.seed);
    return images.map((image) => ({ ...image, split: splits.get(image.id)! }));
  } catch (error) {
    if (error instanceof RangeError) throw badData(error.message);
    throw error;
  }
}

/** Training needs train, every choice needs val; only a test may be missing, and then a warning comes from evaluate. */
function checkSplitsFilled(
  read: ReadDataset,
  images: readonly SplitImage[],
  isKept: boolean,
  shares: SplitShares,
): void {
  const empty = (['train', 'val'] as const).filter((split) => !images.some((image) => image.split === split));
  if (empty.length === 0) return;
  const counts = SPLITS.map((split) => `${images.filter((image) => image.split === split).length} ${split}`).join(', ');
  const remedy =
    read.images.length === 0
      ? 'The folder has no usable image; check the path and the format.'
      : isKept
        ? `The folder itself names the splits ${read.splits.join(', ')}: add images to ${empty.join(' and ')}, or set "split.keep: false" to draw new splits.`
        : `Add images, or give ${empty.join(' and ')} a share in "split.else" (now ${JSON.stringify(shares)}).`;
  throw badData(`No image is in ${empty.join(' or ')} (${counts} images). ${remedy}`);
}

async function reportDuplicates(
  context: StepContext,
  images: readonly ImageEntry[],
  scanned: ReadonlyMap<string, ScannedImage | Error>,
): Promise<void> {
  const pairs = findDuplicatesAcrossSplits(images, ({ fileName }) => {
    const image = scanned.get(fileName);
    return image === undefined || image instanceof Error ? undefined : image.looks;
  });
  if (pairs.length === 0) return;
  const identical = pairs.filter((pair) => pair.identical).length;
  const shown = pairs.slice(0, 5).map(({ a, b }) => `${a.fileName} (${a.split}) and ${b.fileName} (${b.split})`);
  await context.notice(
    `${context.path}: ${pairs.length} ${pairs.length === 1 ? 'image looks' : 'images look'} like one in another split` +
      `${identical > 0 ? `, ${identical} of them byte for byte` : ''}, so that validation or test is not independent of training: ` +
      `${shown.join('; ')}${pairs.length > shown.length ? ` and ${pairs.length - shown.length} more` : ''}. ` +
      'Remove the copies, or group the images ("groupBy") and draw new splits ("split.keep: false").',
  );
}

function sumUp(items: readonly CoercionItem[]): string {
  const counts = new Map<string, number>();
  for (const { what } of items) {
    // What stands in brackets says how many this one item stands for.
    const kind = what.replace(/ \([^)]*\)$/, '');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const parts = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, count]) => `${count} x ${what}`);
  return `${items.length} ${items.length === 1 ? 'change was' : 'changes were'} made while importing: ${parts.join(', ')}. The step's "coercions" lists each.`;
}

function badData(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'BadData');
}
