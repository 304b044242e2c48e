/** A loop of a compiled workflow: what rounds hand on, when it ends and why, and its record. */

import { plateauReason, type Standing, standingAfter } from '../../plan/plateau.ts';
import type { Json, Plateau } from '../../plan/types.ts';
import { control } from '../control.ts';
import type { ScopeContext } from '../execute-step.ts';
import { checkedMax } from '../run-loop.ts';
import type { Values } from '../scope-messages.ts';
import { openScopeState } from '../scope-state.ts';
import type { LegContext } from './legs.ts';
import { Round } from './steps.ts';
import { number, orUndefined, plain, plainValues, present, truth } from './values.ts';

/** What a loop gives. Where no round was run, there is no `last`; without a plateau, no `best`. */
export interface LoopOutputs<Next> {
  /** What each round handed on. */
  readonly all: readonly Next[];
  readonly last: Next;
  readonly best: Next;
  readonly bestRound: number;
  readonly rounds: number;
  readonly ended: string;
  readonly reason: string;
}

export class Loop<Carry extends object, Next extends object> {
  readonly #path: string;
  readonly #context: ScopeContext;
  readonly #leg: LegContext;
  readonly #all: Values[] = [];
  readonly #startedAtMs = Date.now();
  #standing: Standing = { stale: 0 };
  #plateau: Plateau | null = null;

  constructor(path: string, context: ScopeContext, leg: LegContext) {
    this.#path = path;
    this.#context = context;
    this.#leg = leg;
  }

  /** Records that the loop runs, of `max` rounds at most. */
  async begin(max: number, carry: object): Promise<Carry> {
    const rounds = checkedMax(plain(max), this.#path);
    const first = plainValues(carry);
    const change = { path: this.#path, kind: 'repeat', state: 'running', with: { max: rounds, carry: first } } as const;
    await control('record-step', { run: this.#context.run, change });
    return present<Carry>(first, 'carry');
  }

  /** The round's steps are begun on what this answers, and then waited for by its `ended`. */
  round(index: number): Round<Next> {
    const { state } = this.#context;
    const path = `${this.#path}[${index}]`;
    // In the eyes of what is around, the loop does what its round does.
    state.remove(this.#path);
    state.set(path, 'running');
    const own = openScopeState(async (published) => state.update(path, published));
    const close = () => {
      own.close();
      state.remove(path);
      state.set(this.#path, 'running');
    };
    return new Round<Next>({ ...this.#context, path, state: own }, this.#leg, index, this.#all.at(-1), close);
  }

  /** What the round hands on to the next: a value that is not there stays what it was. */
  next(carry: Carry, read: { readonly [Name in keyof Next]: () => Next[Name] | null }): Carry {
    const values: { [name: string]: Json } = {};
    for (const [name, value] of Object.entries(read) as [string, () => unknown][]) {
      const own = Object.getOwnPropertyDescriptor(carry, name)?.value as Json | undefined;
      const found = orUndefined(value);
      const kept = found === undefined ? own : found;
      if (kept !== undefined && kept !== null) values[name] = plain(kept);
    }
    this.#all.push(values);
    return present<Carry>({ ...plainValues(carry), ...values }, 'carry');
  }

  /** Over what is not there, no condition holds. */
  holds(condition: () => boolean): boolean {
    return truth(orUndefined(condition) ?? false);
  }

  lacks(read: () => unknown): boolean {
    return orUndefined(read) === undefined;
  }

  /** Whether the selection, where there is one, has no image. */
  async isEmpty(carry: Carry, name: keyof Carry & string): Promise<boolean> {
    const selection = orUndefined(() => carry[name]) as Json | undefined;
    return selection !== undefined && (await control('count-images', { selection })) === 0;
  }

  /** Whether the time for the loop is up, waiting for people included. */
  isOver(budgetMs: number): boolean {
    return Date.now() - this.#startedAtMs >= budgetMs;
  }

  /** Compares the round with the best one before. */
  score(index: number, plateau: Omit<Plateau, 'metric'>, metric: () => number | null): void {
    this.#plateau = { ...plateau, metric: '' };
    const found = orUndefined(metric) ?? undefined;
    const value = found === undefined ? undefined : number(found);
    this.#standing = standingAfter(this.#plateau, this.#standing, index, value);
  }

  /** Why the loop ends because rounds no longer become better; null where it goes on. */
  stalled(): string | null {
    return this.#plateau === null ? null : plateauReason(this.#plateau, this.#standing);
  }

  /** Records the end of the loop, and answers its outputs. */
  async end(ended: string, reason: string): Promise<Values> {
    const last = this.#all.at(-1);
    const { best } = this.#standing;
    const outputs = {
      ended,
      reason,
      rounds: this.#all.length,
      ...(last === undefined ? {} : { last }),
      ...(best === undefined ? {} : { best: this.#all[best.round - 1]!, bestRound: best.round }),
    };
    const change = { path: this.#path, kind: 'repeat', state: 'done', outputs } as const;
    await control('record-step', { run: this.#context.run, change });
    return { ...outputs, all: this.#all };
  }
}
