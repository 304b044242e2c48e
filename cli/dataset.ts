/** `hardcase dataset check|convert|stats`: looks at a dataset folder, or writes it in another format. */

import { join } from 'node:path';
import { type DatasetStats, datasetStats, type Quantiles } from '../detection/dataset-stats.ts';
import { DATASET_FORMATS, readDataset, UnknownFormatError, writeDataset } from '../detection/formats/index.ts';
import type { Coercion, DatasetFormat, Problem, ReadDataset } from '../detection/formats/types.ts';
import { FolderFiles, problemLine, refuseProblems, shown, showWarnings } from './dataset-folder.ts';
import { expectNewFolder, makeFolder } from './new-folder.ts';
import { CommandError, type ExitCode, exitCodes, print, printJson, table } from './output.ts';

export interface DatasetOptions {
  /** auto, coco, voc or yolo. */
  readonly format: string;
  /** A field, `folder` or a regular expression, as for import-dataset. */
  readonly groupBy?: string;
  readonly json: boolean;
}

export interface ConvertOptions extends DatasetOptions {
  readonly to: string;
  readonly out: string;
  /** error or drop. */
  readonly onInvalid: string;
}

/** Lists every problem and coercion; exit code 1 where there is an error. Decodes every image. */
export async function runDatasetCheck(path: string, options: DatasetOptions): Promise<ExitCode> {
  const { dataset, files } = await read(path, options, { whole: true });
  const problems = [...dataset.problems, ...findDuplicates(dataset, files.digests)];
  const errors = problems.filter(({ severity }) => severity === 'error');
  const warnings = problems.filter(({ severity }) => severity === 'warning');
  if (options.json) {
    printJson({
      path,
      format: dataset.format,
      images: dataset.images.length,
      annotations: dataset.annotations.length,
      categories: dataset.categories,
      splits: dataset.splits,
      problems,
      coercions: dataset.coercions,
    });
  } else {
    const { images, annotations, categories } = dataset;
    print(
      `${path}: ${dataset.format}, ${plural(images.length, 'image')}, ${plural(annotations.length, 'box', 'boxes')}, ${plural(categories.length, 'category', 'categories')}`,
    );
    printList('error', errors.map(problemLine));
    printList('warning', warnings.map(problemLine));
    printList('coercion', dataset.coercions.map(coercionLine));
    if (problems.length + dataset.coercions.length === 0) print('Nothing to report.');
  }
  return errors.length > 0 ? exitCodes.input : exitCodes.done;
}

/** Writes the folder in another format, images included: all of it or nothing. */
export async function runDatasetConvert(path: string, options: ConvertOptions): Promise<ExitCode> {
  const { to, out, onInvalid } = options;
  if (!isFormat(to))
    throw new CommandError(`--to is "${to}", expected ${DATASET_FORMATS.join(', ')}.`, exitCodes.usage);
  if (onInvalid !== 'error' && onInvalid !== 'drop') {
    throw new CommandError(`--on-invalid is "${onInvalid}", expected error or drop.`, exitCodes.usage);
  }
  await expectNewFolder(out);
  const { dataset } = await read(path, options, { whole: false });
  if (onInvalid === 'error') {
    refuseProblems(
      `${path} cannot be converted.`,
      dataset.problems,
      'Mend these, or convert with --on-invalid drop, which leaves them out.',
    );
  }
  if (!options.json) showWarnings(dataset.problems);
  const written = writeDataset(dataset, to);
  const coercions = [...dataset.coercions, ...written.coercions];

  await makeFolder(out, async (folder) => {
    for (const { name, text } of written.files) await folder.put(name, text);
    for (const { from, to: name } of written.images) await folder.copy(name, join(path, from));
  });

  const dropped = onInvalid === 'drop' ? dataset.problems.filter(({ severity }) => severity === 'error') : [];
  if (options.json) {
    printJson({
      path,
      format: dataset.format,
      out,
      to,
      images: dataset.images.length,
      annotations: dataset.annotations.length,
      dropped,
      coercions,
    });
  } else {
    printList('dropped', dropped.map(problemLine), 'dropped');
    printList('coercion', coercions.map(coercionLine));
    print(
      `${out}: ${to}, ${plural(dataset.images.length, 'image')}, ${plural(dataset.annotations.length, 'box', 'boxes')}`,
    );
  }
  return exitCodes.done;
}

