/** The standing orders in one workflow: what waits for them, and what they stop. */

import { CancellationScope, condition, getExternalWorkflowHandle, isCancellation } from '@temporalio/workflow';
import { stepCallsAtOnce } from '../plan/limits.ts';
import { isWithin } from '../plan/paths.ts';
import type { PlannedScope } from '../plan/types.ts';
import { onPassedOn } from './pass-on.ts';
import { type OrdersMessage, ordersSignal, unattendedSignal } from './scope-messages.ts';
import type { StandingOrders } from './standing-orders.ts';
import { Window } from './window.ts';

/** Thrown in place of running a step that people do not want. */
export class StepSkipped extends Error {
  override readonly name = 'StepSkipped';
}

/** Why a gate was skipped that nobody was asked about. */
export const unattendedWords = 'nobody is asked any more, because what it belongs to was cancelled';

/** Told of each plan that is followed from now on, and which steps that have begun begin again for it. Answers the ends of those. */
type Follow = (scope: PlannedScope, again: readonly string[]) => readonly Promise<unknown>[];

export class Orders {
  #standing: StandingOrders;
  /** Open children, by their path. */
  readonly #children = new Map<string, { readonly workflowId: string; readonly part: string }>();
  /** Steps under way, by path: a skip ends them. */
  readonly #attempts = new Map<string, CancellationScope>();
  /** Activities under way, with the paths of their steps: a pause "now" ends them, and they begin again afterwards. */
  readonly #calls = new Map<CancellationScope, string>();
  readonly #window = new Window(stepCallsAtOnce);

  /** Steps of the scope that have begun, and that have ended. */
  readonly #begun = new Set<string>();
  readonly #ended = new Set<string>();

  constructor(given: StandingOrders) {
    this.#standing = given;
  }

  get standing(): StandingOrders {
    return this.#standing;
  }

  get paused(): boolean {
    return this.#standing.pause !== null && !this.isUnattended('');
  }

