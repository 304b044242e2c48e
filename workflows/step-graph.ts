/** The steps of one scope on their way: each begins when those it needs have ended, and the scope ends with the last. */

import { CancellationScope, condition, isCancellation, patched } from '@temporalio/workflow';
import { stepPath } from '../plan/paths.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { dependentsOf, rootStepOf } from './plan-paths.ts';
import type { Values } from './scope-messages.ts';
import type { StepEnd } from './step-end.ts';

export interface StepNode {
  readonly id: string;
  /** What records call it. */
  readonly kind: string;
  /** Ids of steps that were begun before it. */
  readonly needs: readonly string[];
  run(): Promise<StepEnd>;
  /** What the step made; null where that is taken back, because the step begins anew. */
  keep(made: Values | null): void;
}

export class StepGraph {
  readonly #context: ScopeContext;
  readonly #steps: StepNode[] = [];
  readonly #ends = new Map<string, Promise<StepEnd>>();
  readonly #begun = new Map<string, CancellationScope>();
  /** Who runs a step. One whose step was replaced waits still, and gives way as soon as it would begin. */
  readonly #turns = new Map<string, object>();
  /** Ends of those in whose place steps run, by id. */
  readonly #before = new Map<string, Promise<unknown>>();
  /** Also for steps that a message begins. */
  readonly #scope = CancellationScope.current();
  #replaced = 0;

  constructor(context: ScopeContext) {
    this.#context = context;
  }

  add(step: StepNode): void {
    this.#steps.push(step);
    this.#begin(step);
  }

