/** Steps for tests of what people do to a run that goes on: they note that they ran, and some wait until they may end. */

import type { StepContext } from '../../activities/context.ts';
import { eventually } from '../rig.ts';

export interface LoggedSteps {
  /** `note` gives its value, 0 without one; `slow` does so once it may end, or stops when it is told to, and gives 5 without one. */
  readonly steps: {
    note(context: StepContext, inputs: { value?: number }): Promise<{ value: number }>;
    slow(context: StepContext, inputs: { value?: number }): Promise<{ value: number }>;
  };
  /** `RUN PATH VALUE`, in order. */
  readonly ran: string[];
  /** Runs, or steps as `RUN PATH`, whose slow steps may end. */
  readonly released: Set<string>;
  /** `PATH VALUE` of what ran in the run. */
  ranIn(run: string): string[];
  hasRun(run: string, entry: string): Promise<boolean>;
}

export function logSteps(): LoggedSteps {
  const ran: string[] = [];
  const released = new Set<string>();
  const ranIn = (run: string) =>
    ran.filter((entry) => entry.startsWith(`${run} `)).map((entry) => entry.slice(run.length + 1));
  return {
    ran,
    released,
    ranIn,
    hasRun: (run, entry) => eventually(async () => ranIn(run).includes(entry)),
    steps: {
      note: async ({ run, path }, { value = 0 }) => {
        ran.push(`${run} ${path} ${value}`);
        return { value };
      },
      slow: async ({ run, path, signal }, { value }) => {
        ran.push(value === undefined ? `${run} ${path}` : `${run} ${path} ${value}`);
        while (!released.has(run) && !released.has(`${run} ${path}`)) {
          signal.throwIfAborted();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return { value: value ?? 5 };
      },
    },
  };
}

/** Why an update was refused, or `taken`. */
export const refusal = (sent: Promise<unknown>): Promise<string | undefined> =>
  sent.then(
    () => 'taken',
    (error: { cause?: Error }) => error.cause?.message,
  );
