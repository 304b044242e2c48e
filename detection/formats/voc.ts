/** Pascal VOC: one XML file an image, splits as lists of names. */

import { XMLParser, XMLValidator } from 'fast-xml-parser';
import type { Annotation, Box, Split } from '../types.ts';
import { baseName, findImage, folderOf, Grouping, ImageIndex, readImageSize, stem } from './image-files.ts';
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

/** XML files in `Annotations/` folders, sorted. */
export function vocFiles(names: readonly string[]): string[] {
  return names.filter((name) => /(^|\/)annotations\/[^/]*\.xml$/i.test(name)).sort();
}

/** Entities are never expanded: a DOCTYPE is refused, and the five that XML always has are decoded here. */
const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  processEntities: false,
  isArray: (name) => name === 'object',
});

interface Entry {
  readonly file: string;
  readonly root: XmlNode;
  readonly split: Split | null;
}

type XmlNode = { readonly [tag: string]: unknown };

export async function readVoc(files: DatasetFiles, options: ReadOptions = {}): Promise<ReadDataset> {
  const log = new ReadLog();
  const names = files.list();
  const xmlFiles = vocFiles(names);
  if (xmlFiles.length === 0) log.error('', 'Annotations', 'No XML file is in a folder Annotations.');
  const { splitOf, splits } = await readImageSets(files, xmlFiles, log);

  const entries: Entry[] = [];
  const unlisted: string[] = [];
  for (const file of xmlFiles) {
    const split = splitOf.get(file) ?? null;
    if (split === null && splits.length > 0) {
      unlisted.push(file);
      continue;
    }
    const root = await readXml(files, file, log);
    if (root) entries.push({ file, root, split });
  }
  if (unlisted.length > 0) {
    log.warning(
      unlisted[0]!,
      '',
      `${unlisted.length} ${unlisted.length === 1 ? 'file is' : 'files are'} in no list of ImageSets/Main, and left out (this is the first).`,
    );
  }

  // in order of name, so that ids hang neither on the order of files nor on what was drawn first
  const categoryNames = new Set<string>();
  for (const { root } of entries) for (const object of objectsOf(root)) categoryNames.add(textOf(object.name) ?? '');
  categoryNames.delete('');
  const categories = [...categoryNames].sort().map((name, i) => ({ id: i + 1, name }));
  const categoryIds = new Map(categories.map(({ id, name }) => [name, id]));

  const index = new ImageIndex(names);
  const grouping = new Grouping(options.groupBy, log);
  const images: ReadImage[] = [];
  const annotations: Annotation[] = [];
  for (const { file, root, split } of entries) {
    const fileName = findVocImage(index, file, root, split, log);
    if (fileName === null) continue;
    const size = await readImageSize(files, fileName, claimedSize(root), { file, place: 'size' }, log);
    if (!size) continue;
    const id = images.length + 1;
    const group = grouping.groupOf(fileName, (field) => textOf(root[field]));
    images.push({ id, fileName, ...size, split, group });
    for (const [i, object] of objectsOf(root).entries()) {
      const place = `object[${i}]`;
      const name = textOf(object.name);
      const categoryId = name === undefined ? undefined : categoryIds.get(name);
      if (categoryId === undefined) log.error(file, `${place}.name`, 'The object has no name; expected its category.');
      const box = readBox(object, file, place, size, log);
      if (!box || categoryId === undefined) continue;
      annotations.push({
        id: `${stem(file)}-${i + 1}`,
        imageId: id,
        categoryId,
        box,
        ...(textOf(object.difficult) === '1' ? { ignore: true } : {}),
      });
    }
  }
  grouping.finish();
  checkSplits(images, splits, log);
  return { format: 'voc', categories, ...inReadingOrder(images, annotations), splits, ...log };
}

