/** Which failures of a step are tried again. */

import type { RetryPolicy } from './types.ts';

/** Whether `retry` says that failures of this type are tried again. */
export function isRetriedType({ on, except }: RetryPolicy, type: string): boolean {
  return (on === undefined || on.includes(type)) && !(except?.includes(type) ?? false);
}
