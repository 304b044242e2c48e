/** What the workflows of one run tell each other: arguments of children, and signals between root, parents and children. */

import { defineSignal } from '@temporalio/workflow';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import type { EarlyBatch, EarlyMessage } from '../artifacts/early-messages.ts';
import type { Leg } from '../plan/legs.ts';
import type { LoopEnd, LoopState, RoundEnd } from '../plan/round-end.ts';
import type {
  Ending,
  FanOutStep,
  Json,
  LoopBody,
  OperationRecord,
  PlannedScope,
  RepeatStep,
  RunEnvironment,
  SearchStep,
  StepResult,
} from '../plan/types.ts';
import type { RefusedDecision, WrittenList } from './messages.ts';
import type { TrialsSoFar } from './run-trials.ts';
import type { StandingOrders } from './standing-orders.ts';

export type Values = { readonly [name: string]: Json };

/** What expressions see. A step that was skipped is absent. */
export interface Bindings {
  readonly steps: { readonly [id: string]: Values };
  readonly carry?: Values;
  readonly round?: Values;
  /** In the steps of another file: values of its params that came up in the run. */
  readonly params?: Values;
  /** In a leg. */
  readonly matrix?: Values;
  readonly item?: Json;
  readonly index?: number;
  /** For the steps of `finally`: how the other steps of their file ended. */
  readonly run?: Values;
}

/** A child gets the outer steps that it may read, not all: arguments are kept in the history of every child. */
export function visibleTo(parts: unknown, outer: Bindings): Bindings {
  const text = JSON.stringify(parts);
  const steps = Object.entries(outer.steps).filter(([id]) => text.includes(id));
  return { ...outer, steps: Object.fromEntries(steps) };
}

/** What every workflow of a run knows. */
export interface RunFacts {
  readonly run: string;
  readonly pipeline: string;
  readonly seed: number;
  readonly environment: RunEnvironment;
  /** Those that held when the workflow began; changes come as signals. */
  readonly orders: StandingOrders;
  /** It is part of the `finally` of something that was cancelled: nobody is waited for. */
  readonly unattended?: true;
  /** Very many workflows may be beside it: what it has to tell the root goes through those around it, in bundles. */
  readonly bundled?: true;
  /**
   * The root wants to go on in a new history, or files to begin again from their first step (`anew`): no end of a file
   * begins until it says otherwise.
   */
  readonly endsHeld?: true | 'anew';
  /** From so many events on a workflow below the root tells it that its history is long. Absent: never, as in earlier runs. */
  readonly wornAfter?: number;
  /** It is part of an end that goes on in a new history: what has ended since that moment is not run again. */
  readonly settledSince?: string;
}

/** One round of a loop. */
export interface RoundArguments extends RunFacts {
  readonly role: 'round';
  /** `rounds[2]`. */
  readonly path: string;
  readonly step: RoundEnd & Pick<RepeatStep, 'scope'>;
  readonly bindings: Bindings;
}

/** What rounds need of their loop. */
export type Loop = Pick<RepeatStep, keyof Omit<LoopBody, 'from'> | 'bodies'>;

/** Rounds of a long loop, up to 100 of them. */
export interface RoundsArguments extends RunFacts {
  readonly role: 'rounds';
  /** `rounds[101..200]`. */
  readonly path: string;
  /** Path of the loop: `rounds`. */
  readonly owner: string;
  readonly step: Loop;
  readonly state: LoopState;
  readonly max: number;
  /** The last round of this part. */
  readonly upTo: number;
  readonly bindings: Bindings;
  /** Whether quick rounds run in this very workflow. Histories of earlier builds do not have it. */
  readonly joins?: true;
}

export interface RoundsResult {
  /** Of the rounds of this part. */
  readonly all: readonly Values[];
  readonly state: LoopState;
  /** Null where the loop goes on. */
  readonly end: LoopEnd | null;
}

/** Up to 100 legs of a fan-out. */
export interface BatchArguments extends RunFacts {
  readonly role: 'batch';
  /** `tune[1..100]`. */
  readonly path: string;
  /** Path of the fan-out: `tune`. */
  readonly owner: string;
  /** Of the fan-out: `matrix` or `forEach`. */
  readonly kind: string;
  readonly step: Pick<FanOutStep, 'scope' | 'outputs' | 'legWhen' | 'forked'>;
  readonly legs: readonly Leg[];
  /** Legs that may run at once. */
  readonly slots: number;
  /** Whether slots are handed back once every leg has begun. */
  readonly shares: boolean;
  readonly bindings: Bindings;
}

