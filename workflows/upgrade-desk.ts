/** The root's desk for upgrades: takes a changed plan where the change lies in the run's future, and lets the run follow it. */

import {
  ApplicationFailure,
  CancellationScope,
  condition,
  defineUpdate,
  getExternalWorkflowHandle,
  setHandler,
} from '@temporalio/workflow';
import { hasEnd, stepsOf } from '../plan/paths.ts';
import type { OperationRecord, PlannedScope } from '../plan/types.ts';
import {
  changedLoops,
  changedSteps,
  problemsOfUpgrade,
  stepsBegunAgain,
  stepsOfChangedParts,
  upgradedScope,
} from '../plan/upgrade.ts';
import { type Briefing, refusalFor } from './briefing.ts';
import { control } from './control.ts';
import type { Ends } from './ends.ts';
import type { Mailbox } from './mailbox.ts';
import { beginsAgain, compiledWorkflow, type OperateAnswer, type UpgradeMessage, upgradeName } from './messages.ts';
import { type Orders, toLiving } from './orders.ts';
import type { Outbox } from './outbox.ts';
import { rootStepOf } from './plan-paths.ts';
import { handBackSignal, handedBackSignal } from './scope-messages.ts';

/** What the desk needs of the one for other operations. */
interface Operations {
  begin(): Pick<OperationRecord, 'at' | 'number'>;
  cancelled(): boolean;
  /** The steps of this history end, and the run goes on in a new one. */
  beginsAgain(): boolean;
  /** `again`: steps that begin again for it. */
  changed(again: readonly string[]): void;
}

/** Type of the failure of an update that was refused after its plan had been fetched. */
const refusedFailure = 'UpgradeRefused';

export interface RunOfPlan {
  readonly run: string;
  readonly planDigest: string;
  /** Its steps stand in the code of its workflow. */
  readonly isCompiled: boolean;
}

export class UpgradeDesk {
  readonly #run: string;
  readonly #isCompiled: boolean;
  readonly #orders: Orders;
  readonly #outbox: Outbox;
  readonly #operations: Operations;
  readonly #briefing: Briefing;
  readonly #ends: Ends;
  #planDigest: string;
  #isHolding = false;
  /** The first round that a child which ran rounds has left to others, by loop. */
  readonly #handedBack = new Map<string, number>();

  constructor(
    { run, planDigest, isCompiled }: RunOfPlan,
    briefing: Briefing,
    { orders, ends }: Pick<Mailbox, 'orders' | 'ends'>,
    outbox: Outbox,
    operations: Operations,
  ) {
    this.#run = run;
    this.#planDigest = planDigest;
    this.#isCompiled = isCompiled;
    this.#briefing = briefing;
    this.#orders = orders;
    this.#ends = ends;
    this.#outbox = outbox;
    this.#operations = operations;
  }

  /** Of the plan that the run follows. */
  get planDigest(): string {
    return this.#planDigest;
  }

  open(): void {
    this.#briefing.update(defineUpdate<OperateAnswer, [UpgradeMessage]>(upgradeName), {
      refusalOf: (message) => {
        // First, because the sender of what is only a proof asks just that.
        const problem =
          this.#problemOfCode() ??
          this.#problemOfHolding() ??
          problemOfMessage(message) ??
          (message.scope && this.#problemOf(message, message.scope));
        return refusalFor(problem ?? null);
      },
      take: (message) => (message.scope === undefined ? this.#fetch(message) : this.#apply(message, message.scope)),
    });
    setHandler(handedBackSignal, ({ loop, from }) => void this.#handedBack.set(loop, from));
  }

  async #fetch(message: UpgradeMessage): Promise<OperateAnswer> {
    const { planDigest } = message;
    const scope = await control('find-plan', { planDigest });
    if (scope !== null) return this.#apply(message, scope);
    throw ApplicationFailure.nonRetryable(`The store has no plan ${planDigest}.`, refusedFailure);
  }

