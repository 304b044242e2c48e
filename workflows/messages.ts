/** Names and payloads of the run's messages: what commands, pages and people with the Temporal CLI may send. */

import type { Decision } from '../detection/types.ts';
import type { Json, OperationRecord, PlannedScope, RunFile } from '../plan/types.ts';
import type { HandedOver } from './scope-messages.ts';
import type { StandingOrders } from './standing-orders.ts';

/**
 * Argument 0 of a run's workflow, whose id is `workflowIdOf(run)`, whose type is the pipeline's name and whose task
 * queue is `queueName(prefix, 'workflows')`; activities go to the other queues of the same prefix.
 */
export interface RunArguments {
  readonly run: string;
  readonly pipeline: string;
  /** Digest of the plan's canonical JSON, an object of the store. */
  readonly planDigest: string;
  readonly seed: number;
  /** The plan's root scope; left out where its JSON is larger than `scopeBytesMax`, and fetched by an activity then. */
  readonly scope?: PlannedScope;
  /** Those of an earlier workflow of the run, as its record has them. */
  readonly orders?: StandingOrders;
  /** An earlier workflow of the run has left messages for gates that were not open yet. */
  readonly early?: true;
  /** An earlier workflow of the run has asked people; what they said is in the run's record. */
  readonly decided?: true;
  /** An ended run begins again with this. */
  readonly reset?: OperationRecord;
  /** From so many events on the run goes on in a new history. Absent: never, as in runs of earlier releases. */
  readonly renewAfter?: number;
  /** And so it does once a workflow below it has so many. */
  readonly wornAfter?: number;
  /** What the history before handed over. */
  readonly before?: HandedOver;
}

/** Temporal refuses payloads of 2 MiB; a scope well below that leaves room for everything else in a task. */
export const scopeBytesMax = 256 * 1024;

/** What a finished run's workflow answers. */
export interface RunSummary {
  readonly state: 'done' | 'cancelled';
}

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
  /** Ends the wait: the run goes on with what is decided. `decisions` may be empty then. */
  readonly proceed?: boolean;
}

export interface DecideAnswer {
  /** Decisions new to the run; with `reference`, those are counted later. */
  readonly accepted: number;
  /** The same decision was there already. */
  readonly repeated: number;
}

/** What every operation on a run says. All are updates: the sender wants to know whether they were taken. */
export interface OperateMessage {
  /** Who asks. */
  readonly by: string;
  readonly reason?: string;
}

/** No new step starts. With `now`, running ones stop with a checkpoint too, and begin again after `resume`. */
export interface PauseMessage extends OperateMessage {
  readonly now?: boolean;
}

/** Lets a held step run again; without a path, every held step. */
export interface RetryMessage extends OperateMessage {
  readonly path?: string;
  /** New values of parameters of that step. */
  readonly set?: { readonly [name: string]: Json };
}

/** The step does not run, and what reads it is skipped too. */
export interface SkipMessage extends OperateMessage {
  readonly path: string;
  readonly reason: string;
}

/** The step, and what depends on it, begin anew. */
export interface ResetMessage extends OperateMessage {
  readonly path: string;
  readonly set?: { readonly [name: string]: Json };
}

/** The file has changed: what has not begun goes by its new plan. */
export interface UpgradeMessage extends OperateMessage {
  /** Of the changed file's plan, an object of the store. */
  readonly planDigest: string;
  /** Its root scope; left out where its JSON is larger than `scopeBytesMax`, and fetched by an activity then. */
  readonly scope?: PlannedScope;
  readonly file: RunFile;
  /** What differs, in words, for the record. */
  readonly changes: readonly string[];
  /** Steps of the root that have begun by the run's record, with the newest round of a loop, or 0. */
  readonly recorded: { readonly [id: string]: number };
  /** First round that changes, of loops within steps that begin again, by their path: `tune[].rounds`. By the run's record, as the root does not know. */
  readonly rounds?: { readonly [loop: string]: number };
  /** Only in a replay of the run's history: a problem ends the replay, and nothing is changed. */
  readonly proof?: true;
}