/** Splits become lists in ImageSets/Main; a crowd becomes difficult, as `ignore` is. */
export function writeVoc(dataset: WritableDataset): WrittenDataset {
  const stems = uniqueStems(dataset.images.map(({ fileName }) => fileName));
  const categoryName = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  const crowds = dataset.annotations.filter(({ crowd }) => crowd);
  const files = dataset.images.map((image, i) => {
    const objects = dataset.annotations
      .filter(({ imageId }) => imageId === image.id)
      .map(({ box, categoryId, ignore, crowd }) =>
        [
          '\t<object>',
          `\t\t<name>${escapeXml(categoryName.get(categoryId) ?? '')}</name>`,
          `\t\t<difficult>${ignore || crowd ? 1 : 0}</difficult>`,
          '\t\t<bndbox>',
          ...['xmin', 'ymin', 'xmax', 'ymax'].map((tag, edge) => `\t\t\t<${tag}>${box[edge]}</${tag}>`),
          '\t\t</bndbox>',
          '\t</object>\n',
        ].join('\n'),
      );
    const size = `\t<size>\n\t\t<width>${image.width}</width>\n\t\t<height>${image.height}</height>\n\t\t<depth>3</depth>\n\t</size>\n`;
    const filename = escapeXml(stems[i]! + extension(image.fileName));
    return {
      name: `Annotations/${stems[i]}.xml`,
      text: `<annotation>\n\t<filename>${filename}</filename>\n${size}${objects.join('')}</annotation>\n`,
    };
  });
  const lists = splitsIn(dataset.images.map(({ split }) => split)).map((split) => ({
    name: `ImageSets/Main/${split}.txt`,
    text: dataset.images.map((image, i) => (image.split === split ? `${stems[i]}\n` : '')).join(''),
  }));
  return {
    files: [...files, ...lists],
    images: dataset.images.map(({ fileName }, i) => ({
      from: fileName,
      to: `JPEGImages/${stems[i]}${extension(fileName)}`,
    })),
    coercions: crowds.map(({ id, imageId }) => ({
      file: dataset.images.find((image) => image.id === imageId)?.fileName ?? '',
      place: `annotation ${id}`,
      what: 'VOC has no crowds',
      was: 'crowd',
      became: 'difficult',
    })),
  };
}

/** The split of each XML file by ImageSets/Main/{train,val,test}.txt; `trainval` only where neither of its parts is there. */
async function readImageSets(
  files: DatasetFiles,
  xmlFiles: readonly string[],
  log: ReadLog,
): Promise<{ splitOf: Map<string, Split>; splits: Split[] }> {
  const names = files.list();
  const lists = names.filter((name) => /(^|\/)ImageSets\/Main\/(train|val|test|trainval)\.txt$/i.test(name)).sort();
  const splitOf = new Map<string, Split>();
  const splits: Split[] = [];
  for (const list of lists) {
    const base = list.replace(/ImageSets\/Main\/[^/]*$/i, '');
    const word = stem(list).toLowerCase();
    const parts = lists.filter((name) => name.startsWith(base) && /^(train|val)$/i.test(stem(name)));
    if (word === 'trainval' && parts.length > 0) continue;
    const split: Split = word === 'trainval' ? 'train' : (word as Split);
    splits.push(split);
    const known = new Map(
      xmlFiles
        .filter((name) => folderOf(name).toLowerCase() === `${base}annotations/`.toLowerCase())
        .map((name) => [stem(name), name]),
    );
    const lines = (await files.readText(list)).split(/\r?\n/);
    for (const [i, line] of lines.entries()) {
      const name = line.trim().split(/\s+/)[0]!;
      if (name === '') continue;
      const place = `line ${i + 1}`;
      const xml = known.get(name);
      if (xml === undefined) {
        log.error(list, place, `"${name}" has no file ${base}Annotations/${name}.xml. Add it, or remove the line.`);
        continue;
      }
      const other = splitOf.get(xml);
      if (other !== undefined && other !== split) {
        log.error(list, place, `"${name}" is in split "${split}" and in "${other}". Keep one of them.`);
        continue;
      }
      splitOf.set(xml, split);
    }
  }
  return { splitOf, splits: splitsIn(splits) };
}