  /** Files that begin again must not run their ends, as cancelled ones do. */
  #apply(message: UpgradeMessage, after: PlannedScope): OperateAnswer | Promise<OperateAnswer> {
    const busy = this.#problemOfHolding();
    if (busy !== null) throw ApplicationFailure.nonRetryable(busy, refusedFailure);
    const before = this.#briefing.scope;
    const again = before.parts === undefined ? stepsBegunAgain(before, after, this.#orders) : [];
    const held = stepsOf(before).flatMap((step) => (again.includes(step.id) && hasEnd(step) ? [step.id] : []));
    if (held.length === 0 || message.proof) return this.#take(message, after).answer;
    return this.#takeHeld(message, after, held);
  }

  async #takeHeld(message: UpgradeMessage, after: PlannedScope, held: readonly string[]): Promise<OperateAnswer> {
    this.#isHolding = true;
    let stopped: readonly Promise<unknown>[] = [];
    try {
      if (!(await this.#ends.hold('anew', held))) {
        const why = `A finally within ${held.join(', ')} runs just now, and cannot begin again. Ask again when it has ended.`;
        throw ApplicationFailure.nonRetryable(why, refusedFailure);
      }
      const taken = this.#take(message, after);
      stopped = taken.stopped;
      return taken.answer;
    } finally {
      // Also where the run is cancelled meanwhile. Nothing waits for it: what is stopped may need what the outbox sends.
      void CancellationScope.nonCancellable(async () => {
        await Promise.allSettled(stopped);
        await this.#ends.release();
        this.#isHolding = false;
      });
    }
  }

