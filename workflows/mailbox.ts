/** Where messages for the steps of one workflow lie until the steps take them, and how the steps answer the root. */

import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import { Arrivals } from './arrivals.ts';
import { Ends } from './ends.ts';
import { workflowIdOf } from './messages.ts';
import { Orders, receiveOrders } from './orders.ts';
import { countOf, takeFitting } from './pace.ts';
import { onPassedOn } from './pass-on.ts';
import { Relay, sendReplies, sendRetry } from './relay.ts';
import {
  batchesSignal,
  type GateProgress,
  groupGrantedSignal,
  type LiveState,
  type News,
  newsSignal,
  type Opening,
  type QueuedBatch,
  type Reply,
  type RunFacts,
  repliesSignal,
  retryStepsSignal,
  type SentBatches,
  scopeStateSignal,
  slotsFreedSignal,
  slotsGivenSignal,
} from './scope-messages.ts';
import type { ScopeState } from './scope-state.ts';
import type { StandingOrders } from './standing-orders.ts';
import { Wear } from './wear.ts';

/** What a step tells the root. */
export interface Root {
  stepHeld(path: string): Promise<void>;
  gateOpened(gate: string, undecided: number): Promise<void>;
  gateProgress(progress: GateProgress): Promise<void>;
  gateClosing(gate: string, by: 'people' | 'clock'): Promise<void>;
  /** It never waits: nothing is left to decide. */
  gatePassed(gate: string): void;
  formOpened(path: string): Promise<void>;
  formClosing(path: string): Promise<void>;
  /** It never waits: it was answered before. */
  formAnswered(path: string, given: GivenAnswer): void;
}

