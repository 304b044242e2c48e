/** Ctrl-C: once asks the command to end in good order, twice ends it at once. */

import { exitCodes, note } from './output.ts';

export interface Interruption {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** From now on signals have their usual effect again. */
  restore(): void;
}

/** `leaveNow` frees what would outlive the process; it must not wait. */
export function listenForInterruption(leaveNow: () => void): Interruption {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) {
      leaveNow();
      process.exit(exitCodes.interrupted);
    }
    note('Stopping at a checkpoint; once more ends it at once.');
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    restore: () => {
      for (const signal of signals) process.off(signal, interrupt);
    },
  };
}
