/** SHA-256: the name of every object of the store. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** Hex digest of bytes, or of a text as UTF-8. */
export function sha256Hex(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Digest and size of a file, read as a stream. */
export async function digestFile(path: string): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { digest: hash.digest('hex'), bytes };
}

/** Throws unless it is the hex form of a SHA-256: a digest becomes part of a path, so nothing else may pass. */
export function checkDigest(digest: string): void {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw new Error(`Internal error: "${digest}" is no SHA-256 digest (64 hex digits).`);
  }
}
