/**
 * What the root must know before it takes messages of people: its plan, and where it begins again, what was said before.
 * Until then they wait, and are checked by what is known then.
 */

import type { SignalDefinition, UpdateDefinition } from '@temporalio/common';
import { ApplicationFailure, setHandler } from '@temporalio/workflow';
import type { DecidedPage } from '../activities/load-decided.ts';
import type { EarlyPage } from '../activities/load-early.ts';
import type { EarlyMessage } from '../artifacts/early-messages.ts';
import type { PlannedScope } from '../plan/types.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import { control } from './control.ts';
import type { DecisionDesk } from './decision-desk.ts';

/** What becomes of a message. */
interface Rules<Answer, Message> {
  /** Null where it can be taken. */
  refusalOf(message: Message): ApplicationFailure | null;
  take(message: Message): Answer | Promise<Answer>;
}

export class Briefing {
  #scope: PlannedScope | null;
  #isComplete = false;
  #isFull: () => boolean = () => false;
  #refusal: () => string | null = () => null;
  /** Called in the order in which the messages came. */
  readonly #waiting: (() => void)[] = [];

  /** `scope`: of the plan; null where it has to be fetched. */
  constructor(scope: PlannedScope | null) {
    this.#scope = scope;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** The root of the plan that the run follows. */
  get scope(): PlannedScope {
    if (this.#scope === null) throw new Error('Internal error: the plan of the run was asked for before it was there.');
    return this.#scope;
  }

  planIs(scope: PlannedScope): void {
    this.#scope = scope;
  }

  complete(): void {
    this.#isComplete = true;
    this.letIn();
  }

  /** Messages also wait while `isFull`, until `letIn`. Temporal lets some ten wait, and has the others sent again. */
  waitWhile(isFull: () => boolean): void {
    this.#isFull = isFull;
  }

  /** Every message is refused while `refusal` answers why, as nothing would come of it. */
  refuseWhile(refusal: () => string | null): void {
    this.#refusal = refusal;
  }

  letIn(): void {
    for (const goOn of this.#waiting.splice(0)) goOn();
  }

  /** Tells the desks what the record of the run has. `decided`: people were asked; `early`: some spoke before that. */
  async gather(
    run: string,
    { decided, early }: { readonly decided: boolean; readonly early: boolean },
    decisions: DecisionDesk,
    approvals: ApprovalDesk,
  ): Promise<void> {
    for (let from: DecidedPage['next'] | undefined = decided ? null : undefined; from !== undefined; ) {
      const page: DecidedPage = await control('load-decided', { run, from });
      for (const batch of page.batches) decisions.recall(batch);
      for (const gate of page.closed) decisions.recallClosed(gate);
      for (const { gate, given } of page.answers) approvals.restore(gate, given);
      from = page.next ?? undefined;
    }
    for (let from: EarlyPage['next'] | undefined = early ? null : undefined; from !== undefined; ) {
      const page: EarlyPage = await control('load-early', { run, from });
      for (const message of page.messages) this.restore(message, decisions, approvals);
      from = page.next ?? undefined;
    }
    this.complete();
  }

  restore(message: EarlyMessage, decisions: DecisionDesk, approvals: ApprovalDesk): void {
    if ('batch' in message) decisions.restore(message.batch);
    else approvals.restore(message.gate, message.given);
  }

  /** The sender of what waits is told as by the validator, only later. What does not wait needs no briefing. */
  update<Answer, Message>(
    definition: UpdateDefinition<Answer, [Message]>,
    { refusalOf, take }: Rules<Answer, Message>,
    waits = true,
  ): void {
    const mayTake = () => !waits || this.#mayTake();
    const validate = (message: Message) => {
      const refusal = refusalFor(this.#refusal()) ?? refusalOf(message);
      if (refusal !== null) throw refusal;
    };
    const takeLater = async (message: Message) => {
      await this.#admitted();
      validate(message);
      return take(message);
    };
    setHandler(definition, (message: Message) => (mayTake() ? take(message) : takeLater(message)), {
      validator: (message: Message) => {
        if (mayTake()) validate(message);
      },
    });
  }

  signal<Message>(definition: SignalDefinition<[Message]>, take: (message: Message) => void): void {
    setHandler(definition, (message: Message) =>
      this.#mayTake() ? take(message) : this.#admitted().then(() => take(message)),
    );
  }

  #mayTake(): boolean {
    return this.#isComplete && !this.#isFull();
  }

  /** No `condition`: a cancelled run has the messages checked as any other. */
  #admitted(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The failure of an update that is refused for the problem. */
export function refusalFor(problem: string | null, type?: string): ApplicationFailure | null {
  return problem === null ? null : ApplicationFailure.nonRetryable(problem, type);
}
