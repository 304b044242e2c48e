/** Messages of the root to its children and to the run record, one after another, because handlers must not wait. */

import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { Unsent } from './scope-messages.ts';

interface Message {
  readonly send: () => Promise<void>;
  readonly otherwise?: Unsent | 'needed';
}

export class Outbox {
  readonly #waiting: Message[] = [];
  /** Of those that a new history sends. */
  readonly #left: Message[] = [];
  #closed = false;
  #over = false;
  #stopping = false;
  #delivered: Promise<void> = Promise.resolve();

  open(): void {
    // Also in a cancelled workflow, whose steps of `finally` have children that hear from the root.
    this.#delivered = CancellationScope.nonCancellable(() => this.#deliver()).catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  }

  /**
   * Where a new history begins before it was sent, `otherwise` says what becomes of it: the new one sends it, or it must be
   * sent before; without it, nobody needs it any more.
   */
  push(send: () => Promise<void>, otherwise?: Unsent | 'needed'): void {
    this.#waiting.push({ send, ...(otherwise === undefined ? {} : { otherwise }) });
  }

  /** Resolves once everything has been sent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#delivered;
  }

  /** Whether nothing is sent any more. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Resolves once what is under way, and what is needed, has been sent; nothing is sent after that. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const waiting = this.#waiting.splice(0);
    this.#waiting.push(...waiting.filter(({ otherwise }) => otherwise === 'needed'));
    this.#left.push(...waiting.filter(({ otherwise }) => typeof otherwise === 'object'));
    let isOver = false;
    this.push(async () => {
      isOver = true;
      await condition(() => !this.#stopping);
    });
    await condition(() => isOver);
  }

  /** There is no new history after all. */
  resume(): void {
    this.#waiting.unshift(...this.#left.splice(0));
    this.#stopping = false;
  }

  /** No more than what is under way should be sent. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** What a new history sends. */
  get unsent(): Unsent[] {
    return [...this.#left, ...this.#waiting].flatMap(({ otherwise }) =>
      typeof otherwise === 'object' ? [otherwise] : [],
    );
  }

  async #deliver(): Promise<void> {
    for (;;) {
      await condition(() => this.#waiting.length > 0 || this.#closed);
      const next = this.#waiting.shift();
      if (next === undefined) break;
      await next.send();
    }
    this.#over = true;
  }
}
