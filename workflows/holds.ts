/**
 * Steps that gave up and wait for people. Each workflow tells its parent of those in it, gathered the more the longer its
 * history is, so that thousands of held legs do not fill the histories above them; a retry goes down the same way.
 */

import { condition, getExternalWorkflowHandle, isCancellation, sleep, workflowInfo } from '@temporalio/workflow';
import { toLiving } from './orders.ts';
import { gatherMs } from './pace.ts';
import { retryStepsSignal, stepsHeldSignal } from './scope-messages.ts';
import type { StandingOrders } from './standing-orders.ts';

/** Paths in one message: some 100 bytes each, of at most 2 MiB. */
const pathsPerMessage = 5_000;

export class Holds {
  /** Ids of the children that told of a held step, by its path. */
  readonly #holders = new Map<string, string>();
  readonly #untold: string[] = [];

  /** A step of this workflow; or, with `holder`, of that child. */
  add(paths: readonly string[], holder?: string): void {
    for (const path of paths) {
      if (holder === undefined) this.#holders.delete(path);
      else this.#holders.set(path, holder);
      this.#untold.push(path);
    }
  }

  /** Keeps telling the parent, for as long as the workflow runs. */
  async tellParent(): Promise<void> {
    const { parent, workflowId } = workflowInfo();
    if (parent === undefined) return;
    try {
      for (;;) {
        await condition(() => this.#untold.length > 0);
        const ms = gatherMs(workflowInfo().historyLength);
        if (ms > 0) await sleep(ms);
        const paths = this.#untold.splice(0, pathsPerMessage);
        await getExternalWorkflowHandle(parent.workflowId).signal(stepsHeldSignal, { paths, workflowId });
      }
    } catch (error) {
      if (!isCancellation(error)) throw error;
    }
  }

  /** Which of these steps this workflow holds itself; and with which children the others are, by workflow id. */
  takeForRetry(paths: readonly string[]): {
    readonly own: readonly string[];
    readonly below: ReadonlyMap<string, readonly string[]>;
  } {
    const own: string[] = [];
    const below = new Map<string, string[]>();
    for (const path of paths) {
      const holder = this.#holders.get(path);
      this.#holders.delete(path);
      if (holder === undefined) own.push(path);
      else {
        const known = below.get(holder);
        if (known === undefined) below.set(holder, [path]);
        else known.push(path);
      }
    }
    return { own, below };
  }
}

/** Sends a retry down to the child that holds the steps, or to which one of its own told of them. */
export async function sendRetry(workflowId: string, paths: readonly string[], orders: StandingOrders): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(retryStepsSignal, { paths, orders }));
}
