/** Messages of the root to its children and to the run record, one after another, because handlers must not wait. */

import { condition, isCancellation } from '@temporalio/workflow';

export class Outbox {
  readonly #waiting: (() => Promise<void>)[] = [];
  #closed = false;
  #delivered: Promise<void> = Promise.resolve();

  open(): void {
    this.#delivered = this.#deliver().catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  }

  push(send: () => Promise<void>): void {
    this.#waiting.push(send);
  }

  /** Resolves once everything has been sent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#delivered;
  }

  async #deliver(): Promise<void> {
    for (;;) {
      await condition(() => this.#waiting.length > 0 || this.#closed);
      const send = this.#waiting.shift();
      if (send === undefined) return;
      await send();
    }
  }
}
