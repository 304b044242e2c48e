/** Where messages for the steps of one workflow lie until the steps take them, and how the steps answer the root. */

import { HandlerUnfinishedPolicy } from '@temporalio/common';
import { condition, getExternalWorkflowHandle, setHandler, workflowInfo } from '@temporalio/workflow';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import { Holds, sendRetry } from './holds.ts';
import { workflowIdOf } from './messages.ts';
import { type Orders, receiveOrders } from './orders.ts';
import { countOf, takeFitting } from './pace.ts';
import {
  batchesSignal,
  formAnswerSignal,
  formClosingSignal,
  formOpenedSignal,
  type GateProgress,
  gateClosingSignal,
  gateOpenedSignal,
  gateProgressSignal,
  groupGrantedSignal,
  type LiveState,
  type QueuedBatch,
  type RunFacts,
  retryStepsSignal,
  scopeStateSignal,
  sealedSignal,
  slotsFreedSignal,
  slotsGivenSignal,
  stepsHeldSignal,
} from './scope-messages.ts';
import type { ScopeState } from './scope-state.ts';
import type { StandingOrders } from './standing-orders.ts';

/** What a step tells the root. */
export interface Root {
  stepHeld(path: string): Promise<void>;
  gateOpened(gate: string, undecided: number): Promise<void>;
  gateProgress(progress: GateProgress): Promise<void>;
  gateClosing(gate: string): Promise<void>;
  formOpened(path: string): Promise<void>;
  formClosing(path: string): Promise<void>;
  /** Of a form of the root's own scope that was answered before it could wait. */
  formAnswered(path: string, given: GivenAnswer): void;
}

export class Mailbox {
  readonly orders: Orders;
  readonly holds = new Holds();
  readonly #batches = new Map<string, QueuedBatch[]>();
  readonly #received = new Map<string, number>();
  readonly #sealed = new Map<string, number>();
  readonly #retried = new Set<string>();
  /** Tickets of concurrency groups whose turn it is. */
  readonly #groups = new Set<string>();
  readonly #answers = new Map<string, GivenAnswer | null>();
  readonly #slots = new Map<string, number>();

