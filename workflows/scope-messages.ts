/** What the workflows of one run tell each other: arguments of children, and signals between root, parents and children. */

import { defineSignal } from '@temporalio/workflow';
import type { Decision } from '../detection/types.ts';
import type { Json, RepeatStep, RunEnvironment, SearchStep, StepResult } from '../plan/types.ts';
import type { RefusedDecision } from './messages.ts';

export type Values = { readonly [name: string]: Json };

/** What expressions see. A step that was skipped is absent. */
export interface Bindings {
  readonly steps: { readonly [id: string]: Values };
  readonly carry?: Values;
  readonly round?: Values;
}

/** What every workflow of a run knows. */
export interface RunFacts {
  readonly run: string;
  readonly pipeline: string;
  readonly seed: number;
  readonly environment: RunEnvironment;
}

/** One round of a loop. */
export interface RoundArguments extends RunFacts {
  readonly role: 'round';
  /** `rounds[2]`. */
  readonly path: string;
  readonly step: Pick<RepeatStep, 'scope' | 'next' | 'until' | 'gain' | 'endWhenEmpty'>;
  readonly bindings: Bindings;
}

export interface RoundResult {
  /** Values of `carry` in the next round, and the round's entry in `all`. */
  readonly next: Values;
  /** Whether `until` holds. */
  readonly ended: boolean;
  /** Whether the round found nothing for the selection of the next: then it made no model, and does not count. */
  readonly emptied: boolean;
}

/** The trials of one capacity search. */
export interface SearchArguments extends RunFacts {
  readonly role: 'search';
  readonly path: string;
  readonly step: Omit<SearchStep, 'with' | 'needs' | 'when'>;
  readonly with: Values;
}

export type SearchResult = StepResult;

/** Decisions on their way from the root to the workflow that holds the gate, and from there to the ledger. */
export interface QueuedBatch {
  readonly gate: string;
  /** Names the record; begins with the number of the batch in the gate, so that records sort by arrival. */
  readonly batch: string;
  readonly by: string;
  readonly at: string;
  readonly via: 'update' | 'signal';
  readonly shown?: string;
  readonly decisions?: readonly Decision[];
  readonly reference?: string;
}

export interface GateProgress {
  readonly gate: string;
  /** The batch that was written. */
  readonly batch: string;
  readonly undecided: number;
  readonly refused: readonly RefusedDecision[];
}

export type LiveState = 'running' | 'waiting' | 'held';

/** To the parent: what the child as a whole does now. */
export const scopeStateSignal = defineSignal<[{ path: string; state: LiveState }]>('scope-state');

/** To the root. */
export const stepHeldSignal = defineSignal<[{ path: string; workflowId: string }]>('step-held');
export const gateOpenedSignal = defineSignal<[{ gate: string; workflowId: string; undecided: number }]>('gate-opened');
export const gateProgressSignal = defineSignal<[GateProgress]>('gate-progress');
export const gateClosingSignal = defineSignal<[{ gate: string }]>('gate-closing');

/** From the root to the workflow that holds the gate or the step. */
export const batchSignal = defineSignal<[QueuedBatch]>('batch');
/** No batch follows; `batches` were sent in all, so that none is lost between the two workflows. */
export const sealedSignal = defineSignal<[{ gate: string; batches: number }]>('gate-sealed');
export const retryStepSignal = defineSignal<[{ path: string }]>('retry-step');
