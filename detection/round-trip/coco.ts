/** Candidates as a COCO instances file; ids of candidates are in `attributes`, which CVAT and datumaro keep. */

import type { Coercion } from '../formats/types.ts';
import type { Box, Category } from '../types.ts';
import { rounded, type ToolFile, type ToolImage } from './boxes.ts';
import { FileError, listOf, numberOf, objectOf, textOf } from './values.ts';

/** Decimals of a pixel. */
const DIGITS = 4;

export function writeCocoBoxes(images: readonly ToolImage[], categories: readonly Category[]): string {
  const ids = new Map(categories.map(({ name }, i) => [name, i + 1]));
  let id = 0;
  const annotations = images.flatMap(({ boxes }, i) =>
    boxes.map(({ candidate, category, box, score }) => {
      const [x1, y1, x2, y2] = box.map((edge) => rounded(edge, DIGITS)) as unknown as Box;
      const [width, height] = [rounded(x2 - x1, DIGITS), rounded(y2 - y1, DIGITS)];
      return {
        id: ++id,
        image_id: i + 1,
        category_id: ids.get(category)!,
        bbox: [x1, y1, width, height],
        area: rounded(width * height, DIGITS),
        iscrowd: 0,
        segmentation: [],
        attributes: { candidate, ...(score === undefined ? {} : { score: rounded(score, DIGITS) }) },
      };
    }),
  );
  return `${JSON.stringify({
    images: images.map(({ fileName, width, height }, i) => ({ id: i + 1, file_name: fileName, width, height })),
    annotations,
    categories: categories.map(({ name }, i) => ({ id: i + 1, name, supercategory: '' })),
  })}\n`;
}

export function readCocoBoxes(file: string, value: unknown): ToolFile {
  const root = objectOf(value, file);
  const coercions: Coercion[] = [];
  const names = new Map<number, string>();
  const categories = listOf(root.categories, `${file} categories`).map((one, i) =>
    objectOf(one, `${file} categories[${i}]`),
  );
  for (const [i, category] of categories.entries()) {
    const place = `categories[${i}]`;
    names.set(numberOf(category.id, `${file} ${place}.id`), textOf(category.name, `${file} ${place}.name`));
  }
  const ids = [...names.keys()].sort((a, b) => a - b);
  if (ids.some((id, i) => id !== i + 1)) {
    coercions.push({
      file,
      place: 'categories',
      what: ids.includes(0) ? 'category id 0' : 'gaps in the category ids',
      was: ids.join(', '),
      became: ids.map((id) => names.get(id)!).join(', '),
    });
  }
  const images = new Map<
    number,
    { fileName: string; width: number; height: number; boxes: ToolImage['boxes'][number][] }
  >();
  for (const [i, one] of listOf(root.images, `${file} images`).entries()) {
    const place = `${file} images[${i}]`;
    const image = objectOf(one, place);
    images.set(numberOf(image.id, `${place}.id`), {
      fileName: textOf(image.file_name, `${place}.file_name`),
      width: numberOf(image.width, `${place}.width`),
      height: numberOf(image.height, `${place}.height`),
      boxes: [],
    });
  }
  for (const [i, one] of listOf(root.annotations, `${file} annotations`).entries()) {
    const place = `annotations[${i}]`;
    const annotation = objectOf(one, `${file} ${place}`);
    const image = images.get(numberOf(annotation.image_id, `${file} ${place}.image_id`));
    if (image === undefined)
      throw new FileError(`${file} ${place}: no image has the id ${String(annotation.image_id)}.`);
    const category = names.get(numberOf(annotation.category_id, `${file} ${place}.category_id`));
    if (category === undefined) {
      throw new FileError(`${file} ${place}: no category has the id ${String(annotation.category_id)}.`);
    }
    const numbers = listOf(annotation.bbox, `${file} ${place}.bbox`).map((edge) =>
      numberOf(edge, `${file} ${place}.bbox`),
    );
    if (numbers.length !== 4)
      throw new FileError(`${file} ${place}.bbox has ${numbers.length} numbers; expected x, y, width, height.`);
    const [x, y, width, height] = numbers as [number, number, number, number];
    const attributes = annotation.attributes as { candidate?: unknown } | undefined;
    const candidate = typeof attributes?.candidate === 'string' ? attributes.candidate : undefined;
    const box: Box = [rounded(x, DIGITS), rounded(y, DIGITS), rounded(x + width, DIGITS), rounded(y + height, DIGITS)];
    image.boxes.push({ candidate, category, box, place });
  }
  return { images: [...images.values()], coercions };
}
