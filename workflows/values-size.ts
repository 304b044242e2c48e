/** Refuses what is too large to be handed on, with what to do about it: Temporal would only try again for ever. */

import { ApplicationFailure } from '@temporalio/workflow';
import { valuesBytesMax } from '../plan/limits.ts';

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

/** The value itself. Throws a failure for people where it is too large. */
export function checkedSize<Value>(value: Value, what: string, remedy: string): Value {
  const bytes = bytesOf(value);
  if (bytes <= valuesBytesMax) return value;
  const message = `${what} are ${(bytes / 1e6).toFixed(1)} MB together; at most ${valuesBytesMax / 1e6} MB can be handed on. ${remedy}`;
  throw ApplicationFailure.nonRetryable(message, 'ValuesTooLarge');
}
