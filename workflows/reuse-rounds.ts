/** Once all steps of a round turn out to be there already, those of the next rounds mostly are too: one activity looks for them. */

import { CancellationScope } from '@temporalio/workflow';
import { isWithin } from '../plan/paths.ts';
import type { LoopState, RoundResult } from '../plan/round-end.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import type { RoundsArguments } from './scope-messages.ts';

type Rounds = Pick<RoundsArguments, 'owner' | 'step' | 'max' | 'upTo' | 'bindings'>;

export class ReuseRounds {
  readonly #rounds: Rounds;
  readonly #context: ScopeContext;
  readonly #found = new Map<number, RoundResult>();
  #isDue = false;

  constructor(rounds: Rounds, context: ScopeContext) {
    this.#rounds = rounds;
    this.#context = context;
  }

  /** A round has ended. */
  ended({ reused }: RoundResult): void {
    this.#isDue = reused === true;
  }

  /** The look that the next round must wait for; null where there is none. */
  look(state: LoopState): Promise<void> | null {
    if (!this.#isDue || this.#found.has(state.index) || this.#isOrdered) return null;
    this.#isDue = false;
    return this.#find(state);
  }

  /** What came of the round where all of it was found. People may have ordered otherwise since. */
  take(index: number): RoundResult | null {
    if (this.#isOrdered) this.#found.clear();
    return this.#found.get(index) ?? null;
  }

  async #find(state: LoopState): Promise<void> {
    const { run, seed, environment } = this.#context;
    // It records steps as done, so it is not left behind by a loop that is cancelled.
    const found = await CancellationScope.nonCancellable(() =>
      control('reuse-rounds', { run, seed, environment, ...this.#rounds, state }),
    );
    for (const [at, round] of found.entries()) this.#found.set(state.index + at, round);
  }

  /** Whether the run is paused, or steps of the loop are to be skipped or to have other parameters. */
  get #isOrdered(): boolean {
    const { paused, standing } = this.#context.mailbox.orders;
    const paths = [...Object.keys(standing.skipped), ...Object.keys(standing.changed)];
    return paused || paths.some((path) => isWithin(path, this.#rounds.owner));
  }
}
