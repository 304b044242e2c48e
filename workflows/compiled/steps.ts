/** The steps of one scope of a compiled workflow: each begins when those it comes after have ended. */

import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { stepPath } from '../../plan/paths.ts';
import type { KindStep, OnFailure } from '../../plan/types.ts';
import { AbsentValueError } from '../../spec/expression.ts';
import { control } from '../control.ts';
import { endingOf, runAfter } from '../endings.ts';
import { isStepFailure, type ScopeContext } from '../execute-step.ts';
import { inGroup } from '../in-group.ts';
import { inside } from '../inside.ts';
import { inPlaceOf } from '../run-child.ts';
import { isOneCall, resultOf } from '../run-kind.ts';
import { afterwards } from '../run-to-its-end.ts';
import type { Values } from '../scope-messages.ts';
import { merged } from '../standing-orders.ts';
import { type StepEnd, tryUntilEnded } from '../step-end.ts';
import { StepGraph } from '../step-graph.ts';
import type { Kind } from './kinds.ts';
import { type LegContext, type Legs, type LegsKind, type LegsOptions, plannedLegs, runLegs } from './legs.ts';
import { Loop, type LoopOutputs } from './loop.ts';
import { plainValues, present } from './values.ts';

/** A step that was begun. */
export interface Step<Outputs> {
  readonly id: string;
  /**
   * What it gave. Where it gave nothing, because it was skipped or failed, whoever reads this is skipped too; `has` asks
   * before. Read it in steps that come after this one.
   */
  readonly out: Outputs;
  /** The same without a look at what is missing; null where it gave nothing. */
  readonly made: Outputs | null;
}

/** Answered in place of inputs by a step that is not to run. */
export const skip = Symbol('skip');
export type Skip = typeof skip;

export interface StepOptions {
  readonly after?: readonly Step<unknown>[];
  readonly onFailure?: OnFailure;
  /** JSON Pointers into its inputs: where `{ $secret: NAME }` stands for a secret, and `{ $text: [...] }` for a text with some. */
  readonly secrets?: readonly string[];
  /** Name of a concurrency group: the step runs while no other of the group does, in any run. */
  readonly group?: string | (() => string);
}

/** What a leg of `forEach` sees: its entry, and which one it is, from 1. */
export interface Each<Item> {
  readonly item: Item;
  readonly index: number;
}

export interface LegsOutputs<Leg> {
  /** Of the legs that were not skipped. */
  readonly all: readonly Leg[];
  readonly legs: number;
}

export class Steps {
  readonly context: ScopeContext;
  /** What a leg sees, for the legs inside of it. */
  readonly leg: LegContext;
  readonly #graph: StepGraph;

  constructor(context: ScopeContext, leg: LegContext = {}) {
    this.context = context;
    this.leg = leg;
    this.#graph = new StepGraph(context);
  }

