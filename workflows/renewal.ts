/**
 * The root of a run goes on in a new history before its own grows too long, however much people say. Its steps end as at a
 * pause "now", with checkpoints; then the workflow begins again, as one does whose history was lost: from the record.
 */

import { allHandlersFinished, CancellationScope, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type { Ending } from '../plan/types.ts';
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
  /** How the steps ended, where those of `finally` were cut in the history before. */
  readonly ending: Ending | undefined;
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
  /** What the next history begins with; `ending`: how the steps ended, where they did. */
  next(ending: Ending | null): RunArguments;
}

export class Renewal {
  readonly #of: Renewed;
  #begun = false;
  #isCut = false;
  /** While ends that are owed run, which wait for nobody. */
  #owing = false;
  #end: { readonly ending: Ending; readonly keep: () => Promise<void> } | null = null;
  #isClosed = false;
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
    if (renewAfter === undefined) return;
    // Also where Temporal cancels the run: ends that are held must be let go.
    CancellationScope.nonCancellable(() => this.#beginAfter(renewAfter)).catch(rethrowUnlessCancelled);
  }

  async #beginAfter(renewAfter: number): Promise<void> {
    const { ends, work, outbox } = this.#of;
    for (let from = 0; ; from = workflowInfo().historyLength + eventsBetweenLooks) {
      await condition(() => this.#isDue(renewAfter, from));
      this.#begun = true;
      if (await ends.hold()) {
        if (!this.#mayNot()) {
          this.#isCut = true;
          this.#leaving = true;
          // Nobody below needs it any more, and each message would make this history longer.
          outbox.hold();
          work.cancel();
          return;
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

  /** How the steps ended in an earlier history: those of `finally` are left to do. */
  get ending(): Ending | undefined {
    return this.#of.ending;
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

  /** Whether steps are being ended for a new history; cancelling their scope does not reach those of `finally`. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Whether people or Temporal want the run to end. */
  get isCancelled(): boolean {
    return this.#of.cancelled();
  }

  /** Whether a message would come too late for this history. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Steps have ended: throws where that is because the run goes on in a new history, which begins then. */
  async goOn(): Promise<void> {
    const { outbox, cancelled, keep, next, ends } = this.#of;
    if (!this.#isCut) return;
    this.#letIn();
    if (!cancelled()) {
      await CancellationScope.nonCancellable(async () => {
        await outbox.stop();
        await keep();
        await this.#end?.keep();
        await condition(allHandlersFinished);
      });
      if (!cancelled()) {
        this.#over = true;
        await continueAsNew<(args: RunArguments) => Promise<RunSummary>>(next(this.#end?.ending ?? null));
      }
    }
    this.#stay();
    await CancellationScope.nonCancellable(() => ends.release());
  }

  /** The steps have ended, and those of `finally` begin. `keep`: what a new history needs to go on with these. */
  endBegins(ending: Ending, keep: () => Promise<void>): void {
    this.#end = { ending, keep };
  }

  /** Runs ends that are owed; no new history begins meanwhile. */
  async paying(work: () => Promise<void>): Promise<void> {
    this.#owing = true;
    try {
      await work();
    } finally {
      this.#owing = false;
    }
  }

  /** Nothing is left to do; where the steps were to be ended, they have come to their end by themselves. */
  close(): void {
    this.#isClosed = true;
    this.#letIn();
    if (this.#isCut) this.#stay();
  }

  #stay(): void {
    this.#of.outbox.resume();
    this.#of.resume();
    this.#isCut = false;
  }

  /** What waits for the new history, or for there being none, comes in. */
  #letIn(): void {
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
    return this.#isClosed || this.#owing || cancelled() || mustStay();
  }
}
