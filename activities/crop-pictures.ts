/** Small pictures of single boxes for the report, with what is around them. */

import sharp from 'sharp';
import { loadDataset, readBytes } from '../artifacts/codecs.ts';
import type { Store } from '../artifacts/store.ts';
import type { Annotation, Box } from '../detection/types.ts';
import { type ArtifactRef, isArtifactRef, type StepRecord } from '../plan/types.ts';
import type { BoxPicture } from '../report/types.ts';

/** Pixels of a picture's side. */
const side = 112;
/** Side of what is shown, as a multiple of the box's longer side. */
const around = 2.5;

/** The boxes in the images of the dataset that the step at `path` gave, in their order. */
export async function cropPictures(
  store: Store,
  steps: readonly StepRecord[],
  path: string,
  annotations: readonly Annotation[],
): Promise<BoxPicture[]> {
  const dataset = steps.find((step) => step.path === path)?.outputs?.dataset;
  if (!isArtifactRef(dataset) || annotations.length === 0) return [];
  const { images } = await loadDataset(store, dataset as ArtifactRef);
  const byId = new Map(images.map((image) => [image.id, image]));
  const pictures: BoxPicture[] = [];
  for (const { id, imageId, box } of annotations) {
    const image = byId.get(imageId);
    if (!image) continue;
    const bytes = await readBytes(store, `image ${image.fileName}`, image.digest);
    const window = windowAround(box, image.width, image.height);
    const [left, top, right, bottom] = window;
    const jpeg = await sharp(bytes)
      .autoOrient()
      .extract({ left, top, width: right - left, height: bottom - top })
      .resize(side, side, { fit: 'fill', kernel: 'nearest' })
      .jpeg({ quality: 80 })
      .toBuffer();
    const scale = [side / (right - left), side / (bottom - top)] as const;
    pictures.push({
      annotationId: id,
      imageId,
      data: `data:image/jpeg;base64,${jpeg.toString('base64')}`,
      side,
      box: [
        (box[0] - left) * scale[0],
        (box[1] - top) * scale[1],
        (box[2] - left) * scale[0],
        (box[3] - top) * scale[1],
      ],
    });
  }
  return pictures;
}

/** A square of whole pixels around the box, moved inside the image and cut where the image is smaller. */
function windowAround([x1, y1, x2, y2]: Box, width: number, height: number): [number, number, number, number] {
  const wanted = Math.max(8, Math.round(around * Math.max(x2 - x1, y2 - y1)));
  const place = (centre: number, length: number): [number, number] => {
    const size = Math.min(wanted, length);
    const from = Math.min(length - size, Math.max(0, Math.round(centre - size / 2)));
    return [from, from + size];
  };
  const [left, right] = place((x1 + x2) / 2, width);
  const [top, bottom] = place((y1 + y2) / 2, height);
  return [left, top, right, bottom];
}
