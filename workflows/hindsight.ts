/** What a root that begins again has to know of the run before: messages of people wait until it knows what was said then. */

import { condition } from '@temporalio/workflow';
import type { DecidedPage } from '../activities/load-decided.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import { control } from './control.ts';
import type { DecisionDesk } from './decision-desk.ts';

export class Hindsight {
  #complete: boolean;

  /** `complete`: nobody has said anything before. */
  constructor(complete: boolean) {
    this.#complete = complete;
  }

  get complete(): boolean {
    return this.#complete;
  }

  async wait(): Promise<void> {
    await condition(() => this.#complete);
  }

  /** Tells the desks what the record of the run has. */
  async gather(run: string, decisions: DecisionDesk, approvals: ApprovalDesk): Promise<void> {
    for (let from: number | null = 0; from !== null; ) {
      const page: DecidedPage = await control('load-decided', { run, from });
      for (const batch of page.batches) decisions.recall(batch);
      for (const gate of page.closed) decisions.recallClosed(gate);
      for (const { gate, given } of page.answers) approvals.restore(gate, given);
      from = page.next;
    }
    this.#complete = true;
  }
}
