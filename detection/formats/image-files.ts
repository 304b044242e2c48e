/** Finds the image files that labels speak of, reads their sizes, and tells which images belong together. */

import type { Split } from '../types.ts';
import type { ReadLog } from './read-log.ts';
import type { DatasetFiles, ImageSize } from './types.ts';

const IMAGE_NAME = /\.(jpe?g|png|webp|bmp|tiff?|gif|avif)$/i;

export function isImageName(name: string): boolean {
  return IMAGE_NAME.test(name);
}

export function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

export function stem(name: string): string {
  return baseName(name).replace(/\.[^.]*$/, '');
}

/** With its slash; empty for a file at the top. */
export function folderOf(name: string): string {
  return name.slice(0, name.lastIndexOf('/') + 1);
}

/** The split that a name speaks of, as `instances_train2017.json`, `valid/` and `images/test/` do. */
export function splitInName(name: string): Split | null {
  const words = name.toLowerCase().split(/[^a-z]+/);
  for (const word of words) {
    if (word === 'train' || word === 'training') return 'train';
    if (word === 'val' || word === 'valid' || word === 'validation') return 'val';
    if (word === 'test' || word === 'testing') return 'test';
  }
  return null;
}

/** Looks files up by the last parts of their paths. */
export class ImageIndex {
  readonly #byBaseName = new Map<string, string[]>();

  constructor(names: readonly string[]) {
    for (const name of names) {
      if (!isImageName(name)) continue;
      const list = this.#byBaseName.get(baseName(name));
      if (list) list.push(name);
      else this.#byBaseName.set(baseName(name), [name]);
    }
  }

  /**
   * The file that a label calls `wanted`. Of several, the one nearest to `folder` or in a folder named after the split.
   * An array where that does not settle it: all that fit, none where there is none.
   */
  find(wanted: string, folder: string, split: Split | null): string | readonly string[] {
    const path = wanted.replaceAll('\\', '/').replace(/^\.\//, '');
    const fitting = (this.#byBaseName.get(baseName(path)) ?? []).filter(
      (name) => name === path || name.endsWith(`/${path}`),
    );
    if (fitting.length === 1) return fitting[0]!;
    const exact = fitting.filter((name) => name === path || name === folder + path);
    if (exact.length === 1) return exact[0]!;
    const ofSplit = fitting.filter((name) => split !== null && splitInName(folderOf(name)) === split);
    return ofSplit.length === 1 ? ofSplit[0]! : fitting;
  }
}

/** The image file, or null with the problem listed. */
export function findImage(
  index: ImageIndex,
  wanted: string,
  at: { file: string; place: string; split: Split | null },
  log: ReadLog,
): string | null {
  const found = index.find(wanted, folderOf(at.file), at.split);
  if (typeof found === 'string') return found;
  if (found.length === 0) {
    log.error(at.file, at.place, `Image "${wanted}" is not in the folder. Add the file, or remove its entry.`);
  } else {
    const some = found.slice(0, 3).join(', ');
    log.error(
      at.file,
      at.place,
      `Image "${wanted}" may be any of ${found.length} files (${some}). Write the folder into the name.`,
    );
  }
  return null;
}

/**
 * The size of an image file, which stands above what labels claim; null where it cannot be read.
 * A claim with the sides swapped is an error, because then the boxes belong to an image that was turned.
 */
export async function readImageSize(
  files: DatasetFiles,
  fileName: string,
  claimed: ImageSize | null,
  at: { file: string; place: string },
  log: ReadLog,
): Promise<ImageSize | null> {
  let size: ImageSize;
  try {
    const { width, height } = await files.imageSize(fileName);
    size = { width, height };
  } catch (error) {
    // image libraries repeat themselves on further lines
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0]!.replace(/\.$/, '');
    log.error(fileName, '', `Image cannot be read: ${reason}. Replace the file, or remove its entry in ${at.file}.`);
    return null;
  }
  if (!claimed || (claimed.width === size.width && claimed.height === size.height)) return size;
  const was = `${claimed.width} x ${claimed.height}`;
  const is = `${size.width} x ${size.height}`;
  if (claimed.width === size.height && claimed.height === size.width) {
    log.error(
      at.file,
      at.place,
      `Labels are for ${was} pixels, but ${fileName} has ${is} after EXIF rotation. Turn the image or the boxes.`,
    );
    return null;
  }
  log.coerced(at.file, at.place, 'image size differs from its file', was, is);
  return size;
}

/** Tells the group of an image: `field` reads a field of its entry, null where the format has no such fields. */
export class Grouping {
  readonly #groupBy: string | undefined;
  readonly #pattern: RegExp | null;
  readonly #log: ReadLog;
  readonly #without: string[] = [];
  #found = 0;

  constructor(groupBy: string | undefined, log: ReadLog) {
    this.#groupBy = groupBy === 'none' ? undefined : groupBy;
    this.#log = log;
    this.#pattern = groupBy?.includes('(') ? compilePattern(groupBy, log) : null;
  }

  groupOf(fileName: string, field: (name: string) => unknown): string {
    if (this.#groupBy === undefined) return fileName;
    let value: unknown;
    if (this.#pattern) value = this.#pattern.exec(fileName)?.[1];
    else if (this.#groupBy === 'folder') value = folderOf(fileName);
    else value = field(this.#groupBy);
    if ((typeof value === 'string' && value !== '') || typeof value === 'number') {
      this.#found++;
      return String(value);
    }
    // the top folder has no name, yet is a folder
    if (this.#groupBy === 'folder') return './';
    this.#without.push(fileName);
    return fileName;
  }

  /** Lists the images without a group; an error where none has one, since then the name must be wrong. */
  finish(): void {
    if (this.#groupBy === undefined || this.#without.length === 0) return;
    const { length } = this.#without;
    if (this.#found === 0) {
      this.#log.error(
        '',
        'groupBy',
        `No image has a group by "${this.#groupBy}". Name a field of the image entries, "folder", "none", or a regular expression over file names with one group, such as "^(.+)_[0-9]+".`,
      );
      return;
    }
    this.#log.warning(
      '',
      'groupBy',
      `${length} ${length === 1 ? 'image has' : 'images have'} no group by "${this.#groupBy}" (first: ${this.#without[0]}); each is a group of its own.`,
    );
  }
}

function compilePattern(source: string, log: ReadLog): RegExp | null {
  try {
    return new RegExp(source);
  } catch (error) {
    log.error(
      '',
      'groupBy',
      `"${source}" is no regular expression: ${error instanceof Error ? error.message : error}.`,
    );
    return null;
  }
}
