/** Crops and whole images for the page: from the store's objects, upright, in WebP, within limits. */

import type { Metadata, Sharp } from 'sharp';
import type { Store } from '../artifacts/store.ts';
import type { Box, ImageEntry } from '../detection/types.ts';

/** Above this an image is refused before it is decoded: a file of kilobytes may unpack to gigabytes. */
export const pixelsMax = 120_000_000;
const bytesMax = 150 * 1024 * 1024;
/** Sides of what is sent, in pixels: enough for a large screen, little enough to be there before it is asked for. */
const wholeSideMax = 1600;
const partSideMax = 1800;
/** Encoded pictures that are kept in memory. */
const cacheBytesMax = 96 * 1024 * 1024;
/** Decoding is heavy: a few at a time, and an end to how many may wait. */
const atOnce = 3;
const waitingMax = 300;

/** The image cannot be shown; `status` is the HTTP status that says so. */
export class PictureError extends Error {
  readonly status: 404 | 413 | 422 | 503;
  constructor(message: string, status: PictureError['status']) {
    super(message);
    this.name = 'PictureError';
    this.status = status;
  }
}

export interface Pictures {
  /** The whole image, shrunk to `wholeSideMax`; a part of it, given in whole pixels of the upright image. */
  draw(image: ImageEntry, part?: Box): Promise<Buffer>;
}

export function createPictures(store: Store): Pictures {
  const cache = new Map<string, Promise<Buffer>>();
  const sizes = new Map<string, number>();
  let cachedBytes = 0;
  const lane = createLane();

  const forget = (key: string) => {
    cache.delete(key);
    cachedBytes -= sizes.get(key) ?? 0;
    sizes.delete(key);
  };
  return {
    draw: (image, part) => {
      const key = `${image.digest} ${part?.join(',') ?? 'whole'}`;
      const kept = cache.get(key);
      // Taken out and put back, so that the oldest use is in front.
      if (kept !== undefined) cache.delete(key);
      const picture = kept ?? lane(() => drawPicture(store, image, part));
      cache.set(key, picture);
      if (kept === undefined) {
        picture.then(
          ({ length }) => {
            if (cache.get(key) !== picture) return;
            sizes.set(key, length);
            cachedBytes += length;
            for (const oldest of cache.keys()) {
              if (cachedBytes <= cacheBytesMax) break;
              if (oldest !== key) forget(oldest);
            }
          },
          () => forget(key),
        );
      }
      return picture;
    },
  };
}

async function drawPicture(store: Store, image: ImageEntry, part: Box | undefined): Promise<Buffer> {
  const bytes = await store.getObject(image.digest);
  if (bytes === null) throw new PictureError(`The image ${image.fileName} is not in the store any more.`, 404);
  if (bytes.length > bytesMax) {
    throw new PictureError(`The file of ${image.fileName} has ${bytes.length} bytes; at most ${bytesMax}.`, 413);
  }
  const { default: sharp } = await import('sharp');
  const open = (content: Buffer): Sharp => sharp(content, { limitInputPixels: pixelsMax, animated: false });
  // Reads the header alone, so that its size can be told.
  const header = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw new PictureError(`${image.fileName} cannot be read: ${(error as Error).message}`, 422);
    });
  checkSize(header, image);
  const turned = (header.orientation ?? 1) !== 1;
  try {
    const upright = open(bytes).rotate().removeAlpha().toColourspace('srgb');
    if (part === undefined) {
      return await upright
        .resize(wholeSideMax, wholeSideMax, { fit: 'inside', withoutEnlargement: true })
        .webp({ quality: 84, effort: 2 })
        .toBuffer();
    }
    // sharp would cut before it turns; a turned image is settled first.
    const source = turned ? open(await upright.png({ compressionLevel: 1 }).toBuffer()) : upright;
    const [left, top, right, bottom] = part;
    return await source
      .extract({ left, top, width: right - left, height: bottom - top })
      .resize(partSideMax, partSideMax, { fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 94, effort: 2 })
      .toBuffer();
  } catch (error) {
    throw new PictureError(`${image.fileName} cannot be decoded: ${(error as Error).message}`, 422);
  }
}

/** The header is read first, and must say what the dataset says: what was checked at import is what is decoded. */
function checkSize(header: Metadata, image: ImageEntry): void {
  const { width, height } = header;
  if (width * height > pixelsMax) {
    throw new PictureError(
      `${image.fileName} has ${width} x ${height} pixels; at most ${pixelsMax} are shown. Tile it before import.`,
      413,
    );
  }
  const turned = (header.orientation ?? 1) >= 5;
  const [w, h] = turned ? [height, width] : [width, height];
  if (w !== image.width || h !== image.height) {
    throw new PictureError(
      `${image.fileName} has ${w} x ${h} pixels, and ${image.width} x ${image.height} in its dataset.`,
      422,
    );
  }
}

/** Runs a few at once, the others in order of asking. */
function createLane(): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= atOnce) {
      if (waiting.length >= waitingMax) throw new PictureError('Too many images are asked for at once.', 503);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    running++;
    try {
      return await work();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