  /** Answers whether they were news. */
  take(orders: StandingOrders): boolean {
    if (orders.version <= this.#standing.version) return false;
    this.#standing = orders;
    if (orders.pause?.now) {
      for (const [call, path] of this.#calls) if (!this.isUnattended(path)) call.cancel();
    }
    for (const [path, attempt] of this.#attempts) if (path in orders.skipped) attempt.cancel();
    return true;
  }

  whyNot(path: string): string | undefined {
    return this.#standing.skipped[path];
  }

  changesOf(path: string): StandingOrders['changed'][string] | undefined {
    return this.#standing.changed[path];
  }

  /** While the run is paused: resolves when the step may begin, or is to be skipped, or nobody is waited for. */
  mayBegin(path: string): Promise<void> {
    return condition(() => !this.paused || this.isUnattended(path) || this.whyNot(path) !== undefined);
  }

  /** Throws `StepSkipped` where people do not want the step. */
  refuse(path: string): void {
    const why = this.whyNot(path);
    if (why !== undefined) throw new StepSkipped(why);
  }

  /** Runs what a step does, as long as nobody has it skipped. Throws `StepSkipped` then. */
  async attempt<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
    this.refuse(path);
    const scope = new CancellationScope();
    this.#attempts.set(path, scope);
    try {
      return await scope.run(work);
    } catch (error) {
      if (isCancellation(error) && !CancellationScope.current().consideredCancelled) this.refuse(path);
      throw error;
    } finally {
      this.#attempts.delete(path);
    }
  }

  /**
   * Runs an activity of the step at the path; where a pause stops it, it runs again after the pause. `stopped` is told of
   * that. `isAll`: the step does nothing else, and so needs no `attempt`; throws `StepSkipped` where people do not want it.
   */
  async call<Result>(
    path: string,
    work: () => Promise<Result>,
    stopped: () => Promise<void>,
    isAll = false,
  ): Promise<Result> {
    const refuse = () => {
      if (isAll) this.refuse(path);
    };
    const waits = () => this.paused && !this.isUnattended(path);
    const isStopped = () => waits() && this.#standing.pause?.now === true;
    const isSkipped = () => isAll && this.whyNot(path) !== undefined;
    const pauseIsOver = async () => {
      await stopped();
      await condition(() => !waits() || isSkipped());
    };
    for (;;) {
      if (isStopped()) await pauseIsOver();
      const room = this.#window.room(isSkipped);
      if (room !== null) {
        await room;
        if (isStopped()) continue;
      }
      refuse();
      const scope = new CancellationScope();
      this.#window.enter();
      this.#calls.set(scope, path);
      if (isAll) this.#attempts.set(path, scope);
      try {
        return await scope.run(work);
      } catch (error) {
        const isOrdered = isCancellation(error) && scope.consideredCancelled;
        if (!isOrdered || CancellationScope.current().consideredCancelled) throw error;
      } finally {
        this.#window.leave();
        this.#calls.delete(scope);
        if (isAll) this.#attempts.delete(path);
      }
      refuse();
      await pauseIsOver();
    }
  }

  // What was cancelled.

  /** Paths of what was cancelled: its `finally` runs, and waits for nobody. */
  readonly #unattended = new Set<string>();

  /** Nobody is waited for in what is at the path: gates end as if their time were up, and no step is held. */
  leaveUnattended(path: string): void {
    this.#unattended.add(path);
  }

  /** It begins again. */
  attend(path: string): void {
    this.#unattended.delete(path);
  }

  isUnattended(path: string): boolean {
    for (const outer of this.#unattended) if (isWithin(path, outer)) return true;
    return false;
  }

  // Resets, which concern the root alone.

  readonly #resets: string[] = [];

  reset(path: string): void {
    this.#resets.push(path);
  }

  get hasReset(): boolean {
    return this.#resets.length > 0;
  }

  nextReset(): string | undefined {
    return this.#resets.shift();
  }

  stepBegan(id: string): void {
    this.#begun.add(id);
  }

  hasBegun(id: string): boolean {
    return this.#begun.has(id);
  }

  /** It begins anew. */
  stepReset(id: string): void {
    this.#begun.delete(id);
    this.#ended.delete(id);
    this.#rounds.delete(id);
  }

  /** In an earlier history, which cut the steps of `finally`. */
  endedBefore({ steps }: PlannedScope): void {
    for (const { id } of steps) {
      this.#begun.add(id);
      this.#ended.add(id);
    }
  }

  stepEnded(id: string): void {
    this.#ended.add(id);
  }

  hasEnded(id: string): boolean {
    return this.#ended.has(id);
  }

  // Upgrades, which concern the root alone.

  #plan: PlannedScope | null = null;
  #follow: Follow | null = null;
  /** The newest round that has begun, by the loop's path. */
  readonly #rounds = new Map<string, number>();

  /** The plan that the root follows since an upgrade; null where there was none. */
  get plan(): PlannedScope | null {
    return this.#plan;
  }

  onUpgrade(follow: Follow): void {
    this.#follow = follow;
  }

  /** Answers what is being stopped for it. */
  upgrade(scope: PlannedScope, again: readonly string[] = []): readonly Promise<unknown>[] {
    this.#plan = scope;
    return this.#follow?.(scope, again) ?? [];
  }

  roundBegan(loop: string, index: number): void {
    this.#rounds.set(loop, index);
  }

  /** The first round of the loop that has not begun. */
  nextRound(loop: string): number {
    return (this.#rounds.get(loop) ?? 0) + 1;
  }

  // Children.

  /** `part`: the path of all that it runs. */
  childStarted(path: string, workflowId: string, part: string): void {
    this.#children.set(path, { workflowId, part });
  }

  childEnded(path: string): void {
    this.#children.delete(path);
  }

  /** Workflow ids of children that an operation on the step concerns: those it is part of. Without a path, all. */
  childrenOf(step?: string): string[] {
    return [...this.#children.values()].flatMap(({ workflowId, part }) =>
      step === undefined || isWithin(step, part) ? [workflowId] : [],
    );
  }

  /** Workflow ids of children that run something within the path. */
  childrenWithin(path: string): string[] {
    return [...this.#children.values()].flatMap(({ workflowId, part }) => (isWithin(part, path) ? [workflowId] : []));
  }
}

/** The orders of a child: its parent passes on what concerns it, and so does the child, to as many as `passedOn` is told. */
export function receiveOrders(orders: Orders, passedOn: (children: number) => void): void {
  const tell = async (message: OrdersMessage) => {
    const children = orders.childrenOf(message.step);
    passedOn(children.length);
    await Promise.all(children.map((id) => tellOrders(id, message)));
  };
  let isTelling = false;
  // Not what was taken: a retry, or the orders for one step, may have come first, and went to some alone.
  let toldAll = orders.standing.version;
  const pass = async (message: OrdersMessage) => {
    const areNews = orders.take(message.orders);
    if (message.step !== undefined) {
      if (areNews) await tell(message);
      return;
    }
    // What comes while all are being told is told once all have been, and only the newest of it.
    if (isTelling || message.orders.version <= toldAll) return;
    isTelling = true;
    try {
      while (toldAll < orders.standing.version) {
        toldAll = orders.standing.version;
        await tell({ orders: orders.standing });
      }
    } finally {
      isTelling = false;
    }
  };
  onPassedOn(ordersSignal, pass);
  onPassedOn(unattendedSignal, () => leaveUnattended(orders, ''));
}

/** From now on nobody is waited for in what is at the path, nor in the children that run parts of it. */
export async function leaveUnattended(orders: Orders, path: string): Promise<void> {
  if (orders.isUnattended(path)) return;
  orders.leaveUnattended(path);
  await Promise.all(orders.childrenWithin(path).map(tellUnattended));
}

export async function tellUnattended(workflowId: string): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(unattendedSignal));
}

export async function tellOrders(workflowId: string, message: OrdersMessage): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(ordersSignal, message));
}

/** A child may end while a message is on its way; then nobody needs it. */
export async function toLiving(sent: Promise<void>): Promise<void> {
  await sent.catch((error: unknown) => {
    if (isCancellation(error)) throw error;
  });
}

export function rethrowUnlessCancelled(error: unknown): void {
  if (!isCancellation(error)) throw error;
}
