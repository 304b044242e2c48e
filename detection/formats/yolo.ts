/** YOLO as Ultralytics lays it out: data.yaml, images/, labels/ with `class cx cy w h` in shares of the image. */

import { parse as parseYaml } from 'yaml';
import { cxcywhToXyxy, xyxyToCxcywh } from '../box.ts';
import { type Annotation, type Box, type Category, SPLITS, type Split } from '../types.ts';
import { baseName, folderOf, Grouping, isImageName, readImageSize, splitInName, stem } from './image-files.ts';
import { isObject, quote } from './json.ts';
import { ReadLog } from './read-log.ts';
import { checkSplits } from './splits.ts';
import type {
  DatasetFiles,
  ImageSize,
  ReadDataset,
  ReadImage,
  ReadOptions,
  WritableDataset,
  WrittenDataset,
} from './types.ts';
import { extension, uniqueStems } from './voc.ts';
import { inReadingOrder, splitsIn } from './write.ts';

/** Label files: text in a folder `labels`. */
export function yoloLabels(names: readonly string[]): string[] {
  return names.filter((name) => /(^|\/)labels\/.*\.txt$/.test(name)).sort();
}

export async function readYolo(files: DatasetFiles, options: ReadOptions = {}): Promise<ReadDataset> {
  const log = new ReadLog();
  const names = files.list();
  const { configFile, config } = await readConfig(files, log);
  const categoryNames = await readCategoryNames(files, configFile, config, log);
  const categories: Category[] = [...categoryNames].map(([index, name]) => ({ id: index + 1, name }));
  if (categories.length > 0) {
    log.coerced(configFile, 'names', 'category ids begin at 1', '0', '1');
  }

  const splitOf = await findImages(files, configFile, config, log);
  const labelFiles = new Set(yoloLabels(names));
  const used = new Set<string>();
  const grouping = new Grouping(options.groupBy, log);
  const images: ReadImage[] = [];
  const annotations: Annotation[] = [];
  for (const fileName of [...splitOf.keys()].sort()) {
    const labelFile = labelFileOf(fileName);
    used.add(labelFile);
    const size = await readImageSize(files, fileName, null, { file: labelFile, place: '' }, log);
    if (!size) continue;
    const id = images.length + 1;
    const group = grouping.groupOf(fileName, () => undefined);
    images.push({ id, fileName, ...size, split: splitOf.get(fileName) ?? null, group });
    // an image without a label file shows background only
    if (!labelFiles.has(labelFile)) continue;
    const lines = (await files.readText(labelFile)).split(/\r?\n/);
    for (const [i, line] of lines.entries()) {
      if (line.trim() === '') continue;
      const place = `line ${i + 1}`;
      const read = readLine(line, categoryNames, size, labelFile, place, log);
      if (read) annotations.push({ id: `${labelFile.replace(/\.txt$/, '')}-${i + 1}`, imageId: id, ...read });
    }
  }
  const stray = [...labelFiles].filter((name) => !used.has(name));
  if (stray.length > 0) {
    log.warning(
      stray[0]!,
      '',
      `${stray.length} label ${stray.length === 1 ? 'file has' : 'files have'} no image in a split, and ${stray.length === 1 ? 'is' : 'are'} left out (this is the first).`,
    );
  }
  grouping.finish();
  const splits = splitsIn(config ? SPLITS.filter((split) => splitKey(config, split) !== undefined) : splitOf.values());
  checkSplits(images, splits, log);
  return { format: 'yolo', categories, ...inReadingOrder(images, annotations), splits, ...log };
}

