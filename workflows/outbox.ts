/** Messages of the root to its children and to the run record, one after another, because handlers must not wait. */

import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { OperationRecord } from '../plan/types.ts';
import { fitting } from '../plan/value-bytes.ts';
import { control } from './control.ts';
import type { Unsent } from './scope-messages.ts';

type Message =
  | { readonly send: () => Promise<void>; readonly otherwise?: Unsent | 'needed'; readonly about?: string }
  | { readonly operation: OperationRecord };

/** Operations that one activity records. */
const recordedMax = 100;

export class Outbox {
  readonly #run: string;
  readonly #waiting: Message[] = [];
  /** Of those that a new history sends. */
  readonly #left: Message[] = [];
  #closed = false;
  #over = false;
  #holding = false;
  /** Whether all has been sent that is to be. */
  #held = false;
  #delivered: Promise<void> = Promise.resolve();

  constructor(run: string) {
    this.#run = run;
  }

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

  /** Sends what is newest by then; once, where it has been asked for several times. */
  pushNewest(about: string, send: () => Promise<void>): void {
    if (!this.#waiting.some((message) => 'about' in message && message.about === about)) {
      this.#waiting.push({ send, about });
    }
  }

  /** Records it once all before has been sent; those that follow each other together. */
  record(operation: OperationRecord): void {
    this.#waiting.push({ operation });
  }

  /** Resolves once everything has been sent. */
  async close(): Promise<void> {
    this.resume();
    this.#closed = true;
    await this.#delivered;
  }

  /** Whether nothing is sent any more. */
  get isOver(): boolean {
    return this.#over;
  }

  /** From now on no more is sent than what is under way or needed. */
  hold(): void {
    if (this.#holding || this.#closed) return;
    this.#holding = true;
    const waiting = this.#waiting.splice(0);
    this.#waiting.push(...waiting.filter((message) => 'otherwise' in message && message.otherwise === 'needed'));
    this.#left.push(...waiting.filter((message) => unsentOf(message) !== null));
    this.push(async () => {
      if (!this.#holding) return;
      this.#held = true;
      await condition(() => !this.#holding);
    });
  }

  /** Resolves once no more is sent. */
  async stop(): Promise<void> {
    this.hold();
    await condition(() => this.#held);
  }

  /** Forgets messages to gates that are not open yet, of those that a new history would send. */
  dropEarly(): void {
    for (const messages of [this.#left, this.#waiting]) {
      const rest = messages.filter((message) => {
        const unsent = unsentOf(message);
        return unsent === null || !('early' in unsent);
      });
      messages.splice(0, messages.length, ...rest);
    }
  }

  /** There is no new history after all. */
  resume(): void {
    this.#waiting.unshift(...this.#left.splice(0));
    this.#holding = false;
    this.#held = false;
  }

  /** No more than what is under way should be sent. */
  get holding(): boolean {
    return this.#holding;
  }

  /** What a new history sends. */
  get unsent(): Unsent[] {
    return [...this.#left, ...this.#waiting].flatMap((message) => unsentOf(message) ?? []);
  }

  async #deliver(): Promise<void> {
    for (;;) {
      await condition(() => this.#waiting.length > 0 || this.#closed);
      const next = this.#waiting.shift();
      if (next === undefined) break;
      if ('send' in next) await next.send();
      else await this.#record(next.operation);
    }
    this.#over = true;
  }

  async #record(operation: OperationRecord): Promise<void> {
    const following = [operation];
    for (const next of this.#waiting.slice(0, recordedMax - 1)) {
      if (!('operation' in next)) break;
      following.push(next.operation);
    }
    const more = following.slice(1, fitting(following));
    this.#waiting.splice(0, more.length);
    await control('record-operation', { run: this.#run, operation, ...(more.length === 0 ? {} : { more }) });
  }
}

const unsentOf = (message: Message): Unsent | null => {
  if ('operation' in message) return { operation: message.operation };
  return typeof message.otherwise === 'object' ? message.otherwise : null;
};