/** The batches of a fan-out of very many legs. */
export interface AllLegsArguments extends RunFacts {
  readonly role: 'legs';
  /** `tune[all]`. */
  readonly path: string;
  /** Path of the fan-out: `tune`. */
  readonly owner: string;
  readonly step: FanOutStep;
  readonly bindings: Bindings;
}

/** Null for a leg that was skipped. */
export type LegResult = Values | null;
export type BatchResult = readonly LegResult[];

/** One leg, or the steps of another file. */
export interface LegArguments extends RunFacts {
  readonly role: 'leg' | 'pipeline';
  /** `tune[lr=0.01]`, `fit`. */
  readonly path: string;
  readonly step: Pick<FanOutStep, 'scope' | 'outputs'>;
  readonly bindings: Bindings;
  /** Of a file whose `finally` was cut: only that is left to do. */
  readonly ending?: Ending;
}

/** The `finally` of a file whose steps were stopped earlier. */
export interface EndArguments extends RunFacts {
  readonly role: 'end';
  /** Of the step that imports the file: `fit`. */
  readonly path: string;
  /** All of the file. */
  readonly scope: PlannedScope;
}

/** The `finally` of many such files. */
export interface EndsArguments extends RunFacts {
  readonly role: 'ends';
  /** `#owed1`. */
  readonly path: string;
  /** Path of the root, which owes them. */
  readonly owner: '';
  readonly planDigest: string;
  /** Of the steps that import the files, in order. */
  readonly paths: readonly string[];
}

/** A part of a scope that has too many steps for one workflow. */
export interface PartArguments extends RunFacts {
  readonly role: 'part';
  /** `#2`, `rounds[1]#2`, `#end1`. */
  readonly path: string;
  /** Path of the scope; empty for the root. */
  readonly owner: string;
  readonly scope: PlannedScope;
  readonly bindings: Bindings;
}

export interface PartResult {
  /** Outputs of its steps, by id. */
  readonly made: { readonly [id: string]: Values };
}

/** The trials of one capacity search. */
export interface SearchArguments extends RunFacts {
  readonly role: 'search';
  readonly path: string;
  readonly step: Omit<SearchStep, 'with' | 'needs' | 'when'>;
  readonly with: Values;
  /** Of a search that goes on in a new history. */
  readonly before?: TrialsSoFar;
}

export type SearchResult = StepResult;

/** Decisions on their way from the root to the workflow that holds the gate, and from there to the ledger. */
export interface QueuedBatch extends EarlyBatch {
  /** Goes on with what is decided. */
  readonly proceed?: true;
}

export interface GateProgress {
  readonly path: string;
  /** The batches that were written, with what became of each. */
  readonly written: readonly WrittenBatch[];
  readonly undecided: number;
  readonly refused: readonly RefusedDecision[];
}

export interface WrittenBatch {
  readonly batch: string;
  /** Decisions that are new to the ledger. */
  readonly accepted: number;
  /** The same decision was there already. */
  readonly repeated: number;
}

/** A message to the run record that the next history of the root sends. */
export type Unsent =
  | { readonly operation: OperationRecord }
  | { readonly notice: string }
  | { readonly early: EarlyMessage };

/** What the root knows that no record has, on its way into a new history. */
export interface HandedOver {
  /** Operations taken so far. */
  readonly operations: number;
  /** Why forms take no other answer, by path. */
  readonly forms: { readonly [path: string]: string };
  readonly gates: {
    readonly [path: string]: {
      readonly closed: boolean;
      readonly taken: number;
      readonly references: readonly string[];
    };
  };
  readonly refused: readonly RefusedDecision[];
  readonly lists: readonly WrittenList[];
  readonly unsent: readonly Unsent[];
  /** Files may have been stopped whose ends did not run. */
  readonly owesEnds?: true;
  /** The steps have ended, and those of `finally` were cut. */
  readonly ending?: Ending;
}

