/**
 * What goes up the tree of workflows to the root: that steps gave up, that gates open and close. Each workflow tells its
 * parent of what is in it, gathered the more the longer its history is, so that thousands of legs do not fill the histories
 * above them. What comes of it goes down the same way, by who told of what.
 */

import { CancellationScope, condition, getExternalWorkflowHandle, workflowInfo } from '@temporalio/workflow';
import { takeBundle } from './bundles.ts';
import { toLiving } from './orders.ts';
import { calmMs, lateEvents, relayMs, rushMax } from './pace.ts';
import { type News, newsSignal, type Reply, repliesSignal, retryStepsSignal } from './scope-messages.ts';
import type { StandingOrders } from './standing-orders.ts';

export class Relay {
  /** Ids of the children that told of a step, by its path. */
  readonly #tellers = new Map<string, string>();
  readonly #untold: News[] = [];
  /** Of the most urgent among it. */
  #urgency = 0;
  /** Bundles so far in which nothing was urgent; and those with news of gates, since there was none for a while, or late. */
  #notices = 0;
  #rush = 0;
  #lastRush = 0;
  #isLate = false;
  #isClosed = false;
  #told: Promise<void> = Promise.resolve();

  /** Keeps telling the parent, also in a cancelled workflow, whose steps of `finally` have gates too. */
  open(): void {
    const { parent } = workflowInfo();
    if (parent === undefined) return;
    this.#told = CancellationScope.nonCancellable(() => this.#keepTelling(parent.workflowId));
  }

  /** Resolves once the parent has been told of everything: what a step of its next life tells must come later. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await CancellationScope.nonCancellable(() => this.#told);
  }

  /** Notes which child knows the steps; without `from`, they are this workflow's own. */
  note(news: readonly News[], from?: string): void {
    for (const { what, path } of news) {
      // A gate that tells of it past those around it is reached by them all the same.
      if ((what === 'gate-progress' || what === 'gate-closing') && this.#tellers.has(path)) continue;
      if (from === undefined) this.#tellers.delete(path);
      else this.#tellers.set(path, from);
    }
  }

  /** Of steps of this workflow; or, with `from`, of that child. */
  tell(news: readonly News[], from?: string): void {
    this.note(news, from);
    // One by one: a call with thousands of arguments overflows the stack.
    for (const one of news) this.#untold.push(one);
    this.#urgency = Math.max(this.#urgency, mostUrgent(news));
  }

  /** What of it concerns this workflow itself; and what its children, by workflow id. */
  route<Item>(
    items: readonly Item[],
    pathOf: (item: Item) => string,
  ): { readonly own: readonly Item[]; readonly below: ReadonlyMap<string, readonly Item[]> } {
    const own: Item[] = [];
    const below = new Map<string, Item[]>();
    for (const item of items) {
      const teller = this.#tellers.get(pathOf(item));
      const its = teller === undefined ? own : below.get(teller);
      if (its === undefined) below.set(teller!, [item]);
      else its.push(item);
    }
    return { own, below };
  }

  async #keepTelling(parent: string): Promise<void> {
    const { workflowId } = workflowInfo();
    for (;;) {
      await condition(() => this.#untold.length > 0 || this.#isClosed);
      await this.#gather();
      const news = takeBundle(this.#untold);
      if (news.length === 0) return;
      this.#urgency = mostUrgent(this.#untold);
      await toLiving(getExternalWorkflowHandle(parent).signal(newsSignal, { news, from: workflowId }));
    }
  }

  async #gather(): Promise<void> {
    for (;;) {
      const urgency = this.#urgency;
      const { historyLength } = workflowInfo();
      if (historyLength >= lateEvents) {
        if (!this.#isLate) this.#rush = Math.min(this.#rush, rushMax);
        this.#isLate = true;
      } else if (Date.now() - this.#lastRush > calmMs) this.#rush = 0;
      const ms = relayMs(historyLength, urgency, urgency === 0 ? this.#notices : this.#rush);
      if (ms > 0 && !this.#isClosed) {
        await condition(() => this.#isClosed || this.#urgency > urgency, ms);
      }
      if (!this.#isClosed && this.#urgency > urgency) continue;
      if (urgency === 0) this.#notices++;
      if (urgency === 2) {
        this.#rush++;
        this.#lastRush = Date.now();
      }
      return;
    }
  }
}

/** 0: nobody waits for the root to know it; 1: people may look at it, or have the step tried again; 2: a gate waits for the root, or people say it better. */
function urgencyOf(one: News): number {
  if (one.what === 'form-answered' || one.what === 'gate-passed') return 0;
  if (one.what === 'gate-progress') return one.refused.length > 0 ? 2 : 1;
  return one.what === 'held' ? 1 : 2;
}

const mostUrgent = (news: readonly News[]): number => news.reduce((most, one) => Math.max(most, urgencyOf(one)), 0);

/** Sends a retry down to the child that holds the steps, or to which one of its own told of them. */
export async function sendRetry(workflowId: string, paths: readonly string[], orders: StandingOrders): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(retryStepsSignal, { paths, orders }));
}

/** Sends replies to the workflow that holds the gates, or to which one of its own told of them. */
export async function sendReplies(workflowId: string, replies: readonly Reply[]): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(repliesSignal, { replies }));
}
