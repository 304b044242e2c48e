/** Refuses what is too large to be handed on, with what to do about it: Temporal would only try again for ever. */

import { ApplicationFailure } from '@temporalio/workflow';
import { valuesBytesMax } from '../plan/limits.ts';
import { bytesOf } from '../plan/value-bytes.ts';

/** The value itself. Throws a failure for people where it is too large. */
export function checkedSize<Value>(value: Value, what: string, remedy: string): Value {
  const bytes = bytesOf(value);
  if (bytes <= valuesBytesMax) return value;
  const message = `${what} are ${(bytes / 1e6).toFixed(1)} MB together; at most ${valuesBytesMax / 1e6} MB can be handed on. ${remedy}`;
  throw ApplicationFailure.nonRetryable(message, 'ValuesTooLarge');
}
