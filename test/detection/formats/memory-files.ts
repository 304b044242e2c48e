/** A dataset folder that stands in the test. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { DatasetFiles, ImageSize } from '../../../detection/formats/types.ts';

/** Texts by name; an image is given by its size, or by null where it cannot be read. */
export function memoryFiles(content: Readonly<Record<string, string | ImageSize | null>>): DatasetFiles {
  return {
    list: () => Object.keys(content).sort(),
    readText: async (name) => {
      const text = content[name];
      if (typeof text !== 'string') throw new Error(`${name} is no text`);
      return text;
    },
    imageSize: async (name) => {
      const size = content[name];
      if (typeof size !== 'object' || size === null) throw new Error('unsupported image format');
      return size;
    },
  };
}

/** A real folder in which every image is said to have one size. */
export function folderFiles(folder: string, size: ImageSize): DatasetFiles {
  const names = existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => `${entry.parentPath}/${entry.name}`.slice(folder.length).replace(/^\//, ''))
        .sort()
    : [];
  return {
    list: () => names,
    readText: async (name) => readFileSync(`${folder}/${name}`, 'utf8'),
    imageSize: async () => size,
  };
}

const picture = { width: 100, height: 80 };

/** Text files as written, and an image of 100 x 80 for each copied one. */
export function writtenFiles(written: {
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly images: readonly { readonly to: string }[];
}): DatasetFiles {
  return memoryFiles({
    ...Object.fromEntries(written.files.map(({ name, text }) => [name, text])),
    ...Object.fromEntries(written.images.map(({ to }) => [to, picture])),
  });
}
