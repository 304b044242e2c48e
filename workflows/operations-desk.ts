/** The root's desk for operations: takes pauses, retries, skips and resets from people, and sees to it that they hold. */

import { type CancellationScope, defineUpdate, workflowInfo } from '@temporalio/workflow';
import { isWithin } from '../plan/paths.ts';
import type { OperationRecord } from '../plan/types.ts';
import { type Briefing, refusalFor } from './briefing.ts';
import { control } from './control.ts';
import type { Mailbox } from './mailbox.ts';
import {
  type OperateAnswer,
  type OperateMessage,
  operationNames,
  type PauseMessage,
  type ResetMessage,
  type RetryMessage,
  type SkipMessage,
} from './messages.ts';
import { problemOfOperation } from './operation-check.ts';
import { tellOrders } from './orders.ts';
import type { Outbox } from './outbox.ts';
import { dependentsOf, rootStepOf } from './plan-paths.ts';
import { sendRetry } from './relay.ts';
import type { Renewal } from './renewal.ts';
import { ordersAfter } from './standing-orders.ts';
import { type RunOfPlan, UpgradeDesk } from './upgrade-desk.ts';

/** A desk that must know which gates an operation ends or opens anew. */
interface Gates {
  /** Decisions for it are refused from now on. */
  stepSkipped(path: string): void;
  /** Decisions for gates of these steps of the root wait until the gates open again. */
  stepsReset(ids: ReadonlySet<string>): void;
  /** A held gate opens again. */
  stepRetried?(path: string): void;
  /** The run follows another plan from now on. */
  planChanged?(): void;
}

/** Whatever the plan, and whatever was decided: they are taken at once. */
const concernsAll: readonly string[] = ['pause', 'resume', 'cancel'];

export class OperationsDesk {
  readonly #run: string;
  readonly #isCompiled: boolean;
  readonly #briefing: Briefing;
  readonly #upgrades: UpgradeDesk;
  readonly #mailbox: Mailbox;
  readonly #outbox: Outbox;
  readonly #gates: readonly Gates[];
  /** Paths of steps that gave up. */
  readonly #held = new Set<string>();
  /** What a cancellation ends. */
  #work: CancellationScope | null = null;
  #taken = 0;
  #beginsAgain = () => false;
  #cancelled = false;

