/** What people asked of a run that holds until they take it back: told to every workflow of the run. */

import { isArtifactRef, type Json, type OperationRecord } from '../plan/types.ts';

type Values = { readonly [name: string]: Json };

export interface StandingOrders {
  /** Counts changes: an older one that arrives late is not taken. */
  readonly version: number;
  /** New steps wait; with `now`, running ones have been stopped too. */
  readonly pause: { readonly now: boolean } | null;
  /** Parameters that steps have in place of the plan's, by path of the step. */
  readonly changed: { readonly [path: string]: Values };
  /** Why steps are not to run, by path. */
  readonly skipped: { readonly [path: string]: string };
}

export const noOrders: StandingOrders = { version: 0, pause: null, changed: {}, skipped: {} };

/** The orders that hold after an operation. */
export function ordersAfter(orders: StandingOrders, operation: OperationRecord): StandingOrders {
  const { steps = [], set } = operation;
  const next = { ...orders, version: orders.version + 1 };
  switch (operation.operation) {
    case 'pause':
      return { ...next, pause: { now: operation.now === true } };
    // A cancelled run that begins again is not paused.
    case 'resume':
    case 'cancel':
      return { ...next, pause: null };
    case 'skip':
      return {
        ...next,
        skipped: { ...orders.skipped, ...Object.fromEntries(steps.map((path) => [path, whyOf(operation)])) },
      };
    case 'retry':
    case 'reset': {
      const skipped = Object.fromEntries(Object.entries(orders.skipped).filter(([path]) => !steps.includes(path)));
      const changed = { ...orders.changed };
      if (set !== undefined) for (const path of steps) changed[path] = merged(changed[path] ?? {}, set);
      return { ...next, skipped, changed };
    }
    // Its plan says what it changes.
    case 'upgrade':
      return orders;
  }
}

const whyOf = ({ by, reason }: OperationRecord): string =>
  `skipped by ${by}${reason === undefined ? '' : `: ${reason}`}`;

/** Mappings are merged key by key; artifacts, lists and plain values are replaced. */
export function merged(values: Values, changes: Values): Values {
  const result: { [name: string]: Json } = { ...values };
  for (const [name, change] of Object.entries(changes)) {
    const before = result[name];
    result[name] = isMapping(before) && isMapping(change) ? merged(before, change) : change;
  }
  return result;
}

function isMapping(value: Json | undefined): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isArtifactRef(value);
}
