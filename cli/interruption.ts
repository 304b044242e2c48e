/** Ctrl-C: once asks the command to end in good order, twice ends it at once. */

import { exitCodes, note } from './output.ts';

/** Where steps run in this process. */
export const stoppingWords = 'Stopping at a checkpoint; once more ends it at once.';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interruption {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** From now on signals have their usual effect again. */
  restore(): void;
}

/** `leaveNow` frees what would outlive the process, and must not wait; `words` say what the first signal does. */
export function listenForInterruption(leaveNow: () => void, words: () => string): Interruption {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) {
      leaveNow();
      process.exit(exitCodes.interrupted);
    }
    note(words());
    controller.abort();
  };
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    restore: () => {
      for (const signal of signals) process.off(signal, interrupt);
    },
  };
}

/** For short commands: the first signal ends them, and frees what would outlive the process. */
export function endOnInterruption(leaveNow: () => void): { restore(): void } {
  const end = () => {
    leaveNow();
    process.exit(exitCodes.interrupted);
  };
  for (const signal of signals) process.on(signal, end);
  return {
    restore: () => {
      for (const signal of signals) process.off(signal, end);
    },
  };
}