async function readXml(files: DatasetFiles, file: string, log: ReadLog): Promise<XmlNode | null> {
  const text = await files.readText(file);
  if (/<!\s*(DOCTYPE|ENTITY)/i.test(text)) {
    log.error(file, '', 'File has a DOCTYPE, which annotations do not need and which can hide other text. Remove it.');
    return null;
  }
  const valid = XMLValidator.validate(text);
  if (valid !== true) {
    const { msg, line, col } = valid.err;
    log.error(file, `line ${line}, column ${col}`, `File is not XML: ${msg}`);
    return null;
  }
  const root: unknown = (parser.parse(text) as XmlNode).annotation;
  if (isNode(root)) return root;
  log.error(file, '', 'Expected an element <annotation> with <filename>, <size> and <object>.');
  return null;
}

/** By the file name in the XML, else by the name of the XML itself. */
function findVocImage(
  index: ImageIndex,
  file: string,
  root: XmlNode,
  split: Split | null,
  log: ReadLog,
): string | null {
  const named = textOf(root.filename);
  const folder = folderOf(file).replace(/annotations\/$/i, 'JPEGImages/');
  const stems = ['.jpg', '.jpeg', '.png', '.JPG', '.JPEG', '.PNG', '.bmp', '.webp'].map((end) => stem(file) + end);
  for (const wanted of named === undefined ? stems : [named, ...stems]) {
    const found = index.find(wanted, folder, split);
    if (typeof found !== 'string') continue;
    if (named !== undefined && wanted !== named) {
      log.coerced(file, 'filename', 'image file found by the name of the XML file', named, baseName(found));
    }
    return found;
  }
  return findImage(index, named ?? stems[0]!, { file, place: 'filename', split }, log);
}

function claimedSize(root: XmlNode): ImageSize | null {
  const size = isNode(root.size) ? root.size : {};
  const width = Number(textOf(size.width));
  const height = Number(textOf(size.height));
  // 0 x 0 is what some tools write where they did not look
  return width > 0 && height > 0 ? { width, height } : null;
}

/**
 * xmin, ymin, xmax, ymax as edges. The devkit means pixels that both belong to the box, counted from 1, but the tools
 * that write VOC today write edges; the difference is at most a pixel.
 */
function readBox(object: XmlNode, file: string, place: string, image: ImageSize, log: ReadLog): Box | null {
  const bndbox = isNode(object.bndbox) ? object.bndbox : {};
  const edges = ['xmin', 'ymin', 'xmax', 'ymax'].map((tag) => {
    const text = textOf(bndbox[tag]);
    return text === undefined || text === '' ? Number.NaN : Number(text);
  });
  return log.acceptBox(file, `${place}.bndbox`, edges as unknown as Box, image);
}

function objectsOf(root: XmlNode): readonly XmlNode[] {
  return Array.isArray(root.object) ? root.object.filter(isNode) : [];
}

function isNode(value: unknown): value is XmlNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? unescapeXml(value.trim()) : undefined;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

function unescapeXml(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => ENTITIES[name]!);
}

function escapeXml(text: string): string {
  return text.replace(/[<>&]/g, (character) => ({ '<': '&lt;', '>': '&gt;' })[character] ?? '&amp;');
}

export function extension(name: string): string {
  return baseName(name).slice(stem(name).length);
}

/** Names without folder and ending; with the folder in them where two would be the same. */
export function uniqueStems(fileNames: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of fileNames) counts.set(stem(name), (counts.get(stem(name)) ?? 0) + 1);
  return fileNames.map((name) =>
    counts.get(stem(name)) === 1 ? stem(name) : name.replaceAll('/', '_').replace(/\.([^.]*)$/, '_$1'),
  );
}