export class Mailbox {
  readonly orders: Orders;
  readonly relay = new Relay();
  readonly ends = new Ends();
  readonly wear = new Wear(this.ends);
  /** Of each gate the newest. */
  readonly #openings = new Map<string, Opening>();
  readonly #arrivals = new Map<string, Arrivals>();
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
    this.#arrivals.set(gate, new Arrivals());
    this.#sealed.delete(gate);
    this.#open(gate);
  }

  openForm(path: string): void {
    this.#answers.delete(path);
    this.#open(path);
  }

  #open(path: string): void {
    const { workflowId } = workflowInfo();
    this.#openings.set(path, { path, holder: workflowId, opening: uuid4(), openedAt: Date.now() });
  }

  /** Of a gate that has opened here the newest. */
  openingOf(path: string): Opening {
    return this.#openings.get(path)!;
  }

  /** `areDirect`: they came to this workflow alone, so what comes of them goes back to the root as they came. */
  batches(sent: SentBatches, areDirect: boolean): void {
    // The root sends them again to the newest opening.
    if (sent.opening === this.#openings.get(sent.path)?.opening) this.#arrivals.get(sent.path)?.take(sent, areDirect);
  }

  reply(reply: Reply): void {
    if (reply.opening !== this.#openings.get(reply.path)?.opening) return;
    if ('queued' in reply) this.batches(reply, false);
    else if ('batches' in reply) this.#sealed.set(reply.path, reply.batches);
    else this.#answers.set(reply.path, reply.given);
  }

  /** Whether what comes of the newest decisions of the gate goes to the root as they came. */
  isDirect(gate: string): boolean {
    return this.#arrivals.get(gate)?.areDirect ?? true;
  }

  /** Undefined while there is none; null where the form was closed without one. */
  answerOf(path: string): GivenAnswer | null | undefined {
    return this.#answers.get(path);
  }

  retry(path: string): void {
    this.#retried.add(path);
  }

  hasBatch(gate: string): boolean {
    return (this.#arrivals.get(gate)?.queue.length ?? 0) > 0;
  }

  /** Decisions that wait to be written; of a list in the store, which may hold any number, all that could be. */
  decisionsIn(gate: string): number {
    return countOf(this.#arrivals.get(gate)?.queue ?? []);
  }

  /** The oldest ones, as many as go into one message. */
  takeBatches(gate: string): QueuedBatch[] {
    return takeFitting(this.#arrivals.get(gate)?.queue ?? []);
  }

  /** Every batch that the root will ever send for the gate has arrived. */
  async allArrived(gate: string): Promise<void> {
    await condition(() => {
      const sent = this.#sealed.get(gate);
      return sent !== undefined && (this.#arrivals.get(gate)?.count ?? 0) >= sent;
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
export function openMailbox({
  orders,
  unattended,
  endsHeld,
  ...facts
}: Pick<RunFacts, 'run' | 'orders' | 'unattended' | 'endsHeld' | 'wornAfter'>): Mailbox {
  const mailbox = new Mailbox(new Orders(orders));
  const { relay, wear } = mailbox;
  if (unattended) mailbox.orders.leaveUnattended('');
  // What came before this history began is handled here and now.
  receiveOrders(mailbox.orders, (children) => wear.note(children));
  mailbox.ends.receive(endsHeld);
  const life = CancellationScope.current();
  setHandler(batchesSignal, (sent) => {
    wear.note();
    mailbox.batches(sent, true);
  });
  const retry = async ({ paths, orders }: { readonly paths: readonly string[]; readonly orders: StandingOrders }) => {
    wear.note();
    mailbox.orders.take(orders);
    const { own, below } = relay.route(paths, (path) => path);
    for (const path of own) mailbox.retry(path);
    await Promise.all([...below].map(([id, its]) => sendRetry(id, its, orders)));
  };
  onPassedOn(retryStepsSignal, retry);
  const answer = async ({ replies }: { readonly replies: readonly Reply[] }) => {
    wear.note();
    const { own, below } = relay.route(replies, ({ path }) => path);
    for (const reply of own) mailbox.reply(reply);
    // Gates below are being cancelled, but for those of ends: to tell them takes a long history three events each.
    if (life.consideredCancelled && !mailbox.ends.areOpen) return;
    await Promise.all([...below].map(([id, its]) => sendReplies(id, its)));
  };
  onPassedOn(repliesSignal, answer);
  setHandler(newsSignal, ({ news, from }) => {
    wear.note();
    relay.tell(news, from);
  });
  relay.open();
  wear.watch(facts);
  return mailbox;
}

/** The root as a child of any depth sees it. */
export function distantRoot({ run, bundled }: Pick<RunFacts, 'run' | 'bundled'>, mailbox: Mailbox): Root {
  const root = getExternalWorkflowHandle(workflowIdOf(run));
  const { workflowId: from } = workflowInfo();
  const { relay } = mailbox;
  const tellDirectly = async (one: News) => {
    relay.note([one]);
    await root.signal(newsSignal, { news: [one], from });
  };
  const tellInTime = async (one: News) => relay.tell([one]);
  // Gates of workflows beside each other open, and their time runs out, at the same moment.
  const tell = bundled ? tellInTime : tellDirectly;
  // People decide one by one, and the workflows between need not know. What they decided before comes to many gates at once.
  const tellAsDecided = (gate: string, one: News) => (mailbox.isDirect(gate) ? tellDirectly(one) : tell(one));
  return {
    stepHeld: (path) => tellInTime({ what: 'held', path }),
    gateOpened: (gate, undecided) => tell({ what: 'gate-opened', ...mailbox.openingOf(gate), undecided }),
    gateProgress: (progress) => tellAsDecided(progress.path, { what: 'gate-progress', ...progress }),
    gateClosing: (gate, by) => {
      const closing = { what: 'gate-closing', ...mailbox.openingOf(gate) } as const;
      return by === 'people' ? tellAsDecided(gate, closing) : tell(closing);
    },
    gatePassed: (path) => relay.tell([{ what: 'gate-passed', path, at: Date.now() }]),
    formOpened: (path) => tell({ what: 'form-opened', ...mailbox.openingOf(path) }),
    formClosing: (path) => tell({ what: 'form-closing', ...mailbox.openingOf(path) }),
    formAnswered: (path, given) => relay.tell([{ what: 'form-answered', path, given, at: Date.now() }]),
  };
}

/** A child is in its parent's eyes what its steps are together; batches of legs also hand back what they need no more. */
export function receiveChildStates(state: ScopeState, mailbox: Mailbox): void {
  setHandler(scopeStateSignal, (child) => {
    mailbox.wear.note();
    state.update(child.path, child.state);
  });
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
