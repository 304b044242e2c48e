/** The root's desk for decisions: takes them from people, and passes them on to the workflow that waits for them. */

import {
  CancellationScope,
  defineQuery,
  defineSignal,
  defineUpdate,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { DecidedBatch } from '../activities/load-decided.ts';
import type { EarlyMessage } from '../artifacts/early-messages.ts';
import type { Decision } from '../detection/types.ts';
import { isWithin } from '../plan/paths.ts';
import { type Briefing, refusalFor } from './briefing.ts';
import { takeBundle } from './bundles.ts';
import { control } from './control.ts';
import {
  asksSeveral,
  conflictOf,
  gatePaths,
  isGatePath,
  markOf,
  problemOfMessage,
  subjectOf,
} from './decision-check.ts';
import type { Mailbox } from './mailbox.ts';
import {
  type DecideAnswer,
  type DecideMessage,
  decideName,
  type GatesAnswer,
  gatesName,
  gatherMore,
  type RefusedDecision,
  type WrittenList,
} from './messages.ts';
import { rethrowUnlessCancelled, toLiving } from './orders.ts';
import type { Outbox } from './outbox.ts';
import { countOf, leastDecisions, linger, takeFitting } from './pace.ts';
import { rootStepOf } from './plan-paths.ts';
import { sendReplies } from './relay.ts';
import type { Renewal } from './renewal.ts';
import {
  batchesSignal,
  type GateProgress,
  type HandedOver,
  type Opening,
  type Passed,
  type QueuedBatch,
  type Reply,
  type SentBatches,
  type Unsent,
} from './scope-messages.ts';

// An update, because the sender wants to know whether the decisions were taken; a signal for the bare Temporal CLI.
const decideUpdate = defineUpdate<DecideAnswer, [DecideMessage]>(decideName);
const decideSignal = defineSignal<[DecideMessage]>(decideName);
const gatesQuery = defineQuery<GatesAnswer>(gatesName);

interface Gate {
  /** Id of the workflow that holds it open; null before it opens. */
  holder: string | null;
  /** Of its openings the newest, and when that was. */
  opening: string;
  openedAt: number;
  closed: boolean;
  /** Whether it never waited. */
  passed: boolean;
  undecided: number;
  /** Whether several people may be asked about one candidate. */
  readonly asksSeveral: boolean;
  /** What each candidate was decided as, by `subjectOf`: a conflict is answered at once, without a look into the store. */
  readonly decided: Map<string, string>;
  readonly references: Set<string>;
  /** Batches taken so far. */
  taken: number;
  /** Batches that the holder has not yet reported as written; sent again when the gate opens again. */
  unwritten: QueuedBatch[];
  /** Batches sent to the present holder. */
  sent: number;
  /** Of those that are not written yet, the ones on their way to another workflow. */
  toSend: QueuedBatch[];
}

/** How many refused decisions the query shows; all of them are notices of the run. */
const refusedShownMax = 100;
/** And of lists in the store that were written. */
const listsShownMax = 100;
/** As many people may decide at the same moment, and be answered as if each were alone. */
const fewGates = 4;

export class DecisionDesk {
  readonly #run: string;
  readonly #mailbox: Mailbox;
  readonly #gates = new Map<string, Gate>();
  readonly #refused: RefusedDecision[] = [];
  readonly #lists: WrittenList[] = [];
  readonly #outbox: Outbox;
  /** Batches that are yet to be kept. */
  readonly #early: QueuedBatch[] = [];
  /** Gates with batches on their way to other workflows; and whether more are waited for. */
  readonly #toSend = new Set<string>();
  #gathering = false;
  #isLeaving = () => false;
  /** Messages that people sent in this history, reports of the ledger, and gates that came to their end. */
  moved = 0;
  readonly #briefing: Briefing;

  constructor(run: string, briefing: Briefing, mailbox: Mailbox, outbox: Outbox) {
    this.#outbox = outbox;
    this.#briefing = briefing;
    this.#run = run;
    this.#mailbox = mailbox;
  }

  open(renewal: Pick<Renewal, 'isLeaving'>): void {
    this.#isLeaving = () => renewal.isLeaving;
    this.#briefing.update(decideUpdate, {
      refusalOf: (message) => refusalFor(this.#problemOf(message)) ?? refusalFor(this.#tooFew(message), gatherMore),
      take: (message) => this.#take(message, 'update'),
    });
    this.#briefing.signal(decideSignal, (message) => {
      const problem = this.#problemOf(message);
      if (problem === null) this.#take(message, 'signal');
      else this.#note(`A decide signal was refused. ${problem}`);
    });
    setHandler(gatesQuery, () => this.#answer());
  }

  /** What is in no ledger yet, so that it comes to the gates when they open again. */
  takeBack(): EarlyMessage[][] {
    const unwritten: QueuedBatch[] = [];
    for (const [, gate] of this.#gates) {
      unwritten.push(...gate.unwritten);
      Object.assign(gate, { holder: null, toSend: [] });
    }
    this.#toSend.clear();
    // All of them are unwritten.
    this.#early.length = 0;
    const messages: EarlyMessage[][] = [];
    while (unwritten.length > 0) {
      messages.push(takeFitting(unwritten).map((batch) => ({ gate: batch.gate, batch })));
    }
    return messages;
  }

  /** There is no new history after all. */
  resume(): void {
    if (this.#early.length > 0) this.#keepAll();
  }

  /** Batches that came in the last moments of the history. */
  get unsent(): Unsent[] {
    return this.#early.map((batch) => ({ early: { gate: batch.gate, batch } }));
  }

  handOver(): Pick<HandedOver, 'gates' | 'refused' | 'lists'> {
    // One that never waited is found so again.
    const gates = [...this.#gates].flatMap(([path, { closed, passed, taken, references }]) =>
      passed && taken === 0 ? [] : [[path, { closed, taken, references: [...references] }] as const],
    );
    return { gates: Object.fromEntries(gates), refused: this.#refused, lists: this.#lists };
  }

  takeOver({ gates, refused, lists }: Pick<HandedOver, 'gates' | 'refused' | 'lists'>): void {
    for (const [path, { closed, taken, references }] of Object.entries(gates)) {
      const gate = this.#gateOf(path);
      Object.assign(gate, { closed, taken });
      for (const reference of references) gate.references.add(reference);
    }
    this.#refused.push(...refused);
    this.#lists.push(...lists);
  }

  // Decisions.

  #problemOf(message: DecideMessage): string | null {
    const problem = problemOfMessage(message);
    if (problem !== null) return problem;
    if (!isGatePath(this.#briefing.scope, message.gate)) {
      const known = gatePaths(this.#briefing.scope).join(', ') || 'none';
      return `The run ${this.#run} has no review gate "${message.gate}". Its gates: ${known}.`;
    }
    const gate = this.#gates.get(message.gate);
    if (message.proceed === true && (gate === undefined || gate.holder === null || gate.closed)) {
      return `The gate ${message.gate} does not wait for decisions, so there is nothing to go on from.`;
    }
    if (gate === undefined) return null;
    const conflict = conflictOf(message, gate.decided, gate.asksSeveral);
    if (conflict !== null) return conflict;
    const { decisions, by } = message;
    const repeats = decisions?.every((one) => gate.decided.has(subjectOf(one, by, gate.asksSeveral))) ?? false;
    if (gate.closed && !repeats) {
      return `The gate ${message.gate} is closed: its decisions have been applied. See "hardcase review list ${this.#run}" for open ones.`;
    }
    return null;
  }

  /** Only of updates: a signal has been recorded by the time it comes, so that nothing is gained by refusing it. */
  #tooFew({ gate, decisions, proceed }: DecideMessage): string | null {
    if (decisions === undefined || proceed === true) return null;
    const undecided = this.#gates.get(gate)?.undecided ?? 0;
    const least = leastDecisions(workflowInfo().historyLength, undecided);
    if (decisions.length >= Math.min(least, undecided)) return null;
    return `The run ${this.#run} has taken so many messages that one must now bring at least ${least} decisions, or all that are missing; this one brings ${decisions.length}. Gather them, or put them into a list in the store and send its digest as "reference".`;
  }

  #take(message: DecideMessage, via: 'update' | 'signal'): DecideAnswer {
    const gate = this.#gateOf(message.gate);
    this.moved++;
    const { decisions, reference, shown, by } = message;
    if (reference !== undefined) {
      if (gate.references.has(reference)) return { accepted: 0, repeated: 0 };
      gate.references.add(reference);
    }
    const fresh: Decision[] = [];
    for (const decision of decisions ?? []) {
      const subject = subjectOf(decision, by, gate.asksSeveral);
      if (gate.decided.has(subject)) continue;
      gate.decided.set(subject, markOf(decision));
      fresh.push(decision);
    }
    if (fresh.length > 0 || reference !== undefined || message.proceed === true) {
      gate.taken++;
      const batch: QueuedBatch = {
        gate: message.gate,
        batch: `${String(gate.taken).padStart(6, '0')}-${message.batch}`,
        by,
        at: new Date().toISOString(),
        via,
        shown,
        ...(reference === undefined ? { decisions: fresh } : { reference }),
        ...(message.proceed === true ? { proceed: true as const } : {}),
      };
      gate.unwritten.push(batch);
      if (gate.holder === null) this.#keep(batch);
      else this.#send(gate, batch);
    }
    return { accepted: fresh.length, repeated: (decisions ?? []).length - fresh.length };
  }

  /** What an earlier workflow of the run took before the gate was open. */
  restore(batch: QueuedBatch): void {
    const gate = this.#gateOf(batch.gate);
    gate.taken = Math.max(gate.taken, Number.parseInt(batch.batch, 10));
    for (const decision of batch.decisions ?? []) {
      gate.decided.set(subjectOf(decision, batch.by, gate.asksSeveral), markOf(decision));
    }
    if (batch.reference !== undefined) gate.references.add(batch.reference);
    gate.unwritten.push(batch);
    this.#send(gate, batch);
  }

  /** What the ledger has: a decision that contradicts it is refused, and one that repeats it counts as that. */
  recall({ gate: path, batch, by, decisions }: DecidedBatch): void {
    const gate = this.#gateOf(path);
    gate.taken = Math.max(gate.taken, Number.parseInt(batch, 10) || 0);
    for (const { mark, ...decision } of decisions) {
      gate.decided.set(subjectOf(decision, by, gate.asksSeveral), mark);
    }
  }

  recallClosed(path: string): void {
    this.#gateOf(path).closed = true;
  }

  /** Until its gate opens, a decision is in no ledger, and would be lost with the engine's memory. */
  #keep(batch: QueuedBatch): void {
    this.#early.push(batch);
    if (this.#early.length === 1) this.#keepAll();
  }

  #keepAll(): void {
    this.#outbox.push(async () => {
      while (this.#early.length > 0 && !this.#outbox.holding) {
        const messages = takeFitting(this.#early).map((each) => ({ gate: each.gate, batch: each }));
        await control('keep-early', { run: this.#run, messages });
      }
    });
  }

  #gateOf(path: string): Gate {
    let gate = this.#gates.get(path);
    if (gate === undefined) {
      gate = {
        asksSeveral: asksSeveral(this.#briefing.scope, path),
        holder: null,
        opening: '',
        openedAt: 0,
        closed: false,
        passed: false,
        undecided: 0,
        decided: new Map(),
        references: new Set(),
        taken: 0,
        unwritten: [],
        sent: 0,
        toSend: [],
      };
      this.#gates.set(path, gate);
    }
    return gate;
  }

  opened({ path, holder, opening, openedAt }: Opening, undecided: number): void {
    const gate = this.#gateOf(path);
    Object.assign(gate, { holder, opening, openedAt, undecided, closed: false, passed: false, sent: 0, toSend: [] });
    for (const batch of gate.unwritten) this.#send(gate, batch);
  }

  progress({ path, written, undecided, refused }: GateProgress): void {
    const gate = this.#gateOf(path);
    gate.undecided = undecided;
    this.moved++;
    for (const { batch, ...counts } of written) {
      const at = gate.unwritten.findIndex((waiting) => waiting.batch === batch);
      const [found] = at < 0 ? [] : gate.unwritten.splice(at, 1);
      if (found?.reference !== undefined) this.#lists.push({ gate: path, reference: found.reference, ...counts });
    }
    this.#lists.splice(0, this.#lists.length - listsShownMax);
    // A refused decision counts as never made, so that a right one for the same candidate is no conflict.
    for (const { candidateId, by = '', settles } of refused) {
      gate.decided.delete(subjectOf({ candidateId, settles }, by, gate.asksSeveral));
    }
    this.#refused.push(...refused);
    this.#refused.splice(0, this.#refused.length - refusedShownMax);
  }

  /** Answers what the gate is to be told, which may come before the batches that are still gathered. */
  closing({ path, opening }: Opening): Reply {
    const gate = this.#gateOf(path);
    if (gate.opening !== opening) return { path, opening, batches: 0 };
    gate.closed = true;
    this.moved++;
    return { path, opening, batches: gate.sent };
  }

  /** It never waits. */
  passed({ path, at }: Passed): void {
    const gate = this.#gateOf(path);
    if (gate.holder !== null && at < gate.openedAt) return;
    Object.assign(gate, { closed: true, passed: true });
  }

  #send(gate: Gate, batch: QueuedBatch): void {
    const { holder } = gate;
    if (holder === null) return;
    gate.sent++;
    gate.toSend.push(batch);
    if (holder === workflowInfo().workflowId) {
      for (const sent of takeSent(batch.gate, gate)) this.#mailbox.batches(sent, true);
      return;
    }
    this.#toSend.add(batch.gate);
    if (!this.#gathering && !this.#isLeaving()) this.#gather().catch(rethrowUnlessCancelled);
  }

  /** As many at a time as have come, to all gates. */
  async #gather(): Promise<void> {
    this.#gathering = true;
    const isUrgent = () =>
      [...this.#toSend].some((path) => {
        const { closed, toSend, undecided } = this.#gateOf(path);
        return closed || countOf(toSend) >= undecided;
      });
    // Also in a cancelled run, where a gate that closes waits for what was sent to it.
    await CancellationScope.nonCancellable(() => linger(isUrgent));
    this.#gathering = false;
    this.#outbox.push(() => this.#passOn());
  }

  /** Passes batches on to the workflows that hold the gates: to many gates by the children that told of them. */
  async #passOn(): Promise<void> {
    const { own, below } = this.#mailbox.relay.route([...this.#toSend], (path) => path);
    this.#toSend.clear();
    const sent: Promise<void>[] = [];
    for (const [child, paths] of [[null, own] as const, ...below]) {
      const messages = paths.flatMap((path) => takeSent(path, this.#gateOf(path)));
      while (child !== null && paths.length > fewGates && messages.length > 0) {
        sent.push(sendReplies(child, takeBundle(messages)));
      }
      for (const message of messages) {
        const holder = getExternalWorkflowHandle(this.#gateOf(message.path).holder!);
        sent.push(toLiving(holder.signal(batchesSignal, message)));
      }
    }
    await Promise.all(sent);
  }

  #answer(): GatesAnswer {
    const open = [...this.#gates]
      .filter(([, gate]) => !gate.closed)
      .map(([path, gate]) => ({ gate: path, undecided: gate.undecided, queued: gate.unwritten.length }));
    return { open, refused: this.#refused, lists: this.#lists };
  }

  // Operations.

  stepSkipped(path: string): void {
    for (const [gate, one] of this.#gates) if (isWithin(gate, path)) one.closed = true;
  }

  stepsReset(ids: ReadonlySet<string>): void {
    for (const [path, gate] of this.#gates) {
      if (!ids.has(rootStepOf(path))) continue;
      Object.assign(gate, { closed: false, holder: null, opening: '', unwritten: [] });
    }
  }

  #note(message: string): void {
    this.#outbox.push(() => control('record-notice', { run: this.#run, message }), { notice: message });
  }
}

/** What the gate is to be sent, in messages. One that was closed for a new history, or begins anew, is sent it when it opens. */
function takeSent(path: string, { holder, opening, sent, toSend }: Gate): SentBatches[] {
  const messages: SentBatches[] = [];
  while (toSend.length > 0 && holder !== null) {
    const behind = sent - toSend.length;
    messages.push({ path, opening, behind, queued: takeFitting(toSend) });
  }
  return messages;
}
