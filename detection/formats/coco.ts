/** COCO instances files: read with every change listed, and written. */

import { type Annotation, type Box, type Category, SPLITS, type Split } from '../types.ts';
import { tidy } from './coco-results.ts';
import { baseName, findImage, Grouping, ImageIndex, readImageSize, splitInName } from './image-files.ts';
import { isObject, type JsonObject, JsonSyntaxError, parseJson, quote } from './json.ts';
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
import { inReadingOrder, splitsIn } from './write.ts';

/** `annotations/instances_train.json` and the like; else any JSON in `annotations/`, beside the images or at the top. */
export function cocoFiles(names: readonly string[]): string[] {
  const json = names.filter((name) => name.toLowerCase().endsWith('.json'));
  const instances = json.filter((name) => /^instances?_|_annotations\.coco\.json$/i.test(baseName(name)));
  if (instances.length > 0) return instances.sort();
  const inFolder = json.filter((name) => /(^|\/)annotations\//i.test(name));
  return (inFolder.length > 0 ? inFolder : json.filter((name) => !name.includes('/'))).sort();
}

interface Source {
  readonly file: string;
  readonly split: Split | null;
  readonly root: JsonObject;
}

export async function readCoco(files: DatasetFiles, options: ReadOptions = {}): Promise<ReadDataset> {
  const log = new ReadLog();
  const names = cocoFiles(files.list());
  if (names.length === 0) {
    log.error('', 'annotations', 'No COCO file is here; expected annotations/instances_train.json or another .json.');
  }
  const sources: Source[] = [];
  for (const file of names) {
    const root = await readInstances(files, file, log);
    if (root) sources.push({ file, split: splitInName(baseName(file)) ?? splitInName(file), root });
  }

  // the first file keeps its ids, and train is the one that people look things up in
  const rank = (split: Split | null): number => (split === null ? SPLITS.length : SPLITS.indexOf(split));
  sources.sort((a, b) => rank(a.split) - rank(b.split));

  const categories = mergeCategories(sources, log);
  const labelled = sources.find(({ root }) => entries(root, 'annotations').length > 0);
  if (categories.list.length === 0 && labelled !== undefined) {
    const count = entries(labelled.root, 'annotations').length;
    const message = `There are no categories, but ${count} annotations of them. Add each with its id and name.`;
    log.error(labelled.file, 'categories', message);
  }
  const imageIds = new IdMap('images', sources, log);
  const annotationIds = new IdMap('annotations', sources, log);
  const index = new ImageIndex(files.list());
  const grouping = new Grouping(options.groupBy, log);
  const images: ReadImage[] = [];
  const annotations: Annotation[] = [];
  const fileOf = new Map<string, string>();

  for (const [s, source] of sources.entries()) {
    const { file, split } = source;
    const ownImages = new Map<unknown, ReadImage | null>();
    for (const [i, entry] of entries(source.root, 'images').entries()) {
      const place = `images[${i}]`;
      if (!isObject(entry) || typeof entry.file_name !== 'string') {
        log.error(file, place, `Expected an object with id and file_name, found ${quote(entry)}.`);
        continue;
      }
      if (ownImages.has(entry.id)) {
        log.error(file, `${place}.id`, `Image id ${quote(entry.id)} stands twice in this file. Ids must be unique.`);
        continue;
      }
      ownImages.set(entry.id, null);
      const fileName = findImage(index, entry.file_name, { file, place: `${place}.file_name`, split }, log);
      if (fileName === null) continue;
      const other = fileOf.get(fileName);
      if (other !== undefined) {
        log.error(file, place, `Image ${fileName} stands here and at ${other}. Remove one entry.`);
        continue;
      }
      fileOf.set(fileName, `${file} ${place}`);
      const size = await readImageSize(files, fileName, claimedSize(entry), { file, place }, log);
      if (!size) continue;
      const group = grouping.groupOf(fileName, (field) => entry[field]);
      const image = { id: imageIds.get(s, i), fileName, ...size, split, group };
      ownImages.set(entry.id, image);
      images.push(image);
    }

    for (const [i, entry] of entries(source.root, 'annotations').entries()) {
      const place = `annotations[${i}]`;
      if (!isObject(entry)) {
        log.error(file, place, `Expected an object, found ${quote(entry)}.`);
        continue;
      }
      const image = ownImages.get(entry.image_id);
      if (image === undefined) {
        log.error(file, `${place}.image_id`, `Image ${quote(entry.image_id)} is not in this file.`);
        continue;
      }
      const categoryId = categories.idOf(s, entry.category_id);
      // without any category all annotations have the same fault, and it was reported once
      if (categoryId === undefined && categories.list.length > 0) {
        log.error(
          file,
          `${place}.category_id`,
          `Category ${quote(entry.category_id)} is unknown; known are ${categories.list.map(({ id, name }) => `${id} ${name}`).join(', ')}.`,
        );
      }
      // the image's own fault is reported already
      if (image === null) continue;
      const read = readBox(entry, file, place, image, log);
      if (!read || categoryId === undefined) continue;
      annotations.push({
        id: String(annotationIds.get(s, i)),
        imageId: image.id,
        categoryId,
        box: read.box,
        ...(entry.iscrowd ? { crowd: true } : {}),
        ...(entry.ignore ? { ignore: true } : {}),
        ...(read.area === undefined ? {} : { area: read.area }),
      });
    }
  }
  grouping.finish();
  const splits = splitsIn(sources.map(({ split }) => split));
  checkSplits(images, splits, log);
  return { format: 'coco', categories: categories.list, ...inReadingOrder(images, annotations), splits, ...log };
}

/** One instances file a split, images under their own names; `photo` is the group. */
export function writeCoco(dataset: WritableDataset): WrittenDataset {
  const ids = new Map<string, number>();
  // ids that are numbers stay, so that a correction can be followed through a round trip
  const numeric = dataset.annotations.every(({ id }) => /^[1-9][0-9]{0,14}$/.test(id));
  dataset.annotations.forEach(({ id }, i) => {
    ids.set(id, numeric ? Number(id) : i + 1);
  });
  const splits = new Set(dataset.images.map(({ split }) => split));
  const files = [...splits].map((split) => {
    const images = dataset.images.filter((image) => image.split === split);
    const own = new Set(images.map(({ id }) => id));
    const json = {
      images: images.map(({ id, fileName, width, height, group }) => ({
        id,
        file_name: fileName.replace(/^images\//, ''),
        width,
        height,
        photo: group,
      })),
      annotations: dataset.annotations
        .filter(({ imageId }) => own.has(imageId))
        .map((annotation) => {
          const [x1, y1, x2, y2] = annotation.box;
          const [width, height] = [tidy(x2 - x1), tidy(y2 - y1)];
          return {
            id: ids.get(annotation.id),
            image_id: annotation.imageId,
            category_id: annotation.categoryId,
            bbox: [x1, y1, width, height],
            area: annotation.area ?? width * height,
            iscrowd: annotation.crowd ? 1 : 0,
            ...(annotation.ignore ? { ignore: 1 } : {}),
          };
        }),
      categories: dataset.categories.map(({ id, name }) => ({ id, name })),
    };
    return { name: `annotations/instances_${split ?? 'default'}.json`, text: `${JSON.stringify(json, null, 1)}\n` };
  });
  return {
    files,
    images: dataset.images.map(({ fileName }) => ({
      from: fileName,
      to: `images/${fileName.replace(/^images\//, '')}`,
    })),
    coercions:
      numeric || dataset.annotations.length === 0
        ? []
        : [
            {
              file: 'annotations',
              place: 'annotations[].id',
              what: 'ids that are no numbers renumbered',
              was: dataset.annotations[0]!.id,
              became: '1',
            },
          ],
  };
}

async function readInstances(files: DatasetFiles, file: string, log: ReadLog): Promise<JsonObject | null> {
  let json: unknown;
  try {
    json = parseJson(await files.readText(file));
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    log.error(file, '', `File ${error.message}.`);
    return null;
  }
  const missing = isObject(json)
    ? ['images', 'annotations', 'categories'].filter((key) => !Array.isArray((json as JsonObject)[key]))
    : ['images', 'annotations', 'categories'];
  if (missing.length === 0) return json as JsonObject;
  log.error(file, '', `Expected COCO instances; there is no array ${missing.map((key) => `"${key}"`).join(', ')}.`);
  return null;
}

function entries(root: JsonObject, key: string): readonly unknown[] {
  return root[key] as readonly unknown[];
}

function claimedSize({ width, height }: JsonObject): ImageSize | null {
  return typeof width === 'number' && typeof height === 'number' && width > 0 && height > 0 ? { width, height } : null;
}

function readBox(
  entry: JsonObject,
  file: string,
  place: string,
  image: ImageSize,
  log: ReadLog,
): { box: Box; area: number | undefined } | null {
  const { bbox, area } = entry;
  if (!Array.isArray(bbox) || bbox.length !== 4 || !bbox.every((edge) => typeof edge === 'number')) {
    log.error(file, `${place}.bbox`, `Expected [x, y, width, height] in finite numbers, found ${quote(bbox)}.`);
    return null;
  }
  const [x, y, width, height] = bbox as [number, number, number, number];
  // by the sizes themselves: 0.3 + 0.1 - 0.3 is no longer 0.1, nor is 1e17 + 1 more than 1e17
  if (width === 0 || height === 0) {
    log.coerced(file, `${place}.bbox`, 'box without area', `[${bbox.join(', ')}]`, 'dropped');
    return null;
  }
  const whole: Box = [x, y, x + width, y + height];
  const box = log.acceptBox(file, `${place}.bbox`, whole, image);
  if (!box) return null;
  // a segment's area counts in AP by size; what only rounds the box's own area is no news
  const own = width * height;
  const isSegments = typeof area === 'number' && area > 0 && Math.abs(area - own) > 0.005 * own;
  return { box, area: isSegments ? area : undefined };
}

/** Categories of all files as one list: positive ids stay, one name is one category. */
function mergeCategories(
  sources: readonly Source[],
  log: ReadLog,
): { list: readonly Category[]; idOf: (source: number, given: unknown) => number | undefined } {
  const idByName = new Map<string, number>();
  const nameById = new Map<number, string>();
  const maps = sources.map(() => new Map<unknown, number>());
  const highest = Math.max(
    0,
    ...sources.flatMap(({ root }) => entries(root, 'categories').map((entry) => idNumber(entry) ?? 0)),
  );
  let free = highest;
  for (const [s, { file, root }] of sources.entries()) {
    for (const [i, entry] of entries(root, 'categories').entries()) {
      const place = `categories[${i}]`;
      if (!isObject(entry) || typeof entry.name !== 'string' || entry.name === '') {
        log.error(file, place, `Expected {id, name}, found ${quote(entry)}.`);
        continue;
      }
      if (maps[s]!.has(entry.id)) {
        log.error(file, `${place}.id`, `Category id ${quote(entry.id)} stands twice. Ids must be unique.`);
        continue;
      }
      const given = idNumber(entry);
      let id = idByName.get(entry.name);
      if (id === undefined) {
        id = given !== null && !nameById.has(given) ? given : ++free;
        idByName.set(entry.name, id);
        nameById.set(id, entry.name);
      }
      if (id !== entry.id) {
        log.coerced(file, `${place}.id`, `id of category "${entry.name}" renumbered`, quote(entry.id), String(id));
      }
      maps[s]!.set(entry.id, id);
    }
  }
  const list = [...nameById].map(([id, name]) => ({ id, name })).sort((a, b) => a.id - b.id);
  return { list, idOf: (source, given) => maps[source]!.get(given) };
}

/** The id where it is one that can stay: positive, and small enough for the Int32Arrays of detections. */
function idNumber(entry: unknown): number | null {
  const id = isObject(entry) ? entry.id : undefined;
  return typeof id === 'number' && Number.isInteger(id) && id > 0 && id < 2 ** 31 ? id : null;
}

/**
 * Ids of images or annotations over all files. Those that are positive and unique stay; a file whose ids occur in an
 * earlier one is moved up as a whole, so that the old ids can still be told; an id that cannot stay gets a free one.
 */
class IdMap {
  readonly #ids: number[][] = [];

  constructor(key: 'images' | 'annotations', sources: readonly Source[], log: ReadLog) {
    const used = new Set<number>();
    let highest = 0;
    for (const { file, root } of sources) {
      const given = entries(root, key).map(idNumber);
      const valid = given.filter((id) => id !== null);
      const clash = valid.find((id) => used.has(id));
      const offset = clash === undefined ? 0 : highest;
      const fits = Math.max(0, ...valid) + offset < 2 ** 31;
      let free = Math.max(highest, ...valid.map((id) => id + offset), 0);
      let renumbered = 0;
      let first: { place: string; was: string; became: string } | undefined;
      const ids = given.map((id, i) => {
        if (id !== null && fits) return id + offset;
        renumbered++;
        free = fits ? free + 1 : highest + i + 1;
        const entry = entries(root, key)[i];
        first ??= {
          place: `${key}[${i}].id`,
          was: isObject(entry) ? quote(entry.id) : 'nothing',
          became: String(free),
        };
        return free;
      });
      for (const id of ids) {
        used.add(id);
        highest = Math.max(highest, id);
      }
      this.#ids.push(ids);
      if (offset > 0 && fits) {
        log.coerced(
          file,
          `${key}[].id`,
          `ids that another file uses too renumbered (all ${ids.length})`,
          String(clash),
          String(clash! + offset),
        );
      }
      if (first) {
        log.coerced(
          file,
          first.place,
          `${renumbered === 1 ? 'id' : `${renumbered} ids`} renumbered`,
          first.was,
          first.became,
        );
      }
    }
  }

  get(source: number, index: number): number {
    return this.#ids[source]![index]!;
  }
}
