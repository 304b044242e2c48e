/** What the store keeps of a review gate: what was asked, and every batch of decisions. */

import type { Decision } from '../detection/types.ts';

/** `runs/RUN/gates/PATH.json`: created when the gate opens, replaced when it closes. */
export interface GateRecord {
  readonly path: string;
  readonly state: 'open' | 'closed';
  readonly reviewer: 'human' | 'oracle';
  readonly openedAt: string;
  readonly closedAt?: string;
  /** Why it closed. */
  readonly ended?: 'decided' | 'expired';
  /** Digests of the objects of the `dataset` and `candidates` artifacts that the gate is about. */
  readonly dataset: string;
  readonly candidates: string;
  /** Digest of the JSON array of the candidates that are asked, best rank first. Also what `shown` of a message names. */
  readonly asked: string;
  readonly askedCount: number;
  /** Candidates of the artifact, of which some were decided before and some may be beyond `limit`. */
  readonly total: number;
  /** Digest of the JSON array of decisions that were made earlier and hold here too. */
  readonly carriedOver: string;
  readonly carriedOverCount: number;
  /** When the labels of undecided candidates are kept; absent where the gate waits without end. */
  readonly expiresAt?: string;
}

/** `runs/RUN/decisions/PATH/BATCH.json`: created once, never changed. For one candidate the first decision counts. */
export interface DecisionBatch {
  readonly batch: string;
  readonly by: string;
  /** When the run's workflow took it. */
  readonly at: string;
  readonly via: 'update' | 'signal' | 'oracle';
  /** Digest of what the reviewer was shown, where the sender said so. */
  readonly shown?: string;
  readonly decisions: readonly Decision[];
}

/** One decided candidate with who, when and what was shown. */
export interface RecordedDecision extends Decision {
  readonly by: string;
  readonly at: string;
  readonly shown?: string;
}

export const gateRecordKey = (run: string, path: string): string => `runs/${run}/gates/${path}.json`;
export const decisionBatchPrefix = (run: string, path: string): string => `runs/${run}/decisions/${path}/`;
export const decisionBatchKey = (run: string, path: string, batch: string): string =>
  `${decisionBatchPrefix(run, path)}${batch}.json`;