  constructor(facts: RunOfPlan, briefing: Briefing, mailbox: Mailbox, outbox: Outbox, gates: readonly Gates[]) {
    this.#run = facts.run;
    this.#isCompiled = facts.isCompiled;
    this.#briefing = briefing;
    this.#mailbox = mailbox;
    this.#outbox = outbox;
    this.#gates = gates;
    this.#upgrades = new UpgradeDesk(facts, briefing, mailbox, outbox, {
      begin: () => ({ at: new Date().toISOString(), number: ++this.#taken }),
      cancelled: () => this.#cancelled,
      beginsAgain: () => this.#beginsAgain(),
      changed: (again) => {
        for (const held of this.#held) if (again.includes(rootStepOf(held))) this.#held.delete(held);
        for (const desk of gates) desk.planChanged?.();
      },
    });
  }

  /** `work` is the scope that holds all steps. */
  open(work: CancellationScope, renewal: Pick<Renewal, 'hasBegun' | 'isOver'>): void {
    this.#work = work;
    this.#beginsAgain = () => renewal.hasBegun;
    const briefing = this.#briefing;
    const problemOf = (name: (typeof operationNames)[number], message: OperateMessage) =>
      problemOfOperation(name, message, {
        run: this.#run,
        // Asked for only where an operation names a step.
        get scope() {
          return briefing.scope;
        },
        orders: this.#mailbox.orders.standing,
        held: [...this.#held],
        cancelled: this.#cancelled,
        events: workflowInfo().historyLength,
        isCompiled: this.#isCompiled,
        beginsAgain: name === 'reset' ? renewal.hasBegun : renewal.isOver,
        hasEnded: (id) => this.#mailbox.orders.hasEnded(id),
      });
    // Updates, because the sender wants to know whether they were taken, and by what they were refused.
    for (const name of operationNames) {
      briefing.update(
        defineUpdate<OperateAnswer, [OperateMessage]>(name),
        {
          refusalOf: (message) => refusalFor(problemOf(name, message)),
          take: (message) => this.#take(name, message),
        },
        !concernsAll.includes(name),
      );
    }
    this.#upgrades.open();
  }

  /** An ended run begins again with a step that is to run anew. Its orders are among those that it began with. */
  async beginWith(reset: OperationRecord): Promise<void> {
    const [path = ''] = reset.steps ?? [];
    await control('record-operation', { run: this.#run, operation: reset });
    const ids = [...dependentsOf(this.#briefing.scope, rootStepOf(path))];
    await control('reset-steps', { run: this.#run, to: path, ids });
  }

  /** Digest of the plan that the run follows. */
  get planDigest(): string {
    return this.#upgrades.planDigest;
  }

  /** Whether files begin again for an upgrade, whose ends are held so long. */
  get isUpgrading(): boolean {
    return this.#upgrades.isHolding;
  }

  /** Operations that the run has taken. */
  get taken(): number {
    return this.#taken;
  }

  takeOver(operations: number): void {
    this.#taken = operations;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** A step gave up. */
  stepHeld(path: string): void {
    this.#held.add(path);
  }

  #take(name: (typeof operationNames)[number], message: OperateMessage): OperateAnswer {
    const { by, reason } = message;
    const operation = { operation: name, at: new Date().toISOString(), number: ++this.#taken, by, reason } as const;
    switch (name) {
      case 'pause':
        return this.#order({ ...operation, now: (message as PauseMessage).now === true });
      case 'resume':
        return this.#order(operation);
      case 'cancel':
        this.#cancelled = true;
        this.#outbox.record(operation);
        this.#work?.cancel();
        // The steps of `finally` run also where the run was paused.
        this.#mailbox.orders.take(ordersAfter(this.#mailbox.orders.standing, operation));
        return { at: operation.at, steps: [] };
      case 'retry':
        return this.#retry(operation, message as RetryMessage);
      case 'skip':
        return this.#skip(operation, (message as SkipMessage).path);
      case 'reset':
        return this.#reset(operation, message as ResetMessage);
    }
  }

  #retry(operation: OperationRecord, { path, set }: RetryMessage): OperateAnswer {
    const steps = path === undefined ? [...this.#held].sort() : [path];
    const taken = { ...operation, steps, set };
    const orders = ordersAfter(this.#mailbox.orders.standing, taken);
    this.#mailbox.orders.take(orders);
    this.#outbox.record(taken);
    for (const step of steps) {
      this.#held.delete(step);
      for (const gates of this.#gates) gates.stepRetried?.(step);
    }
    const { own, below } = this.#mailbox.relay.route(steps, (step) => step);
    for (const step of own) this.#mailbox.retry(step);
    for (const [child, its] of below) this.#outbox.push(() => sendRetry(child, its, orders));
    return { at: operation.at, steps };
  }

  #skip(operation: OperationRecord, path: string): OperateAnswer {
    this.#held.delete(path);
    for (const held of this.#held) if (isWithin(held, path)) this.#held.delete(held);
    for (const gates of this.#gates) gates.stepSkipped(path);
    return this.#order({ ...operation, steps: [path] }, path);
  }

  #reset(operation: OperationRecord, { path, set }: ResetMessage): OperateAnswer {
    const ids = dependentsOf(this.#briefing.scope, rootStepOf(path));
    for (const held of this.#held) if (ids.has(rootStepOf(held))) this.#held.delete(held);
    for (const gates of this.#gates) gates.stepsReset(ids);
    const answer = this.#order({ ...operation, steps: [path], set }, path);
    this.#mailbox.orders.reset(path);
    return answer;
  }

  /** What holds from now on is told to every workflow that it concerns. */
  #order(operation: OperationRecord, step?: string): OperateAnswer {
    const { orders } = this.#mailbox;
    const standing = ordersAfter(orders.standing, operation);
    orders.take(standing);
    for (const child of orders.childrenOf(step)) {
      if (step !== undefined) this.#outbox.push(() => tellOrders(child, { orders: standing, step }));
      else this.#outbox.pushNewest(child, () => tellOrders(child, { orders: orders.standing }));
    }
    // After the children have been told: what the record shows holds.
    this.#outbox.record(operation);
    return { at: operation.at, steps: operation.steps ?? [] };
  }
}
