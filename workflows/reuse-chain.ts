/**
 * Once a step turns out to be there already, those behind it mostly are too: one activity looks for all of them, in place of one
 * for each.
 */

import { CancellationScope, patched } from '@temporalio/workflow';
import { stepPath } from '../plan/paths.ts';
import type { ActivityStep, PlannedScope, PlannedStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { type Bindings, type Values, visibleTo } from './scope-messages.ts';

/** For fewer, an activity more is no gain. */
const stepsMin = 3;
/** So many that could begin at once are looked for before any of them begins: an activity more is nothing to them. */
const widthMin = 20;
const sampleSize = 20;
/** A look takes seconds at most, and its arguments are far from what Temporal refuses. */
const stepsMax = 500;
const argumentLengthMax = 400_000;

export class ReuseChain {
  readonly #scope: PlannedScope;
  readonly #context: ScopeContext;
  readonly #bindings: Bindings;
  readonly #found = new Map<string, Values>();
  readonly #begun = new Set<string>();
  readonly #ended = new Set<string>();
  #isFirst = true;
  #isStopped = false;
  /** The look that is under way. */
  #look: Promise<void> | null = null;
  /** Counts steps whose results were taken back: what was looked up before then may be among them. */
  #resets = 0;

  constructor(scope: PlannedScope, context: ScopeContext, bindings: Bindings) {
    this.#scope = scope;
    this.#context = context;
    this.#bindings = bindings;
  }

  /** The look that a step must wait for before it begins; null where there is none. */
  look(): Promise<void> | null {
    if (this.#isFirst) {
      this.#isFirst = false;
      const wide = this.#scope.steps.filter((step) => step.needs.length === 0 && this.#isCandidate(step));
      if (wide.length >= widthMin) return this.#alone(() => this.#lookAround(wide as ActivityStep[]));
    }
    return this.#look;
  }

  /** Outputs of a step that was found; null where it must be run. */
  begin({ id }: PlannedStep): Values | null {
    this.#begun.add(id);
    return this.#found.get(id) ?? null;
  }

  /** Other steps are in the place of those that were looked for: each is looked up by itself from now on. */
  stop(): void {
    this.#isStopped = true;
    this.#resets++;
    this.#found.clear();
  }

  /** `outputs`: null where the step begins anew. */
  keep(id: string, outputs: Values | null): void {
    if (outputs !== null) {
      this.#ended.add(id);
      return;
    }
    this.#resets++;
    this.#found.delete(id);
    this.#begun.delete(id);
    this.#ended.delete(id);
  }

  /** The step was there already. Resolves when those behind it have been looked for. */
  async reused(step: PlannedStep, outputs: Values): Promise<void> {
    const candidates = this.#scope.steps.filter((one) => this.#isCandidate(one)) as ActivityStep[];
    if (this.#look !== null || candidates.length < stepsMin) return;
    await this.#alone(() => this.#find(asMany(candidates), { [step.id]: outputs }));
  }

  /** Some of very many tell whether there is anything to find: a run that repeats none would look for each in vain. */
  async #lookAround(wide: readonly ActivityStep[]): Promise<void> {
    const some = wide.length > 2 * sampleSize ? spread(wide, sampleSize) : wide;
    await this.#find(asMany(some));
    const others = wide.filter((step) => !some.includes(step) && !this.#found.has(step.id));
    // Earlier builds looked for all of them at once.
    if (this.#found.size > 0 && others.length > 0 && patched('some-first')) await this.#find(asMany(others));
  }

  /** Steps that would begin meanwhile wait for the end of the look. */
  async #alone(find: () => Promise<void>): Promise<void> {
    if (this.#isStopped) return;
    const look = find();
    this.#look = look;
    try {
      await look;
    } finally {
      this.#look = null;
    }
  }

  #isCandidate(step: PlannedStep): boolean {
    const { path, mailbox } = this.#context;
    const own = stepPath(path, step.id);
    const { orders } = mailbox;
    return (
      step.type === 'activity' &&
      step.group === undefined &&
      !this.#begun.has(step.id) &&
      !orders.paused &&
      orders.whyNot(own) === undefined &&
      orders.changesOf(own) === undefined
    );
  }

  /** `ended`: outputs of steps that have just ended. */
  async #find(candidates: readonly ActivityStep[], ended: { readonly [id: string]: Values } = {}): Promise<void> {
    const { run, seed, environment, path } = this.#context;
    const resets = this.#resets;
    const seen = { ...this.#bindings, steps: { ...this.#bindings.steps, ...ended } };
    const request = { run, seed, environment, path, steps: candidates, ended: [...this.#ended, ...Object.keys(ended)] };
    // It records steps as done, so it is not left behind by a step that is cancelled.
    const found = await CancellationScope.nonCancellable(() =>
      control('reuse-steps', { ...request, bindings: visibleTo(candidates, seen) }),
    );
    if (resets !== this.#resets) return;
    for (const [step, made] of Object.entries(found)) this.#found.set(step, made);
  }
}

/** `count` of them, evenly. */
function spread<Item>(items: readonly Item[], count: number): readonly Item[] {
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

/** The first ones, as many as go into one look. */
function asMany(steps: readonly ActivityStep[]): readonly ActivityStep[] {
  let length = 0;
  return steps.slice(0, stepsMax).filter((step) => {
    length += JSON.stringify(step).length;
    return length <= argumentLengthMax;
  });
}
