/**
 * The root of a run goes on in a new history before its own grows too long, however much people say. Its steps end as at a
 * pause "now", with checkpoints; then the workflow begins again, as one does whose history was lost: from the record.
 */

import { allHandlersFinished, CancellationScope, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { Ends } from './ends.ts';
import type { RunArguments, RunSummary } from './messages.ts';
import { rethrowUnlessCancelled } from './orders.ts';
import type { Outbox } from './outbox.ts';
import { patience } from './pace.ts';

/** A history in which less came from people has grown by its steps: beginning again would make it as long as it is. */
const movedMin = 5;
/** Where the end of a file runs that must not be cut, the history grows by so many events before it is looked again. */
const eventsBetweenLooks = 50;

export interface Renewed {
  /** From so many events on; undefined: never. */
  readonly renewAfter: number | undefined;
  /** Holds all steps. */
  readonly work: CancellationScope;
  readonly outbox: Outbox;
  /** Messages of people in this history, and gates that went on by them. */
  moved(): number;
  /** Steps that run, without those that wait for people or are held. */
  running(): number;
  /** Whether people or Temporal want the run to end. */
  cancelled(): boolean;
  /** Whether the root is not ready to leave its history. */
  mustStay(): boolean;
  readonly ends: Ends;
  /** Whether the history before, or this one, may have stopped files whose ends did not run. */
  owesEnds(): boolean;
  /** Of the plan that the run follows. */
  planDigest(): string;
  /** Takes messages that came while the steps were being ended. */
  letIn(): void;
  /** Records what no record has yet of what people said. */
  keep(): Promise<void>;
  /** There is no new history after all. */
  resume(): void;
  /** What the next history begins with. */
  next(): RunArguments;
}

export class Renewal {
  readonly #of: Renewed;
  #begun = false;
  #ending = false;
  #over = false;
  #leaving = false;
  /** Whether a workflow below has a long history, and whether no quiet moment is awaited because of it. */
  #isWorn = false;
  #isWornOut = false;

  constructor(of: Renewed) {
    this.#of = of;
  }

  open(): void {
    const { renewAfter } = this.#of;
    if (renewAfter !== undefined) this.#beginAfter(renewAfter).catch(rethrowUnlessCancelled);
  }

  async #beginAfter(renewAfter: number): Promise<void> {
    const { ends, work } = this.#of;
    for (let from = 0; ; from = workflowInfo().historyLength + eventsBetweenLooks) {
      await condition(() => this.#isDue(renewAfter, from));
      this.#begun = true;
      if (await ends.hold()) {
        if (!this.#mayNot()) {
          this.#leaving = true;
          return work.cancel();
        }
        await ends.release();
      }
      this.#begun = false;
    }
  }

  /** A workflow below the root tells that its history is long. */
  worn(atOnce: boolean): void {
    this.#isWorn = true;
    this.#isWornOut ||= atOnce;
  }

  get owesEnds(): boolean {
    return this.#of.owesEnds();
  }

  get planDigest(): string {
    return this.#of.planDigest();
  }

  /** Whether steps are being ended for a new history, or are about to be. */
  get hasBegun(): boolean {
    return this.#begun;
  }

  /** Whether steps are being ended: what gates are sent now comes too late for them, and in time for the new history. */
  get isLeaving(): boolean {
    return this.#leaving;
  }

  /** Whether people or Temporal want the run to end. */
  get isCancelled(): boolean {
    return this.#of.cancelled();
  }

  /** Whether a message would come too late for this history. */
  get isOver(): boolean {
    return this.#over;
  }

  /** The steps have ended: the run goes on in a new history if that is why, else it ends in this one. Throws then. */
  async goOn(): Promise<void> {
    this.endsHere();
    const { outbox, cancelled, keep, next } = this.#of;
    if (!this.#begun || cancelled()) return;
    await CancellationScope.nonCancellable(async () => {
      await outbox.stop();
      await keep();
      await condition(allHandlersFinished);
    });
    if (cancelled()) {
      outbox.resume();
      this.#of.resume();
      return;
    }
    this.#over = true;
    await continueAsNew<(args: RunArguments) => Promise<RunSummary>>(next());
  }

  /** All steps have ended, but for those of the end, which run once. */
  endsHere(): void {
    this.#ending = true;
    this.#leaving = false;
    this.#of.letIn();
  }

  #isDue(renewAfter: number, from: number): boolean {
    const { moved, running, ends } = this.#of;
    const { historyLength } = workflowInfo();
    if (historyLength < renewAfter && !this.#isWorn) return false;
    if (historyLength < from || moved() < movedMin || this.#mayNot()) return false;
    // To ask about the ends of files takes events, too.
    return historyLength >= renewAfter * patience || this.#isWornOut || running() === 0 || ends.areOpen;
  }

  #mayNot(): boolean {
    const { cancelled, mustStay } = this.#of;
    return this.#ending || cancelled() || mustStay();
  }
}