  /** Whether ends of files are held, so that the run must not go on in a new history. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Checks once more: a replay asks no validator, and time passes while a plan is fetched. */
  #take(
    message: UpgradeMessage,
    after: PlannedScope,
  ): { readonly answer: OperateAnswer; readonly stopped: readonly Promise<unknown>[] } {
    const problem = this.#problemOf(message, after);
    // A plain error ends a replay; in a run it would stop the workflow until another build comes.
    if (problem !== null && message.proof) throw new Error(problem);
    if (problem !== null) throw ApplicationFailure.nonRetryable(problem, refusedFailure);
    const { by, reason, changes } = message;
    const before = this.#briefing.scope;
    const steps = changedSteps(before, after);
    const again = stepsBegunAgain(before, after, this.#orders);
    const stays = ({ id }: { readonly id: string }) => this.#orders.hasBegun(id) && !again.includes(id);
    const begun = stepsOf(before).flatMap((step) => (stays(step) ? [step.id] : []));
    const about = { steps, changes, ...(again.length === 0 ? {} : { again }) };
    const operation = { operation: 'upgrade', ...this.#operations.begin(), by, reason, ...about } as const;
    const loops = changedLoops(before, after, this.#orders);
    const within = Object.entries(message.rounds ?? {}).filter(
      ([loop]) => before.parts !== undefined || again.includes(rootStepOf(loop)),
    );
    const from = Object.fromEntries([...loops.map((loop) => [loop, this.#orders.nextRound(loop)] as const), ...within]);
    const follow = (rounds: typeof from, restarted: readonly string[] = []): readonly Promise<unknown>[] => {
      const scope = upgradedScope(before, after, (id) => begun.includes(id), rounds);
      this.#briefing.planIs(scope);
      this.#operations.changed(before.parts === undefined ? restarted : stepsOfChangedParts(before, after));
      return this.#orders.upgrade(scope, restarted);
    };
    const holders = loops.flatMap((loop) => this.#orders.childrenOf(loop).map((child) => ({ loop, child })));
    const stopped = follow(from, again);
    const followed = this.#briefing.scope;
    this.#outbox.push(async () => {
      for (const { loop, child } of holders) from[loop] = await this.#handBack(loop, child);
      // Only now it is known from which round on; a reset would begin with the first.
      if (holders.length > 0 && this.#briefing.scope === followed) follow(from);
      await this.#record(message, { ...operation, ...(Object.keys(from).length === 0 ? {} : { from }) }, begun);
    }, 'needed');
    return { answer: { at: operation.at, steps }, stopped };
  }

  /** Rounds of a long loop run in a child, which ends after the round that it is in. Answers the first round after that. */
  async #handBack(loop: string, child: string): Promise<number> {
    this.#handedBack.delete(loop);
    await toLiving(getExternalWorkflowHandle(child).signal(handBackSignal));
    const isGone = () => !this.#orders.childrenOf(loop).includes(child);
    await condition(() => this.#handedBack.has(loop) || isGone());
    return this.#handedBack.get(loop) ?? this.#orders.nextRound(loop);
  }

  async #record({ planDigest, file }: UpgradeMessage, operation: OperationRecord, begun: string[]): Promise<void> {
    const whole = { run: this.#run, operation, before: this.#planDigest, filePlan: planDigest, file, begun };
    this.#planDigest = await control('record-upgrade', whole);
  }

  #problemOfHolding(): string | null {
    return this.#isHolding ? `${beginsAgain} steps begin again for another upgrade.` : null;
  }

  #problemOfCode(): string | null {
    if (!this.#isCompiled) return null;
    return `The run ${this.#run} has ${compiledWorkflow}, whose steps stand in its code. Compile the changed file and start a new run, which reuses what is unchanged.`;
  }

  #problemOf({ recorded }: UpgradeMessage, after: PlannedScope): string | null {
    if (this.#operations.cancelled()) return `The run ${this.#run} is being cancelled.`;
    const compiled = this.#problemOfCode();
    if (compiled !== null) return compiled;
    if (this.#outbox.isOver) return `The run ${this.#run} is ending.`;
    if (this.#operations.beginsAgain()) return `${beginsAgain} it goes on in a new history just now.`;
    const before = this.#briefing.scope;
    // Its end is being recorded, or the steps of `finally` run.
    if (before.steps.every(({ id }) => this.#orders.hasEnded(id))) return `The run ${this.#run} is ending.`;
    for (const [id, round] of Object.entries(recorded)) {
      // Of steps in parts the record alone tells whether they have begun.
      const isThere = before.parts !== undefined || (this.#orders.hasBegun(id) && this.#orders.nextRound(id) > round);
      if (!isThere && stepsOf(before).some((step) => step.id === id)) return `${beginsAgain} ${id} has not begun.`;
    }
    const problems = problemsOfUpgrade(before, after, this.#orders);
    if (problems.length === 0) return null;
    return problems.map(({ step, why }) => `${step === '' ? `The run ${this.#run}` : step} ${why}.`).join(' ');
  }
}

/** It may come from any client, so nothing about it is taken for granted. */
function problemOfMessage(given: unknown): string | null {
  const example = 'Send it with "hardcase run FILE --upgrade".';
  if (typeof given !== 'object' || given === null) return `The message of "${upgradeName}" is an object. ${example}`;
  const {
    by,
    reason,
    planDigest,
    scope,
    file,
    changes,
    recorded,
    rounds = {},
    proof,
  } = given as {
    readonly [name: string]: unknown;
  };
  if (typeof by !== 'string' || by === '') return `"${upgradeName}" needs "by": who asks.`;
  if (reason !== undefined && typeof reason !== 'string') return '"reason" is a text.';
  if (typeof planDigest !== 'string' || !/^[0-9a-f]{64}$/.test(planDigest)) {
    return `"planDigest" is the SHA-256 of the changed plan. ${example}`;
  }
  const isScope = typeof scope === 'object' && scope !== null && 'steps' in scope && Array.isArray(scope.steps);
  if (scope !== undefined && !isScope) return `"scope" is the root of the changed plan. ${example}`;
  if (typeof file !== 'object' || file === null)
    return `"file" says what the run's record says of its file. ${example}`;
  if (!areCounts(recorded)) return `"recorded" has the steps that the run's record knows. ${example}`;
  if (!areCounts(rounds)) return `"rounds" has the first round that changes, by loop. ${example}`;
  if (!Array.isArray(changes) || changes.some((line) => typeof line !== 'string'))
    return '"changes" is a list of texts.';
  return proof === undefined ? null : '"proof" has a place in replays alone.';
}

const areCounts = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every((count) => Number.isInteger(count));
