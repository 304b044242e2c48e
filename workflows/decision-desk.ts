/** The root's desk: takes decisions and retries from people, and passes them on to the workflow that waits for them. */

import {
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  getExternalWorkflowHandle,
  isCancellation,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { PlannedScope } from '../plan/types.ts';
import { control } from './control.ts';
import { conflictOf, gatePaths, isGatePath, markOf, problemOfMessage } from './decision-check.ts';
import type { Mailbox, Root } from './mailbox.ts';
import {
  type DecideAnswer,
  type DecideMessage,
  decideName,
  type GatesAnswer,
  gatesName,
  type RefusedDecision,
  type RetryAnswer,
  type RetryMessage,
  retryName,
} from './messages.ts';
import {
  batchSignal,
  type GateProgress,
  gateClosingSignal,
  gateOpenedSignal,
  gateProgressSignal,
  type QueuedBatch,
  retryStepSignal,
  sealedSignal,
  stepHeldSignal,
} from './scope-messages.ts';

// An update, because the sender wants to know whether the decisions were taken; a signal for the bare Temporal CLI.
const decideUpdate = defineUpdate<DecideAnswer, [DecideMessage]>(decideName);
const decideSignal = defineSignal<[DecideMessage]>(decideName);
// An update, because the sender wants to know which steps go on.
const retryUpdate = defineUpdate<RetryAnswer, [RetryMessage]>(retryName);
const gatesQuery = defineQuery<GatesAnswer>(gatesName);

interface Gate {
  /** Id of the workflow that holds it open; null before it opens. */
  holder: string | null;
  closed: boolean;
  undecided: number;
  /** What each candidate was decided as: a conflict is answered at once, without a look into the store. */
  readonly decided: Map<string, string>;
  readonly references: Set<string>;
  /** Batches taken so far. */
  taken: number;
  /** Batches that the holder has not yet reported as written; sent again when the gate opens again. */
  unwritten: QueuedBatch[];
  /** Batches sent to the present holder. */
  sent: number;
}

/** How many refused decisions the query shows; all of them are notices of the run. */
const refusedShownMax = 100;

export class DecisionDesk implements Root {
  readonly #run: string;
  readonly #scope: PlannedScope;
  readonly #mailbox: Mailbox;
  readonly #gates = new Map<string, Gate>();
  readonly #held = new Map<string, string>();
  readonly #refused: RefusedDecision[] = [];
  /** Messages to children and notices, one after another, because handlers must not wait. */
  readonly #outbox: (() => Promise<void>)[] = [];
  #closed = false;
  #delivered: Promise<void> = Promise.resolve();

  constructor(run: string, scope: PlannedScope, mailbox: Mailbox) {
    this.#run = run;
    this.#scope = scope;
    this.#mailbox = mailbox;
  }

  open(): void {
    setHandler(decideUpdate, (message) => this.#take(message, 'update'), {
      validator: (message) => {
        const problem = this.#problemOf(message);
        if (problem !== null) throw new Error(problem);
      },
    });
    setHandler(decideSignal, (message) => {
      const problem = this.#problemOf(message);
      if (problem === null) this.#take(message, 'signal');
      else this.#note(`A decide signal was refused. ${problem}`);
    });
    setHandler(retryUpdate, (message) => this.#retry(message), {
      validator: (message) => {
        const problem = this.#problemOfRetry(message);
        if (problem !== null) throw new Error(problem);
      },
    });
    setHandler(gatesQuery, () => this.#answer());
    setHandler(stepHeldSignal, ({ path, workflowId }) => void this.#held.set(path, workflowId));
    setHandler(gateOpenedSignal, ({ gate, workflowId, undecided }) => this.#opened(gate, workflowId, undecided));
    setHandler(gateProgressSignal, (progress) => this.#progress(progress));
    setHandler(gateClosingSignal, ({ gate }) => this.#closing(gate));
    this.#delivered = this.#deliver().catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  }

  /** Resolves once everything has been passed on. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#delivered;
  }

  // What steps of the root's own scope tell it.

  async stepHeld(path: string): Promise<void> {
    this.#held.set(path, workflowInfo().workflowId);
  }

  async gateOpened(gate: string, undecided: number): Promise<void> {
    this.#opened(gate, workflowInfo().workflowId, undecided);
  }

  async gateProgress(progress: GateProgress): Promise<void> {
    this.#progress(progress);
  }

  async gateClosing(gate: string): Promise<void> {
    this.#closing(gate);
  }

  // Decisions.

  #problemOf(message: DecideMessage): string | null {
    const problem = problemOfMessage(message);
    if (problem !== null) return problem;
    if (!isGatePath(this.#scope, message.gate)) {
      const known = gatePaths(this.#scope).join(', ') || 'none';
      return `The run ${this.#run} has no review gate "${message.gate}". Its gates: ${known}.`;
    }
    const gate = this.#gates.get(message.gate);
    if (gate === undefined) return null;
    const conflict = conflictOf(message, gate.decided);
    if (conflict !== null) return conflict;
    const { decisions } = message;
    const repeats = decisions?.every(({ candidateId }) => gate.decided.has(candidateId)) ?? false;
    if (gate.closed && !repeats) {
      return `The gate ${message.gate} is closed: its decisions have been applied. See "hardcase review list ${this.#run}" for open ones.`;
    }
    return null;
  }

  #take(message: DecideMessage, via: 'update' | 'signal'): DecideAnswer {
    const gate = this.#gateOf(message.gate);
    const { decisions, reference, shown, by } = message;
    if (reference !== undefined) {
      if (gate.references.has(reference)) return { accepted: 0, repeated: 0 };
      gate.references.add(reference);
    }
    const fresh = (decisions ?? []).filter(({ candidateId }, index, all) => {
      return !gate.decided.has(candidateId) && all.findIndex((other) => other.candidateId === candidateId) === index;
    });
    for (const decision of fresh) gate.decided.set(decision.candidateId, markOf(decision));
    if (fresh.length > 0 || reference !== undefined) {
      gate.taken++;
      const batch: QueuedBatch = {
        gate: message.gate,
        batch: `${String(gate.taken).padStart(6, '0')}-${message.batch}`,
        by,
        at: new Date().toISOString(),
        via,
        shown,
        ...(reference === undefined ? { decisions: fresh } : { reference }),
      };
      gate.unwritten.push(batch);
      this.#send(gate, batch);
    }
    return { accepted: fresh.length, repeated: (decisions ?? []).length - fresh.length };
  }

  #gateOf(path: string): Gate {
    let gate = this.#gates.get(path);
    if (gate === undefined) {
      gate = {
        holder: null,
        closed: false,
        undecided: 0,
        decided: new Map(),
        references: new Set(),
        taken: 0,
        unwritten: [],
        sent: 0,
      };
      this.#gates.set(path, gate);
    }
    return gate;
  }

  #opened(path: string, workflowId: string, undecided: number): void {
    const gate = this.#gateOf(path);
    gate.holder = workflowId;
    gate.undecided = undecided;
    gate.sent = 0;
    for (const batch of gate.unwritten) this.#send(gate, batch);
  }

  #progress({ gate: path, batch, undecided, refused }: GateProgress): void {
    const gate = this.#gateOf(path);
    gate.undecided = undecided;
    gate.unwritten = gate.unwritten.filter((waiting) => waiting.batch !== batch);
    // A refused decision counts as never made, so that a right one for the same candidate is no conflict.
    for (const { candidateId } of refused) gate.decided.delete(candidateId);
    this.#refused.push(...refused);
    this.#refused.splice(0, this.#refused.length - refusedShownMax);
  }

  #closing(path: string): void {
    const gate = this.#gateOf(path);
    gate.closed = true;
    const { holder, sent } = gate;
    if (holder === workflowInfo().workflowId) this.#mailbox.sealed(path, sent);
    else if (holder !== null) {
      this.#outbox.push(() => getExternalWorkflowHandle(holder).signal(sealedSignal, { gate: path, batches: sent }));
    }
  }

  #send(gate: Gate, batch: QueuedBatch): void {
    const { holder } = gate;
    if (holder === null) return;
    gate.sent++;
    if (holder === workflowInfo().workflowId) this.#mailbox.batch(batch);
    else this.#outbox.push(() => getExternalWorkflowHandle(holder).signal(batchSignal, batch));
  }

  #answer(): GatesAnswer {
    const open = [...this.#gates]
      .filter(([, gate]) => !gate.closed)
      .map(([path, gate]) => ({ gate: path, undecided: gate.undecided, queued: gate.unwritten.length }));
    return { open, refused: this.#refused };
  }

  // Held steps.

  #problemOfRetry(message: RetryMessage): string | null {
    if (typeof message !== 'object' || message === null || typeof message.by !== 'string') {
      return 'A retry message is an object with "by" (who asks) and, for one step only, "path".';
    }
    const { path } = message;
    if (path === undefined || this.#held.has(path)) return null;
    const held = [...this.#held.keys()].join(', ') || 'none';
    return `The step "${path}" of ${this.#run} is not held, so there is nothing to retry. Held steps: ${held}.`;
  }

  #retry({ path, by }: RetryMessage): RetryAnswer {
    const retried = path === undefined ? [...this.#held.keys()].sort() : [path];
    for (const step of retried) {
      const holder = this.#held.get(step)!;
      this.#held.delete(step);
      if (holder === workflowInfo().workflowId) this.#mailbox.retry(step);
      else this.#outbox.push(() => getExternalWorkflowHandle(holder).signal(retryStepSignal, { path: step }));
      this.#note(`${by} had ${step} tried again at ${new Date().toISOString()}.`);
    }
    return { retried };
  }

  #note(message: string): void {
    this.#outbox.push(() => control('record-notice', { run: this.#run, message }));
  }

  async #deliver(): Promise<void> {
    for (;;) {
      await condition(() => this.#outbox.length > 0 || this.#closed);
      const send = this.#outbox.shift();
      if (send === undefined) return;
      await send();
    }
  }
}