export interface OperateAnswer {
  /** Names the operation in the run's record. */
  readonly at: string;
  /** Steps that it is about. */
  readonly steps: readonly string[];
}

/** A gate that waits for people, as the query `gates` shows it. */
export interface OpenGate {
  readonly gate: string;
  /** Candidates without a decision, as far as the ledger had been written when the query came. */
  readonly undecided: number;
  /** Decisions that wait in the workflow: the gate is not open yet, or they are being written. */
  readonly queued: number;
}

/** Decisions that were refused after they had been accepted (unknown candidate, conflict), newest last. */
export interface RefusedDecision {
  readonly gate: string;
  readonly candidateId: string;
  /** Whose decision; absent in answers of earlier releases. */
  readonly by?: string;
  /** It was to settle what others said. */
  readonly settles?: true;
  readonly why: string;
}

/** What became of a list of decisions in the store. */
export interface WrittenList {
  readonly gate: string;
  readonly reference: string;
  readonly accepted: number;
  readonly repeated: number;
}

/** Answer of the query `gates`. */
export interface GatesAnswer {
  readonly open: readonly OpenGate[];
  readonly refused: readonly RefusedDecision[];
  /** Newest last. */
  readonly lists: readonly WrittenList[];
}

/**
 * The answer to the form of an `approve` step. An update, because the sender wants to know whether it counts; the
 * signal of the same name serves people who have only the Temporal CLI. It may come before the gate opens.
 */
export interface AnswerMessage {
  /** Path of the `approve` step: `ok`, `rounds[2].ok`. */
  readonly gate: string;
  readonly by: string;
  /** Values of the form's fields; those with a default may be left out. */
  readonly answer: { readonly [field: string]: Json };
  readonly reason?: string;
}

export interface AnswerReceipt {
  /** False where the same answer was there already. */
  readonly accepted: boolean;
}

export const answerName = 'answer';
export const decideName = 'decide';
/** Type of the failure of an update that brings too few decisions by now: what it brought should come with others. */
export const gatherMore = 'GatherMore';
export const retryName = 'retry';
export const upgradeName = 'upgrade';
/** How a refusal begins that may pass: the engine had lost the run, whose workflow finds what is recorded step by step. */
export const beginsAgain = 'The run is beginning again, and not as far as its record yet:';
/** In the refusal of an upgrade that no build of the interpreter could follow. */
export const compiledWorkflow = 'a compiled workflow';
export const operationNames = ['pause', 'resume', 'cancel', retryName, 'skip', 'reset'] as const;
export type OperationName = (typeof operationNames)[number] | typeof upgradeName;
export const gatesName = 'gates';

/** Who wants to be alone in a concurrency group. */
export interface GroupTicket {
  /** The run and, where it is a step, its path. */
  readonly id: string;
  readonly run: string;
  /** The workflow that waits, and its first run id: one that begins anew under its id is another. */
  readonly workflowId: string;
  readonly firstRunId: string;
  /** The runs that are inside or wait are cancelled. */
  readonly cancelInProgress: boolean;
}

export const groupEnterName = 'group-enter';
export const groupLeaveName = 'group-leave';

/** `workflowsQueue` keeps installations of one server apart. */
export const groupWorkflowId = (workflowsQueue: string, group: string): string =>
  `hardcase-group:${workflowsQueue}:${group}`;

/** Workflow id of a run, and of the child that a round or a capacity search is. */
export const workflowIdOf = (run: string, path = ''): string =>
  path === '' ? `hardcase:${run}` : `hardcase:${run}:${path}`;

/** The run whose root workflow has the id; null for rounds, legs, groups, and what is not ours. */
export function runOfWorkflow(workflowId: string): string | null {
  return /^hardcase:([^:]+)$/.exec(workflowId)?.[1] ?? null;
}

/** Task queue of a kind of work. `prefix` is `hardcase` unless HARDCASE_QUEUE says otherwise. */
export const queueName = (prefix: string, queue: string): string => `${prefix}-${queue}`;