/** Class numbers are places in the list of categories; crowds and ignore regions have no words here and are left out. */
export function writeYolo(dataset: WritableDataset): WrittenDataset {
  const stems = uniqueStems(dataset.images.map(({ fileName }) => fileName));
  const classOf = new Map(dataset.categories.map(({ id }, i) => [id, i]));
  const folder = (split: Split | null) => split ?? 'train';
  const dropped = dataset.annotations.filter(({ crowd, ignore }) => crowd || ignore);
  const labels = dataset.images.map((image, i) => ({
    name: `labels/${folder(image.split)}/${stems[i]}.txt`,
    text: dataset.annotations
      .filter(({ imageId, crowd, ignore }) => imageId === image.id && !crowd && !ignore)
      .map(({ box, categoryId }) => {
        const [cx, cy, width, height] = xyxyToCxcywh(box);
        const shares = [cx / image.width, cy / image.height, width / image.width, height / image.height];
        return `${[classOf.get(categoryId), ...shares.map((share) => Number(share.toFixed(9)))].join(' ')}\n`;
      })
      .join(''),
  }));
  const splits = new Set(dataset.images.map(({ split }) => folder(split)));
  const yaml = [
    ...SPLITS.filter((split) => splits.has(split)).map((split) => `${split}: images/${split}`),
    'names:',
    ...dataset.categories.map(({ name }, i) => `  ${i}: ${JSON.stringify(name)}`),
    '',
  ].join('\n');
  return {
    files: [{ name: 'data.yaml', text: yaml }, ...labels],
    images: dataset.images.map(({ fileName, split }, i) => ({
      from: fileName,
      to: `images/${folder(split)}/${stems[i]}${extension(fileName)}`,
    })),
    coercions: dropped.map(({ id, imageId, crowd }) => ({
      file: dataset.images.find((image) => image.id === imageId)?.fileName ?? '',
      place: `annotation ${id}`,
      what: 'YOLO has neither crowds nor ignore regions',
      was: crowd ? 'crowd' : 'ignore',
      became: 'dropped',
    })),
  };
}

type Config = { readonly [key: string]: unknown };

