/** Handles messages that a child passes on to its own children, or answers to its parent. */

import { HandlerUnfinishedPolicy } from '@temporalio/common';
import { CancellationScope, type SignalDefinition, setHandler } from '@temporalio/workflow';

/**
 * As `setHandler`, also while the workflow is cancelled and its steps of `finally` run: a handler that throws as cancelled
 * would end the workflow there and then. What is on its way when the workflow ends need not arrive.
 */
export function onPassedOn<Arguments extends unknown[]>(
  signal: SignalDefinition<Arguments>,
  handle: (...args: Arguments) => Promise<void>,
): void {
  setHandler(signal, (...args: Arguments) => CancellationScope.nonCancellable(() => handle(...args)), {
    unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON,
  });
}
