/** How large a value is that travels through Temporal, and how many go into one message. */

import { messageBytesMax } from './limits.ts';

/** Bytes of the value as JSON in UTF-8. */
export function bytesOf(value: unknown): number {
  const text = JSON.stringify(value) ?? '';
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // Three bytes, and four for the two halves of a pair.
    if (unit > 0x7ff) bytes += unit >= 0xd800 && unit <= 0xdfff ? 1 : 2;
    else if (unit > 0x7f) bytes++;
  }
  return bytes;
}

/** How many of the first items go into one message together, at least one. */
export function fitting(items: readonly unknown[], bytesMax = messageBytesMax): number {
  let bytes = 0;
  const over = items.findIndex((item) => {
    bytes += bytesOf(item);
    return bytes > bytesMax;
  });
  return over < 0 ? items.length : Math.max(1, over);
}