async function readConfig(files: DatasetFiles, log: ReadLog): Promise<{ configFile: string; config: Config | null }> {
  const yaml = files.list().filter((name) => /^[^/]*\.ya?ml$/.test(name));
  const configFile = yaml.find((name) => /^data\.ya?ml$/.test(name)) ?? yaml.sort()[0];
  if (configFile === undefined) return { configFile: 'data.yaml', config: null };
  try {
    const config: unknown = parseYaml(await files.readText(configFile));
    if (isObject(config)) return { configFile, config };
    log.error(configFile, '', `Expected a mapping with train, val and names, found ${quote(config)}.`);
  } catch (error) {
    log.error(configFile, '', `File is not YAML: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
  }
  return { configFile, config: null };
}

/** Names by class number, from data.yaml (a list or a mapping), else from classes.txt. */
async function readCategoryNames(
  files: DatasetFiles,
  configFile: string,
  config: Config | null,
  log: ReadLog,
): Promise<Map<number, string>> {
  const names = config?.names;
  if (Array.isArray(names)) return new Map(names.map((name, i) => [i, String(name)]));
  if (isObject(names)) {
    const entries = Object.entries(names).map(([key, name]) => [Number(key), String(name)] as const);
    const wrong = entries.findIndex(([index]) => !Number.isInteger(index) || index < 0);
    if (wrong < 0) return new Map(entries.sort(([a], [b]) => a - b));
    log.error(configFile, 'names', `Expected class numbers from 0, found "${Object.keys(names)[wrong]}".`);
    return new Map();
  }
  const list = files.list().find((name) => /(^|\/)classes\.txt$/.test(name));
  if (list !== undefined) {
    const lines = (await files.readText(list)).split(/\r?\n/).map((line) => line.trim());
    return new Map(lines.filter((line) => line !== '').map((line, i) => [i, line]));
  }
  log.error(configFile, 'names', 'The categories have no names. Write data.yaml with names: [first, second].');
  return new Map();
}

/** `valid` is what some exports write for `val`. */
function splitKey(config: Config, split: Split): unknown {
  return config[split] ?? (split === 'val' ? config.valid : undefined);
}

/** The images of each split: those that data.yaml names, else all that lie beside labels, by their folder. */
async function findImages(
  files: DatasetFiles,
  configFile: string,
  config: Config | null,
  log: ReadLog,
): Promise<Map<string, Split | null>> {
  const names = files.list();
  const images = names.filter(isImageName);
  const splitOf = new Map<string, Split | null>();
  const named = config ? SPLITS.filter((split) => splitKey(config, split) !== undefined) : [];
  if (!config || named.length === 0) {
    for (const name of images) splitOf.set(name, splitInName(folderOf(name)));
    return splitOf;
  }
  for (const split of named) {
    const value = splitKey(config, split);
    for (const source of Array.isArray(value) ? value : [value]) {
      if (source === null) continue;
      if (typeof source !== 'string') {
        log.error(configFile, split, `Expected a folder or a list of images, found ${quote(source)}.`);
        continue;
      }
      for (const name of await imagesOf(files, images, source, config, { configFile, split }, log)) {
        const other = splitOf.get(name);
        if (other !== undefined && other !== split) {
          log.error(configFile, split, `Image ${name} is in split "${split}" and in "${other}". Keep one of them.`);
        } else splitOf.set(name, split);
      }
    }
  }
  return splitOf;
}

async function imagesOf(
  files: DatasetFiles,
  images: readonly string[],
  source: string,
  config: Config,
  at: { configFile: string; split: Split },
  log: ReadLog,
): Promise<readonly string[]> {
  const names = new Set(files.list());
  // `path` and leading ../ lead to where the set once lay; only their ends can be found here
  const tails = pathTails(typeof config.path === 'string' ? `${config.path}/${source}` : source);
  if (source.endsWith('.txt')) {
    const list = [...pathTails(source), ...tails].find((tail) => names.has(tail));
    if (list === undefined) {
      log.error(at.configFile, at.split, `List "${source}" is not in the folder. Correct the path.`);
      return [];
    }
    const found: string[] = [];
    const lines = (await files.readText(list)).split(/\r?\n/);
    for (const [i, line] of lines.entries()) {
      if (line.trim() === '') continue;
      const image = pathTails(line.trim()).find((tail) => names.has(tail));
      if (image !== undefined) found.push(image);
      else log.error(list, `line ${i + 1}`, `Image "${line.trim()}" is not in the folder. Add it, or remove the line.`);
    }
    return found;
  }
  for (const folder of [...pathTails(source), ...tails]) {
    const found = folder === '' ? images : images.filter((name) => name.startsWith(`${folder}/`));
    if (found.length > 0) return found;
  }
  log.error(at.configFile, at.split, `Folder "${source}" holds no image. Correct the path, or remove the split.`);
  return [];
}

/** The path without 0, 1, 2 ... of its first parts: `../set/images/val` gives set/images/val, images/val, val. */
function pathTails(path: string): string[] {
  const parts = path.split(/[/\\]/).filter((part) => part !== '' && part !== '.' && part !== '..');
  if (parts.length === 0) return [''];
  return parts.map((_, i) => parts.slice(i).join('/'));
}

/** The last folder `images` becomes `labels`, as Ultralytics does. */
function labelFileOf(image: string): string {
  const swapped = image.replace(
    /^(.*\/)?images\/(?!.*\/images\/)/,
    (_, before: string | undefined) => `${before ?? ''}labels/`,
  );
  return `${folderOf(swapped)}${stem(baseName(swapped))}.txt`;
}

function readLine(
  line: string,
  categoryNames: ReadonlyMap<number, string>,
  image: ImageSize,
  file: string,
  place: string,
  log: ReadLog,
): { categoryId: number; box: Box } | null {
  const values = line.trim().split(/\s+/).map(Number);
  const [index, ...shares] = values;
  const isPolygon = shares.length >= 6 && shares.length % 2 === 0;
  if (shares.length !== 4 && !isPolygon) {
    log.error(file, place, `Expected "class cx cy width height", found ${quote(line.trim())}.`);
    return null;
  }
  const known = index !== undefined && categoryNames.has(index);
  // without any name all lines have the same fault, and it was reported once
  if (!known && categoryNames.size > 0) {
    const all = [...categoryNames].map(([i, name]) => `${i} ${name}`).join(', ');
    log.error(file, place, `Category ${quote(line.trim().split(/\s+/)[0])} is unknown; known are ${all}.`);
  }
  let box: Box;
  if (isPolygon) {
    const xs = shares.filter((_, i) => i % 2 === 0);
    const ys = shares.filter((_, i) => i % 2 === 1);
    box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    log.coerced(file, place, 'polygon', `${xs.length} corners`, 'the box around it');
  } else {
    box = cxcywhToXyxy(shares as unknown as [number, number, number, number]);
    if (shares[2] === 0 || shares[3] === 0) {
      log.coerced(file, place, 'box without area', line.trim(), 'dropped');
      return null;
    }
  }
  const pixels: Box = [box[0] * image.width, box[1] * image.height, box[2] * image.width, box[3] * image.height];
  const accepted = log.acceptBox(file, place, pixels, image);
  return accepted && known ? { categoryId: index + 1, box: accepted } : null;
}
