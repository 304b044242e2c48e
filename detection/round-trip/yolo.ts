/** Candidates as YOLO label files: no ids, so boxes are known again by where they are. */

import type { Coercion } from '../formats/types.ts';
import type { Box, Category } from '../types.ts';
import { rounded, type ToolBox, type ToolFile, type ToolImage } from './boxes.ts';
import { FileError } from './values.ts';

/** Decimals of a share, and of a pixel: a pixel's survive those of a share in images up to 6,000 pixels. */
const SHARE_DIGITS = 6;
const DIGITS = 2;

/** A text file for each image, by the image's name without its ending. */
export function writeYoloBoxes(
  images: readonly ToolImage[],
  categories: readonly Category[],
): { readonly name: string; readonly text: string }[] {
  const index = new Map(categories.map(({ name }, i) => [name, i]));
  return images.map(({ fileName, width, height, boxes }) => ({
    name: `${stemOf(fileName)}.txt`,
    text: boxes
      .map(({ category, box }) => {
        const [x1, y1, x2, y2] = box.map((edge) => rounded(edge, DIGITS)) as unknown as Box;
        const shares = [(x1 + x2) / 2 / width!, (y1 + y2) / 2 / height!, (x2 - x1) / width!, (y2 - y1) / height!];
        return `${index.get(category)} ${shares.map((share) => share.toFixed(SHARE_DIGITS)).join(' ')}\n`;
      })
      .join(''),
  }));
}

/** `files` by name; `images` are those that were exported, with their sizes; `names` the categories in their order. */
export function readYoloBoxes(
  files: readonly { readonly name: string; readonly text: string }[],
  images: readonly Pick<ToolImage, 'fileName' | 'width' | 'height'>[],
  names: readonly string[],
): ToolFile {
  const byStem = new Map(images.map((image) => [stemOf(image.fileName), image]));
  const coercions: Coercion[] = [];
  const found = files.map(({ name, text }): ToolImage => {
    const image = byStem.get(stemOf(name)) ?? images.find(({ fileName }) => baseOf(fileName) === baseOf(name));
    if (image === undefined) return { fileName: name, width: null, height: null, boxes: [] };
    const boxes: ToolBox[] = [];
    for (const [i, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === '') continue;
      const place = `line ${i + 1}`;
      const values = line.trim().split(/\s+/).map(Number);
      if (values.length < 5 || !values.every(Number.isFinite)) {
        throw new FileError(`${name} ${place} is "${line.trim()}"; expected a class and four numbers.`);
      }
      if (values.length > 5)
        coercions.push({
          file: name,
          place,
          what: 'more than a box',
          was: line.trim(),
          became: values.slice(0, 5).join(' '),
        });
      const [category, cx, cy, w, h] = values as [number, number, number, number, number];
      const named = names[category];
      if (named === undefined) {
        throw new FileError(
          `${name} ${place} has the class ${category}; known are 0 to ${names.length - 1}: ${names.join(', ')}.`,
        );
      }
      const [width, height] = [image.width!, image.height!];
      const edges = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height];
      boxes.push({ category: named, box: edges.map((edge) => rounded(edge, DIGITS)) as unknown as Box, place });
    }
    return { fileName: image.fileName, width: image.width, height: image.height, boxes };
  });
  return { images: found, coercions };
}

function stemOf(path: string): string {
  return path.replace(/\.[^./]+$/, '');
}

function baseOf(path: string): string {
  return stemOf(path).split('/').at(-1)!;
}
