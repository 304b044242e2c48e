/** How many activities a workflow has under way: Temporal advises to stay below 500, and refuses more than 2,000. */

import { condition } from '@temporalio/workflow';

/** What finds no room waits its turn. */
export class Window {
  readonly #max: number;
  #open = 0;
  readonly #waiting = new Set<object>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Null where there is room; else a promise of it, which is also kept once `isOff`. Asked right before `enter`. */
  room(isOff: () => boolean = () => false): Promise<void> | null {
    return this.#open + this.#waiting.size < this.#max ? null : this.#wait(isOff);
  }

  enter(): void {
    this.#open++;
  }

  leave(): void {
    this.#open--;
  }

  async #wait(isOff: () => boolean): Promise<void> {
    const own = {};
    this.#waiting.add(own);
    const isNext = () => this.#open < this.#max && this.#waiting.values().next().value === own;
    try {
      await condition(() => isNext() || isOff());
    } finally {
      this.#waiting.delete(own);
    }
  }
}