/** What a step has to tell the root. */
export type News =
  /** It gave up, so that people may have it tried again. */
  | { readonly what: 'held'; readonly path: string }
  | ({ readonly what: 'form-opened' | 'form-closing' | 'gate-closing' } & Opening)
  | ({ readonly what: 'gate-opened'; readonly undecided: number } & Opening)
  | ({ readonly what: 'gate-progress' } & GateProgress)
  /** It never waits, because it was answered or decided before. */
  | ({ readonly what: 'form-answered'; readonly given: GivenAnswer } & Passed)
  | ({ readonly what: 'gate-passed' } & Passed);

/** A gate goes on without asking. */
export interface Passed {
  readonly path: string;
  /** By the workflow's clock, in ms: what is told late must not end a later opening. */
  readonly at: number;
}

/** One of the times that a gate opens. */
export interface Opening {
  readonly path: string;
  /** Workflow id of who holds it open. */
  readonly holder: string;
  /** Tells it from others: what comes late of one must not concern the next. */
  readonly opening: string;
  /** When it opened, by the workflow's clock, in ms. */
  readonly openedAt: number;
}

/** What the root has to say to a gate. */
export type Reply = Pick<Opening, 'path' | 'opening'> &
  (
    | /** The answer to a form; null where its time ran out before the root had one. */ {
        readonly given: GivenAnswer | null;
      }
    | /** To a review gate: no batch follows; so many were sent in all, so that none is lost between the two. */ {
        readonly batches: number;
      }
    | /** To a review gate: decisions, which come to others at the same time. */ Omit<SentBatches, 'path' | 'opening'>
  );

/** Decisions on their way to one opening of a gate. */
export interface SentBatches extends Pick<Opening, 'path' | 'opening'> {
  /** So many batches were sent to this opening before; one may be overtaken by another that goes another way. */
  readonly behind: number;
  readonly queued: readonly QueuedBatch[];
}

export type LiveState = 'running' | 'paused' | 'waiting' | 'held';

/** New orders on their way from a workflow to its children. */
export interface OrdersMessage {
  readonly orders: StandingOrders;
  /** The one step that is new in them; absent where they concern all. */
  readonly step?: string;
}

/** To the parent: what the child as a whole does now. */
export const scopeStateSignal = defineSignal<[{ path: string; state: LiveState }]>('scope-state');

/** To the parent, and on to the root; or to the root itself. `from`: workflow id of who tells. */
export const newsSignal = defineSignal<[{ news: readonly News[]; from: string }]>('news');
/** To the workflow that told of the gates, and on to those that hold them open. */
export const repliesSignal = defineSignal<[{ replies: readonly Reply[] }]>('replies');

/** From a batch of legs to its parent, and back: legs that may run at once elsewhere, and here. */
export const slotsFreedSignal = defineSignal<[{ path: string; count: number }]>('slots-freed');
export const slotsGivenSignal = defineSignal<[{ count: number }]>('slots-given');

/** To a child that runs rounds: another is to run those that have not begun. Answered at once, to the root. */
export const handBackSignal = defineSignal('hand-back');
/** `from`: the first round that it will not run. */
export const handedBackSignal = defineSignal<[{ loop: string; from: number }]>('handed-back');

/**
 * From each workflow to its children: no end of a file may begin. They answer whether none runs that must not be cut, and
 * to which `turn`.
 */
export const holdEndsSignal = defineSignal<[how?: 'cut' | 'anew', turn?: number]>('hold-ends');
export const endsHeldSignal = defineSignal<[{ workflowId: string; held: boolean; turn?: number }]>('ends-held');
/** Ends may begin again. */
export const releaseEndsSignal = defineSignal('release-ends');

/** To the root, from a workflow whose history has grown long. `atOnce`: no quiet moment is awaited any more. */
export const wornSignal = defineSignal<[{ atOnce: boolean }]>('worn');

/** From the root to the workflow that holds the gate, which answers the root itself. */
export const batchesSignal = defineSignal<[SentBatches]>('batches');
/** From a concurrency group to the workflow that waits for it. */
export const groupGrantedSignal = defineSignal<[{ id: string }]>('group-granted');
/** From each workflow to its children, those of the steps that are within them. */
export const retryStepsSignal = defineSignal<[{ paths: readonly string[]; orders: StandingOrders }]>('retry-steps');
/** From each workflow to its children. */
export const ordersSignal = defineSignal<[OrdersMessage]>('orders');
/** From each workflow to its children: see `RunFacts.unattended`. */
export const unattendedSignal = defineSignal('unattended');