  /** A step of a kind. `inputs` is called when the steps it comes after have ended. */
  step<Outputs>(id: string, kind: Kind<Outputs>, options: StepOptions, inputs: () => object | Skip): Step<Outputs> {
    const path = stepPath(this.context.path, id);
    const planned = { id, needs: [], with: {}, ...kind.step } as unknown as KindStep;
    const onFailure = options.onFailure ?? planned.onFailure;
    return this.#add(id, planned.kind, { ...options, onFailure }, async (holds) => {
      const given = inputs();
      if (given === skip) return { skipped: true };
      const values = merged(plainValues(given as object), this.context.mailbox.orders.changesOf(path) ?? {});
      const group = typeof options.group === 'function' ? options.group() : options.group;
      const work = { ...planned, with: values, secrets: options.secrets, group } as KindStep;
      const { orders } = this.context.mailbox;
      const run = async (): Promise<StepEnd> => {
        const { outputs } = await resultOf(work, path, values, holds, this.context);
        return { outputs };
      };
      if (group === undefined) return isOneCall(work) ? run() : orders.attempt(path, run);
      const use = { group, cancelInProgress: false, step: { path, kind: planned.kind } };
      return orders.attempt(path, () => inGroup(this.context, use, run));
    });
  }

  /** Steps that run again and again: `work` is the loop, and answers by `end`. */
  loop<Carry extends object, Next extends object>(
    id: string,
    options: StepOptions,
    work: (loop: Loop<Carry, Next>) => Promise<Values | Skip>,
  ): Step<LoopOutputs<Next>> {
    const path = stepPath(this.context.path, id);
    return this.#addWhole(id, 'repeat', options, async () => endOf(await work(new Loop(path, this.context, this.leg))));
  }

  /** Steps that run once for each combination, side by side. */
  matrix<Seen extends object, Outputs>(
    id: string,
    options: StepOptions & LegsOptions<Seen>,
    legs: () => readonly (readonly [name: string, values: object])[] | Skip,
    work: (steps: Steps, seen: Seen) => Promise<object | null>,
  ): Step<LegsOutputs<Seen & Outputs>> {
    return this.#legs(id, 'matrix', options, legs, work);
  }

  /** Steps that run once for each entry of a list, side by side. */
  forEach<Item, Outputs>(
    id: string,
    options: StepOptions & LegsOptions<Each<Item>>,
    items: () => readonly Partial<Item>[] | Skip,
    work: (steps: Steps, seen: Each<Item>) => Promise<object | null>,
  ): Step<LegsOutputs<Each<Item> & Outputs>> {
    return this.#legs(id, 'forEach', options, items, work);
  }

  #legs<Seen extends object, Outputs>(
    id: string,
    kind: LegsKind,
    options: StepOptions & LegsOptions<Seen>,
    legs: () => Legs | Skip,
    work: (steps: Steps, seen: Seen) => Promise<object | null>,
  ): Step<Outputs> {
    const path = stepPath(this.context.path, id);
    return this.#addWhole(id, kind, options, async () => {
      const given = legs();
      if (given === skip) return { skipped: true };
      return { outputs: await runLegs({ path, kind }, plannedLegs(kind, given, path), options, this, work) };
    });
  }

  /** The steps of another file: they see `params`, and nothing around them. */
  pipeline<Params extends object, Outputs>(
    id: string,
    options: StepOptions,
    params: () => Params | Skip,
    work: (steps: FileSteps, params: Params) => Promise<object>,
  ): Step<Outputs> {
    const path = stepPath(this.context.path, id);
    const { run } = this.context;
    return this.#addWhole(id, 'pipeline', options, async () => {
      const given = params();
      if (given === skip) return { skipped: true };
      const values = plainValues(given);
      await control('record-step', { run, change: { path, kind: 'pipeline', state: 'running', with: values } });
      const outputs = await inPlaceOf(this.context, path, () =>
        inside(this.context, path, async (context) =>
          plainValues(await work(new FileSteps(context), present<Params>(values, 'params'))),
        ),
      );
      await control('record-step', { run, change: { path, kind: 'pipeline', state: 'done', outputs } });
      return { outputs };
    });
  }

  /** Resolves when every step has ended; throws as the first that failed for good. */
  async ended(): Promise<void> {
    await this.#graph.ended();
  }

  /** A step of which a skip ends all that it does. */
  #addWhole<Outputs>(id: string, kind: string, options: StepOptions, work: () => Promise<StepEnd>): Step<Outputs> {
    const path = stepPath(this.context.path, id);
    return this.#add(id, kind, options, () => this.context.mailbox.orders.attempt(path, work));
  }

  #add<Outputs>(
    id: string,
    kind: string,
    { after = [], onFailure }: StepOptions,
    work: (holds: number) => Promise<StepEnd>,
  ): Step<Outputs> {
    let made: Values | null = null;
    const path = stepPath(this.context.path, id);
    const attempt = async (holds: number): Promise<StepEnd> => {
      try {
        return await work(holds);
      } catch (error) {
        if (error instanceof AbsentValueError) return { skipped: true, absent: error.reference };
        throw error;
      }
    };
    this.#graph.add({
      id,
      kind,
      needs: after.map((step) => step.id),
      run: () => tryUntilEnded({ path, kind, onFailure }, this.context, attempt),
      keep: (outputs) => {
        made = outputs;
      },
    });
    return {
      id,
      get out(): Outputs {
        if (made === null) throw new AbsentValueError(`steps.${id}`);
        return present<Outputs>(made, `steps.${id}`);
      },
      get made(): Outputs | null {
        return made as Outputs | null;
      },
    };
  }
}

/** How the steps of a run, or of another file, ended, for those that run afterwards. */
export interface RunEnd {
  readonly state: 'done' | 'failed' | 'cancelled';
  /** Where they failed. */
  readonly error: string;
}

/** The steps of a run or of another file, and those that run when these have ended, however that was. */
export class FileSteps extends Steps {
  /** What a cancellation ends. */
  readonly #around = CancellationScope.current();
  #error: unknown = null;
  #isOver = false;

  constructor(context: ScopeContext) {
    super(context);
    context.mailbox.orders.attend(context.path);
  }

  /** Resolves when every step has ended, also where one failed: `closed` throws that. */
  async over(): Promise<RunEnd> {
    this.#isOver = true;
    try {
      await this.ended();
      return present<RunEnd>({ state: 'done' }, 'run');
    } catch (error) {
      this.#error = error;
      return present<RunEnd>(runAfter(endingOf(error)) as unknown as RunEnd, 'run');
    }
  }

  /** Runs steps that come also after a cancellation. */
  async atEnd(work: (steps: Steps) => Promise<void>): Promise<void> {
    const cancelled = this.#error !== null && isCancellation(this.#error);
    try {
      await afterwards(this.context, { isCancelled: () => this.#around.consideredCancelled }, cancelled, () =>
        work(new Steps(this.context)),
      );
    } catch (error) {
      // The first failure is the one that people look for; a step of the end has its own in its record.
      if (this.#error === null || !isStepFailure(error)) throw error;
    }
  }

  /** Throws what the steps ended with. */
  async closed(): Promise<void> {
    if (!this.#isOver) await this.ended();
    if (this.#error !== null) throw this.#error;
  }
}

/** The steps of one round. */
export class Round<Next> extends Steps {
  /** From 1. */
  readonly index: number;
  readonly #previous: Values | undefined;
  readonly #close: () => void;

  constructor(context: ScopeContext, leg: LegContext, index: number, previous: Values | undefined, close: () => void) {
    super(context, leg);
    this.index = index;
    this.#previous = previous;
    this.#close = close;
  }

  /** What the round before handed on; not there in the first. */
  get previous(): Next {
    if (this.#previous === undefined) throw new AbsentValueError('round.previous');
    return present<Next>(this.#previous, 'round.previous');
  }

  override async ended(): Promise<void> {
    try {
      await super.ended();
    } finally {
      this.#close();
    }
  }
}

const endOf = (answer: Values | Skip): StepEnd => (answer === skip ? { skipped: true } : { outputs: answer });