export async function runDatasetStats(path: string, options: DatasetOptions): Promise<ExitCode> {
  const { dataset } = await read(path, options, { whole: false });
  const stats = datasetStats(dataset);
  if (options.json) {
    printJson({ path, format: dataset.format, ...stats });
    return exitCodes.done;
  }
  showWarnings(dataset.problems);
  const errors = dataset.problems.filter(({ severity }) => severity === 'error').length;
  if (errors > 0) print(`${plural(errors, 'fault')} left out; "hardcase dataset check ${path}" lists them.\n`);
  printStats(path, dataset.format, stats);
  return exitCodes.done;
}

async function read(
  path: string,
  { format, groupBy }: DatasetOptions,
  how: { whole: boolean },
): Promise<{ dataset: ReadDataset; files: FolderFiles }> {
  if (format !== 'auto' && !isFormat(format)) {
    throw new CommandError(`--format is "${format}", expected auto, ${DATASET_FORMATS.join(', ')}.`, exitCodes.usage);
  }
  const files = await FolderFiles.open(path, how);
  try {
    return { dataset: await readDataset(files, format, { groupBy }), files };
  } catch (error) {
    if (error instanceof UnknownFormatError)
      throw new CommandError(`${path}: ${error.message}`, exitCodes.input, error);
    throw error;
  }
}

/** Images with the same bytes. In two splits they make test dependent on train; in one they only count double. */
function findDuplicates(dataset: ReadDataset, digests: ReadonlyMap<string, string>): Problem[] {
  const byDigest = new Map<string, ReadDataset['images'][number][]>();
  for (const image of dataset.images) {
    const digest = digests.get(image.fileName)!;
    byDigest.set(digest, [...(byDigest.get(digest) ?? []), image]);
  }
  return [...byDigest.values()]
    .filter((same) => same.length > 1)
    .map((same) => {
      const [first, ...others] = same;
      const names = others.map(({ fileName, split }) => (split ? `${fileName} (${split})` : fileName)).join(', ');
      const isAcross = new Set(same.map(({ split }) => split)).size > 1;
      return {
        severity: 'warning',
        file: first!.fileName,
        place: first!.split ? `(${first!.split})` : '',
        message: `Same bytes as ${names}. ${isAcross ? 'An image in two splits spoils the test: keep one.' : 'Keep one.'}`,
      };
    });
}

function isFormat(word: string): word is DatasetFormat {
  return (DATASET_FORMATS as readonly string[]).includes(word);
}

function coercionLine({ file, place, what, was, became }: Coercion): string {
  return `${file} ${place}: ${what}: ${was} -> ${became}`;
}

function printList(word: string, lines: readonly string[], many = `${word}s`): void {
  if (lines.length === 0) return;
  print(`\n${lines.length} ${lines.length === 1 ? word : many}`);
  for (const line of shown(lines)) print(`  ${line}`);
}

function plural(count: number, word: string, many = `${word}s`): string {
  return `${count} ${count === 1 ? word : many}`;
}

function printStats(path: string, format: DatasetFormat, stats: DatasetStats): void {
  print(
    `${path}: ${format}, ${plural(stats.images, 'image')} in ${plural(stats.groups, 'group')}, ${plural(stats.boxes, 'box', 'boxes')}`,
  );
  if (stats.ignored > 0)
    print(`${plural(stats.ignored, 'crowd or ignore region', 'crowds and ignore regions')} besides`);
  print(`${plural(stats.imagesWithoutBox, 'image')} without a box\n`);
  const categories = stats.perCategory.map(({ name }) => name);
  print(
    table([
      ['split', 'images', 'groups', 'boxes', ...categories],
      ...stats.perSplit.map(({ split, images, groups, boxes, perCategory }) => [
        split,
        ...[images, groups, boxes, ...categories.map((name) => perCategory[name] ?? 0)].map(String),
      ]),
    ]),
  );
  if (!stats.relativeSide || !stats.sidePx) return;
  const percent = (values: Quantiles | null) => (values ?? []).map((value) => `${(100 * value).toFixed(1)} %`);
  print('\nSize of targets: square root of the share of the image that the box covers');
  print(
    table([
      ['', '10 %', '25 %', 'median', '75 %', '90 %'],
      ...stats.perCategory.map(({ name, relativeSide }) => [name, ...percent(relativeSide)]),
      ...(stats.perCategory.length > 1 ? [['all', ...percent(stats.relativeSide)]] : []),
      ['in pixels', ...stats.sidePx.map((value) => value.toFixed(0))],
    ]),
  );
  if (!stats.suggestion) return;
  const { imageSize, strides, reason } = stats.suggestion;
  print(`\nSuggested: imageSize: ${imageSize}, strides: [${strides.join(', ')}]`);
  print(reason);
}
