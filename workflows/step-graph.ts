/** The steps of one scope on their way: each begins when those it needs have ended, and the scope ends with the last. */

import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
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

  constructor(context: ScopeContext) {
    this.#context = context;
  }

  add(step: StepNode): void {
    this.#steps.push(step);
    this.#begin(step);
  }

  /** Throws as the first step that failed for good, or was cancelled. */
  async ended(): Promise<void> {
    // All must have ended before a cancellation goes up, so that nothing is left behind.
    let results = await this.#settledOrReset();
    while (results === 'reset') {
      await this.#reset();
      results = await this.#settledOrReset();
    }
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
    for (const result of results) {
      if (result.status === 'fulfilled' && 'failed' in result.value && result.value.behind !== undefined) {
        throw result.value.failed;
      }
    }
  }

  #begin(step: StepNode): void {
    const own = new CancellationScope();
    this.#begun.set(step.id, own);
    this.#ends.set(
      step.id,
      own.run(() => this.#run(step)),
    );
  }

  async #run(step: StepNode): Promise<StepEnd> {
    try {
      return await this.#runInTurn(step);
    } finally {
      if (this.#isRoot) this.#context.mailbox.orders.stepEnded(step.id);
    }
  }

  async #runInTurn(step: StepNode): Promise<StepEnd> {
    let behind: string | undefined;
    for (const id of step.needs) {
      const needed = await this.#ends.get(id);
      if (needed !== undefined && 'behind' in needed) behind ??= needed.behind;
    }
    const end = behind === undefined ? await step.run() : await this.#passBy(step, behind);
    if ('outputs' in end) step.keep(end.outputs);
    return end;
  }

  /** Skipped, because a step that it waits for failed and ends the run. */
  async #passBy({ id, kind }: StepNode, behind: string): Promise<StepEnd> {
    const { run, path } = this.#context;
    const error = `It comes after ${behind}, which failed.`;
    await control('record-step', { run, change: { path: stepPath(path, id), kind, state: 'skipped', error } });
    return { skipped: true, behind };
  }

  /** Also in a cancelled scope, whose steps end soon. */
  async #settledOrReset() {
    let results: PromiseSettledResult<StepEnd>[] | undefined;
    void Promise.allSettled(this.#ends.values()).then((all) => {
      results = all;
    });
    await CancellationScope.nonCancellable(() => condition(() => results !== undefined || this.#hasReset));
    return this.#hasReset ? ('reset' as const) : results!;
  }

  async #reset(): Promise<void> {
    const { run, mailbox } = this.#context;
    const to = mailbox.orders.nextReset()!;
    const ids = dependentsOf({ steps: this.#steps }, rootStepOf(to));
    for (const id of ids) this.#begun.get(id)!.cancel();
    await Promise.allSettled([...ids].map((id) => this.#ends.get(id)));
    await CancellationScope.nonCancellable(() => control('reset-steps', { run, to, ids: [...ids] }));
    const again = this.#steps.filter(({ id }) => ids.has(id));
    for (const step of again) {
      step.keep(null);
      mailbox.orders.stepEnded(step.id, false);
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
