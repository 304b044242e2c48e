/** The concurrency group of a pipeline, which params alone may name: it is entered before any step begins. */

import { pointerTo, type Spec } from '../spec/types.ts';
import { beforeRun } from './compile-kind.ts';
import { type Compiling, readSlots, type Slot } from './slots.ts';
import type { PlannedScope } from './types.ts';

export function compileConcurrency(compiling: Compiling, { concurrency }: Spec): Pick<PlannedScope, 'concurrency'> {
  if (typeof concurrency?.group !== 'string') return {};
  const pointer = pointerTo('', 'concurrency', 'group');
  const slots = new Map<string, Slot>();
  readSlots(compiling, concurrency.group, pointer, slots);
  const group = beforeRun(compiling, concurrency.group, pointer, slots);
  if (group === undefined || group === null) return {};
  return { concurrency: { group: String(group), cancelInProgress: concurrency.cancelInProgress ?? false } };
}
