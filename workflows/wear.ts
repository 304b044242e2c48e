/**
 * How a workflow below the root tells that the messages of gates, states, retries and orders have made its history long. Only the
 * root goes on in a new history, and with it all that is below: so it hears of it directly, and then takes its own as due.
 */

import { condition, getExternalWorkflowHandle, workflowInfo } from '@temporalio/workflow';
import type { Ends } from './ends.ts';
import { workflowIdOf } from './messages.ts';
import { rethrowUnlessCancelled, toLiving } from './orders.ts';
import { patience } from './pace.ts';
import { type RunFacts, wornSignal } from './scope-messages.ts';

/** A history in which a message stands for more events has grown by its own steps, whose number the plan bounds. */
const eventsPerMessageMax = 16;
/** One that is passed on to a child: the signal, and at most a task for the word that it has arrived. */
const eventsPerChild = 5;

/** Where the ends of files are to be held first, so much earlier: to ask each child takes as long as to end it. */
const endsShare = 0.75;

export class Wear {
  readonly #ends: Ends;
  /** Events that messages stand for. */
  #caused = 0;

  constructor(ends: Ends) {
    this.#ends = ends;
  }

  /** A message came from another workflow of the run. `passedOn`: to so many children. */
  note(passedOn = 0): void {
    this.#caused += eventsPerMessageMax + passedOn * eventsPerChild;
  }

  /**
   * Tells the root a few times in the workflow's life at most: that a quiet moment is awaited, and then that none is any
   * more. No answer is waited for, as a busy server may keep any one of them for minutes.
   */
  watch({ run, wornAfter }: Pick<RunFacts, 'run' | 'wornAfter'>): void {
    if (wornAfter === undefined) return;
    const root = getExternalWorkflowHandle(workflowIdOf(run));
    const tell = async () => {
      for (const share of [1, patience, 1.25, 1.5]) {
        await condition(() => this.#isWorn(wornAfter * share));
        toLiving(root.signal(wornSignal, { atOnce: share > 1 })).catch(rethrowUnlessCancelled);
      }
    };
    tell().catch(rethrowUnlessCancelled);
  }

  #isWorn(events: number): boolean {
    const { historyLength } = workflowInfo();
    const level = this.#ends.areOpen ? events * endsShare : events;
    return historyLength >= level && this.#caused >= historyLength;
  }
}
