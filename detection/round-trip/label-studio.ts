/** Candidates as Label Studio tasks with predictions; a task counts once it has an annotation that was submitted. */

import type { Coercion } from '../formats/types.ts';
import type { Box } from '../types.ts';
import { rounded, type ToolBox, type ToolFile, type ToolImage } from './boxes.ts';
import { FileError, listOf, numberOf, objectOf, textOf } from './values.ts';

/** Decimals of a percent, and of a pixel: a pixel's survive those of a percent in images up to 10,000 pixels. */
const PERCENT_DIGITS = 6;
const DIGITS = 4;

/** The project needs an `<Image name="image" value="$image"/>` and `<RectangleLabels name="label" toName="image">`. */
export function writeLabelStudioBoxes(images: readonly ToolImage[], model: string): string {
  const tasks = images.map(({ fileName, width, height, boxes }) => ({
    data: { image: `/data/local-files/?d=images/${fileName}`, file_name: fileName },
    predictions: [
      {
        model_version: model,
        result: boxes.map(({ candidate, category, box, score }) => {
          const [x1, y1, x2, y2] = box.map((edge) => rounded(edge, DIGITS)) as unknown as Box;
          const percent = (pixels: number, side: number) => rounded((100 * pixels) / side, PERCENT_DIGITS);
          return {
            id: candidate,
            type: 'rectanglelabels',
            from_name: 'label',
            to_name: 'image',
            original_width: width,
            original_height: height,
            image_rotation: 0,
            ...(score === undefined ? {} : { score: rounded(score, DIGITS) }),
            value: {
              x: percent(x1, width!),
              y: percent(y1, height!),
              width: percent(x2 - x1, width!),
              height: percent(y2 - y1, height!),
              rotation: 0,
              rectanglelabels: [category],
            },
          };
        }),
      },
    ],
  }));
  return `${JSON.stringify(tasks, null, 1)}\n`;
}

/** `submitted: false` also reads predictions, as they were exported. */
export function readLabelStudioBoxes(file: string, value: unknown, { submitted = true } = {}): ToolFile {
  const coercions: Coercion[] = [];
  const images = listOf(value, file).flatMap((one, i): ToolImage[] => {
    const place = `${file} [${i}]`;
    const task = objectOf(one, place);
    const data = objectOf(task.data, `${place}.data`);
    const named =
      data.file_name ??
      textOf(data.image, `${place}.data.image`).replace(/^.*[?&]d=(images\/)?|^.*\/upload\/\d+\//, '');
    const fileName = decodeURIComponent(textOf(named, `${place}.data.file_name`));
    const source = submitted
      ? listOf(task.annotations ?? [], `${place}.annotations`)
      : listOf(task.predictions ?? [], place);
    const drawn = source.map((entry) => objectOf(entry, place)).filter(({ was_cancelled }) => was_cancelled !== true);
    const last = drawn.at(-1);
    if (last === undefined) return [];
    if (drawn.length > 1) {
      coercions.push({
        file,
        place: `[${i}]`,
        what: 'several annotations of one task',
        was: String(drawn.length),
        became: 'the last',
      });
    }
    const boxes: ToolBox[] = [];
    let size: readonly [number, number] | null = null;
    for (const [k, entry] of listOf(last.result, `${place}.result`).entries()) {
      const region = objectOf(entry, `${place}.result[${k}]`);
      if (region.type !== 'rectanglelabels') {
        // Choices and ratings of the whole image say nothing about a box.
        if (region.type === undefined || !String(region.type).endsWith('labels')) continue;
        throw new FileError(
          `${place}.result[${k}] is of the type "${String(region.type)}"; expected rectangles alone.`,
        );
      }
      const at = `${place}.result[${k}]`;
      const [width, height] = [
        numberOf(region.original_width, `${at}.original_width`),
        numberOf(region.original_height, `${at}.original_height`),
      ];
      size ??= [width, height];
      const shape = objectOf(region.value, `${at}.value`);
      const share = (name: string) => numberOf(shape[name], `${at}.value.${name}`) / 100;
      const straight = [
        share('x') * width,
        share('y') * height,
        share('width') * width,
        share('height') * height,
      ] as const;
      const rotation = numberOf(shape.rotation ?? 0, `${at}.value.rotation`);
      const upright = boundsOf(straight, rotation);
      const box = upright.map((edge) => rounded(edge, DIGITS)) as unknown as Box;
      if (rotation !== 0) {
        coercions.push({
          file,
          place: `[${i}].result[${k}]`,
          what: 'rotated box',
          was: `${rotation} degrees`,
          became: `[${box.join(', ')}]`,
        });
      }
      const [category, ...others] = listOf(shape.rectanglelabels, `${at}.value.rectanglelabels`);
      if (others.length > 0) {
        coercions.push({
          file,
          place: `[${i}].result[${k}]`,
          what: 'several labels on one box',
          was: [category, ...others].join(', '),
          became: String(category),
        });
      }
      boxes.push({
        candidate: typeof region.id === 'string' ? region.id : undefined,
        category: textOf(category, `${at}.value.rectanglelabels[0]`),
        box,
        place: `result[${k}]`,
      });
    }
    return [{ fileName, width: size?.[0] ?? null, height: size?.[1] ?? null, boxes }];
  });
  return { images, coercions };
}

/** Upright box around one that is turned by so many degrees around its top left corner, as Label Studio does. */
function boundsOf([x, y, width, height]: readonly [number, number, number, number], degrees: number): Box {
  const [sin, cos] = [Math.sin((degrees * Math.PI) / 180), Math.cos((degrees * Math.PI) / 180)];
  if (degrees === 0) return [x, y, x + width, y + height];
  const xs = [x, x + width * cos, x - height * sin, x + width * cos - height * sin];
  const ys = [y, y + width * sin, y + height * cos, y + width * sin + height * cos];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
