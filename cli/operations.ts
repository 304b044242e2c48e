/** Operations on a run in words, and the orders that hold after them. */

import type { Json, OperationRecord } from '../plan/types.ts';
import { noOrders, ordersAfter, type StandingOrders } from '../workflows/standing-orders.ts';
import { formatMoment } from './output.ts';
import { moreWords } from './plan-diff.ts';

/** `14:05 ada retried model with epochs 20: the loss was still falling` */
export function operationWords(record: OperationRecord): string {
  const { operation, at, by, reason, now, steps = [], set } = record;
  const done = {
    pause: now === true ? 'paused the run and stopped its steps' : 'paused the run',
    resume: 'let the run go on',
    cancel: 'cancelled the run',
    retry: `had ${steps.join(', ')} tried again`,
    skip: `had ${steps.join(', ')} skipped`,
    reset: `had ${steps.join(', ')} and what depends on it begin anew`,
    upgrade: `let the run follow the changed file: ${upgradeWords(record)}`,
  }[operation];
  const changes = set === undefined ? '' : ` with ${changeWords(set)}`;
  return `${formatMoment(at)}  ${by} ${done}${changes}${reason === undefined ? '' : `: ${reason}`}`;
}

/** `train.with.epochs: 10 -> 20; rounds from 3 on`. */
function upgradeWords({ changes = [], from = {}, again = [] }: OperationRecord): string {
  const shown = changes.length > 3 ? [...changes.slice(0, 3), moreWords(changes.length - 3)] : changes;
  const loops = Object.entries(from).map(([loop, round]) => `${loop} from round ${round} on`);
  return [...shown, ...loops, ...again.map((step) => `${step} begins again`)].join('; ');
}

/** `epochs 20, replay.share 0.5` */
function changeWords(set: { readonly [name: string]: Json }, prefix = ''): string {
  return Object.entries(set)
    .map(([name, value]) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? changeWords(value as { readonly [name: string]: Json }, `${prefix}${name}.`)
        : `${prefix}${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    .join(', ');
}

export function ordersOf(operations: readonly OperationRecord[]): StandingOrders {
  return operations.reduce(ordersAfter, noOrders);
}

/** The pause that holds, or null. */
export function pauseOf(operations: readonly OperationRecord[]): OperationRecord | null {
  if (ordersOf(operations).pause === null) return null;
  return operations.findLast(({ operation }) => operation === 'pause') ?? null;
}