  /**
   * All steps from now on, in order: the id of one that stays, or another in its place. What waits for a step that is
   * replaced waits for the new one. One that has begun is stopped, and the new one begins once it has ended. Answers those
   * that are being stopped.
   */
  replace(steps: readonly (string | StepNode)[]): Promise<unknown>[] {
    const nodes = steps.map((step) => (typeof step === 'string' ? this.#steps.find(({ id }) => id === step)! : step));
    const anew = new Set<StepNode>();
    const isNew = (id: string) => [...anew].some((node) => node.id === id);
    for (const node of nodes) if (!this.#steps.includes(node) || node.needs.some(isNew)) anew.add(node);
    const { mailbox, path, state } = this.#context;
    const stopped = new Map<string, Promise<unknown>>();
    for (const node of this.#steps) {
      if (nodes.includes(node)) continue;
      const { id } = node;
      if (mailbox.orders.hasBegun(id)) {
        stopped.set(id, this.#ends.get(id)!);
        this.#begun.get(id)!.cancel();
        mailbox.orders.stepReset(id);
      } else {
        state.remove(stepPath(path, id));
        // It waits itself for what was stopped before, which may not have ended.
        const before = this.#before.get(id);
        if (before !== undefined) stopped.set(id, before);
      }
      this.#ends.delete(id);
      this.#turns.delete(id);
    }
    this.#steps.splice(0, this.#steps.length, ...nodes);
    for (const node of anew) this.#begin(node, stopped.get(node.id));
    this.#replaced++;
    return [...stopped.values()];
  }

  /** Throws as the first step that failed for good, or was cancelled. */
  async ended(): Promise<void> {
    // All must have ended before a cancellation goes up, so that nothing is left behind.
    let results = await this.#settledOrChanged();
    while (results === 'changed') {
      if (this.#hasReset) await this.#reset();
      results = await this.#settledOrChanged();
    }
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
    for (const result of results) {
      if (result.status === 'fulfilled' && 'failed' in result.value && result.value.behind !== undefined) {
        throw result.value.failed;
      }
    }
  }

  /** `before`: the end of one in whose place it runs. */
  #begin(step: StepNode, before?: Promise<unknown>): void {
    const turn = {};
    this.#turns.set(step.id, turn);
    if (before !== undefined) this.#before.set(step.id, before);
    const isItsTurn = () => this.#turns.get(step.id) === turn;
    const run =
      before === undefined
        ? () => this.#run(step, isItsTurn)
        : () =>
            before.then(
              () => this.#run(step, isItsTurn),
              () => this.#run(step, isItsTurn),
            );
    if (!this.#isRoot) {
      // Nothing cancels single steps but a reset.
      this.#ends.set(step.id, run());
      return;
    }
    const own = new CancellationScope({ cancellable: true, parent: this.#scope });
    this.#begun.set(step.id, own);
    this.#ends.set(step.id, own.run(run));
  }

  async #run(step: StepNode, isItsTurn: () => boolean): Promise<StepEnd> {
    const { orders } = this.#context.mailbox;
    try {
      let behind: string | undefined;
      for (const id of step.needs) {
        const needed = await this.#ends.get(id);
        if (needed !== undefined && 'behind' in needed) behind ??= needed.behind;
      }
      if (this.#isRoot && orders.paused) await this.#pauseIsOver(step, isItsTurn);
      // Nobody waits for the end of a step that was replaced.
      if (!isItsTurn()) return { skipped: true };
      if (this.#isRoot) orders.stepBegan(step.id);
      const end = await (behind === undefined ? step.run() : this.#passBy(step, behind));
      if ('outputs' in end) step.keep(end.outputs);
      return end;
    } finally {
      if (this.#isRoot && isItsTurn()) orders.stepEnded(step.id);
    }
  }

  /** Here, because an upgrade may replace a step that waits for the end of a pause. */
  async #pauseIsOver({ id }: StepNode, isItsTurn: () => boolean): Promise<void> {
    const { mailbox, state } = this.#context;
    const { orders } = mailbox;
    if (orders.whyNot(id) !== undefined) return;
    state.set(id, 'paused');
    try {
      await condition(() => !orders.paused || orders.whyNot(id) !== undefined || !isItsTurn());
    } finally {
      if (isItsTurn()) state.remove(id);
    }
  }

  /** Skipped, because a step that it waits for failed and ends the run. */
  async #passBy({ id, kind }: StepNode, behind: string): Promise<StepEnd> {
    const { run, path } = this.#context;
    const error = `It comes after ${behind}, which failed.`;
    await control('record-step', { run, change: { path: stepPath(path, id), kind, state: 'skipped', error } });
    return { skipped: true, behind };
  }

  /** Also in a cancelled scope, whose steps end soon. */
  async #settledOrChanged() {
    const before = this.#replaced;
    const isChanged = () => this.#hasReset || this.#replaced > before;
    let results: PromiseSettledResult<StepEnd>[] | undefined;
    void Promise.allSettled(this.#ends.values()).then((all) => {
      results = all;
    });
    await CancellationScope.nonCancellable(() => condition(() => results !== undefined || isChanged()));
    return isChanged() ? ('changed' as const) : results!;
  }

  async #reset(): Promise<void> {
    const { run, mailbox } = this.#context;
    const to = mailbox.orders.nextReset()!;
    const ids = dependentsOf({ steps: this.#steps }, rootStepOf(to));
    // One that waits for others gives way: what it waits for besides may take days. Histories of earlier builds wait for it.
    const begun = patched('resets-give-way') ? [...ids].filter((id) => mailbox.orders.hasBegun(id)) : [...ids];
    for (const id of begun) this.#begun.get(id)!.cancel();
    await Promise.allSettled(begun.map((id) => this.#ends.get(id)));
    await CancellationScope.nonCancellable(() => control('reset-steps', { run, to, ids: [...ids] }));
    const again = this.#steps.filter(({ id }) => ids.has(id));
    for (const step of again) {
      step.keep(null);
      mailbox.orders.stepReset(step.id);
    }
    for (const step of again) this.#begin(step);
  }

  // A compiled workflow has its rounds and legs within itself; only steps of the root are counted and reset.
  get #isRoot(): boolean {
    return this.#context.path === '';
  }

  get #hasReset(): boolean {
    return this.#isRoot && this.#context.mailbox.orders.hasReset;
  }
}
