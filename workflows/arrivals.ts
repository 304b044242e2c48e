/** Batches of decisions that have arrived at one opening of a gate: in the order in which they were sent, whatever way they took. */

import type { QueuedBatch, SentBatches } from './scope-messages.ts';

export class Arrivals {
  /** Those that wait to be written. */
  readonly queue: QueuedBatch[] = [];
  /** Those that came before one that was sent earlier, by their number. */
  readonly #ahead = new Map<number, QueuedBatch>();
  #count = 0;
  #areDirect = true;

  take({ behind, queued }: Pick<SentBatches, 'behind' | 'queued'>, areDirect: boolean): void {
    this.#areDirect = areDirect;
    for (const [i, batch] of queued.entries()) this.#ahead.set(behind + i, batch);
    for (let batch = this.#ahead.get(this.#count); batch !== undefined; batch = this.#ahead.get(this.#count)) {
      this.queue.push(batch);
      this.#ahead.delete(this.#count++);
    }
  }

  /** Batches so far, without those that came ahead of others. */
  get count(): number {
    return this.#count;
  }

  /** Whether the newest came to this gate alone, as they do where people decide one by one; so it is before any has come. */
  get areDirect(): boolean {
    return this.#areDirect;
  }
}
