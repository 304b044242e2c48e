/** Names and payloads of the run's messages: what commands, pages and people with the Temporal CLI may send. */

import type { Decision } from '../detection/types.ts';

/** Inline decisions in one message; more go by reference to an object of the store. */
export const decisionsPerMessageMax = 500;

/**
 * Decisions for one gate. An update, because the sender wants to know whether they were taken; the signal of the same
 * name serves people who have only the Temporal CLI.
 */
export interface DecideMessage {
  /** Path of the `review-labels` step: `review`, `rounds[2].review`. */
  readonly gate: string;
  /** Chosen by the sender; the same batch sent twice counts once. */
  readonly batch: string;
  readonly by: string;
  /** At most `decisionsPerMessageMax`; or `reference`. */
  readonly decisions?: readonly Decision[];
  /** Digest of a JSON array of decisions in the store. */
  readonly reference?: string;
  /** Digest of what the reviewer was shown (the gate's candidates). */
  readonly shown?: string;
}

export interface DecideAnswer {
  /** Decisions new to the run; with `reference`, those are counted later. */
  readonly accepted: number;
  /** The same decision was there already. */
  readonly repeated: number;
}

/** Lets a held step run again; without a path, every held step. An update: the sender wants to know which. */
export interface RetryMessage {
  readonly path?: string;
  readonly by: string;
}

export interface RetryAnswer {
  readonly retried: readonly string[];
}

export const decideName = 'decide';
export const retryName = 'retry';

/** Workflow id of a run, and of the child that a round or a capacity search is. */
export const workflowIdOf = (run: string, path = ''): string =>
  path === '' ? `hardcase:${run}` : `hardcase:${run}:${path}`;

/** Task queue of a kind of work. `prefix` is `hardcase` unless HARDCASE_QUEUE says otherwise. */
export const queueName = (prefix: string, queue: 'workflows' | 'cpu' | 'train'): string => `${prefix}-${queue}`;
