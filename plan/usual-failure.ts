/** What a step does where it gives up and the file does not say: steps hold the run, those of `finally` have failed. */

import type { Compiling } from './slots.ts';
import type { OnFailure } from './types.ts';

export const usualFailure = ({ atEnd }: Compiling): OnFailure => (atEnd === true ? 'fail' : 'hold');

/** Of a loop, legs or another file, which give up by themselves where one of their own expressions fails. */
export function ownFailure(compiling: Compiling, written: OnFailure | undefined): { readonly onFailure?: OnFailure } {
  const onFailure = written ?? (compiling.atEnd === true ? usualFailure(compiling) : undefined);
  return onFailure === undefined ? {} : { onFailure };
}
