/** Pixels that memory has no room for: their places in a file, from which any thread of the process reads them. */

import { readSync } from 'node:fs';

export interface PixelPlace {
  readonly descriptor: number;
  readonly position: number;
  readonly bytes: number;
}

export function readPixels({ descriptor, position, bytes }: PixelPlace): Uint8Array {
  const read = new Uint8Array(bytes);
  readSync(descriptor, read, 0, bytes, position);
  return read;
}