  constructor(orders: Orders) {
    this.orders = orders;
    setHandler(groupGrantedSignal, ({ id }) => void this.#groups.add(id));
  }

  isInGroup(id: string): boolean {
    return this.#groups.has(id);
  }

  groupLeft(id: string): void {
    this.#groups.delete(id);
  }

  /** Forgets what an earlier opening of the gate received; the root sends again what is not in the ledger. */
  openGate(gate: string): void {
    this.#batches.delete(gate);
    this.#received.delete(gate);
    this.#sealed.delete(gate);
  }

  batch(batch: QueuedBatch): void {
    const queue = this.#batches.get(batch.gate) ?? [];
    queue.push(batch);
    this.#batches.set(batch.gate, queue);
    this.#received.set(batch.gate, (this.#received.get(batch.gate) ?? 0) + 1);
  }

  sealed(gate: string, batches: number): void {
    this.#sealed.set(gate, batches);
  }

  /** Forgets that an earlier opening of the form ended without an answer. */
  openForm(path: string): void {
    if (this.#answers.get(path) === null) this.#answers.delete(path);
  }

  answerForm(path: string, given: GivenAnswer | null): void {
    this.#answers.set(path, given);
  }

  /** Undefined while there is none; null where the form was closed without one. */
  answerOf(path: string): GivenAnswer | null | undefined {
    return this.#answers.get(path);
  }

  retry(path: string): void {
    this.#retried.add(path);
  }

  hasBatch(gate: string): boolean {
    return (this.#batches.get(gate)?.length ?? 0) > 0;
  }

  /** Decisions that wait to be written; of a list in the store, which may hold any number, all that could be. */
  decisionsIn(gate: string): number {
    return countOf(this.#batches.get(gate) ?? []);
  }

  /** The oldest ones, as many as go into one message. */
  takeBatches(gate: string): QueuedBatch[] {
    return takeFitting(this.#batches.get(gate) ?? []);
  }

  /** Every batch that the root will ever send for the gate has arrived. */
  async allArrived(gate: string): Promise<void> {
    await condition(() => {
      const sent = this.#sealed.get(gate);
      return sent !== undefined && (this.#received.get(gate) ?? 0) >= sent;
    });
  }

  /** Slots that a batch of legs has handed back. */
  slotsFreed(batch: string, count: number): void {
    this.#slots.set(batch, (this.#slots.get(batch) ?? 0) + count);
  }

  hasSlots(batch: string): boolean {
    return this.#slots.has(batch);
  }

  takeSlots(batch: string): number {
    const count = this.#slots.get(batch) ?? 0;
    this.#slots.delete(batch);
    return count;
  }

  /** Also when the step is to be skipped, and when nobody is waited for any more: it finds out when it begins. */
  async retryOf(path: string): Promise<void> {
    await condition(
      () => this.#retried.has(path) || this.orders.whyNot(path) !== undefined || this.orders.isUnattended(path),
    );
    this.#retried.delete(path);
  }
}

/** The mailbox of a child, filled by signals from the root. */
export function openMailbox({ orders, unattended }: Pick<RunFacts, 'orders' | 'unattended'>): Mailbox {
  const mailbox = new Mailbox(receiveOrders(orders, unattended === true));
  setHandler(batchesSignal, ({ batches }) => {
    for (const batch of batches) mailbox.batch(batch);
  });
  setHandler(sealedSignal, ({ gate, batches }) => mailbox.sealed(gate, batches));
  const retry = async ({ paths, orders }: { readonly paths: readonly string[]; readonly orders: StandingOrders }) => {
    mailbox.orders.take(orders);
    const { own, below } = mailbox.holds.takeForRetry(paths);
    for (const path of own) mailbox.retry(path);
    await Promise.all([...below].map(([id, its]) => sendRetry(id, its, orders)));
  };
  setHandler(retryStepsSignal, retry, { unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON });
  setHandler(stepsHeldSignal, ({ paths, workflowId }) => mailbox.holds.add(paths, workflowId));
  void mailbox.holds.tellParent();
  setHandler(formAnswerSignal, ({ path, given }) => mailbox.answerForm(path, given));
  return mailbox;
}

/** The root as a child of any depth sees it. */
export function distantRoot(run: string, { holds }: Mailbox): Root {
  const root = getExternalWorkflowHandle(workflowIdOf(run));
  const { workflowId } = workflowInfo();
  return {
    stepHeld: async (path) => holds.add([path]),
    gateOpened: (gate, undecided) => root.signal(gateOpenedSignal, { gate, workflowId, undecided }),
    gateProgress: (progress) => root.signal(gateProgressSignal, progress),
    gateClosing: (gate) => root.signal(gateClosingSignal, { gate }),
    formOpened: (path) => root.signal(formOpenedSignal, { path, workflowId }),
    formClosing: (path) => root.signal(formClosingSignal, { path }),
    // A part of a root of very many steps is its own workflow, and has the path of the root.
    formAnswered: () => undefined,
  };
}

/** A child is in its parent's eyes what its steps are together; batches of legs also hand back what they need no more. */
export function receiveChildStates(state: ScopeState, mailbox: Mailbox): void {
  setHandler(scopeStateSignal, (child) => state.update(child.path, child.state));
  setHandler(slotsFreedSignal, ({ path, count }) => mailbox.slotsFreed(path, count));
}

/** A batch of legs gets more slots from its parent. */
export function receiveSlots(take: (count: number) => void): void {
  setHandler(slotsGivenSignal, ({ count }) => take(count));
}

export async function tellParent(path: string, state: LiveState): Promise<void> {
  const parent = workflowInfo().parent;
  if (parent) await getExternalWorkflowHandle(parent.workflowId).signal(scopeStateSignal, { path, state });
}
