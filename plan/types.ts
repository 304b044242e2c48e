/** What crosses the workflow boundary: the plan, references to artifacts, requests to activities and their results. */

import type { Answer, Form } from './form.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type ArtifactKind =
  | 'tree' // a folder of files: names and digests
  | 'dataset' // images, splits and one label version
  | 'labels' // one label version alone (the truth of synthetic scenes)
  | 'planted' // label errors that `synthesize` planted
  | 'coercions' // what an import changed
  | 'selection' // a list of a dataset's images
  | 'model' // architecture and EMA weights
  | 'curves' // losses, AP and rates over the epochs of one training
  | 'trials' // the table of a capacity search
  | 'detections'
  | 'candidates'
  | 'corrections' // what a review changed, and by which decisions
  | 'profile' // loss per ground truth and model
  | 'forgetting' // which ground truths each of a chain of models found
  | 'chain' // hashes of every step and epoch of one training
  | 'dynamics' // loss, p_true and margin per ground truth and epoch of one training
  | 'quarantined' // boxes that are held back from training, with reasons
  | 'ensemble' // models and how their predictions are merged
  | 'metrics' // AP of models on splits and label versions, with intervals
  | 'report';

/**
 * A pointer to an immutable object of the store. Payloads carry these, never images or weights.
 * A type, not an interface, so that it counts as `Json`.
 */
export type ArtifactRef = {
  readonly artifact: ArtifactKind;
  /** SHA-256 of the object's bytes (hex). */
  readonly digest: string;
  readonly bytes: number;
};

export function isArtifactRef(value: unknown): value is ArtifactRef {
  return typeof value === 'object' && value !== null && 'artifact' in value && 'digest' in value;
}

/**
 * A value of a step's `with` in the plan. Plain JSON, in which an object with the one key `$` is a CEL expression
 * (`{ "$": "steps.data.dataset" }`), and one with the one key `$text` a string put together from text and expressions.
 * `{ "$secret": "NAME" }` stands for a secret, also among the parts of a `$text`, which stays one in the run. An object of
 * the file that only looks like one of these is planned as an expression that gives it.
 * What depends on params alone has been evaluated by the compiler already.
 */
export type PlannedValue = Json;

export interface RetryPolicy {
  /** Failures that the step's own code reports before the step gives up; lost workers do not count. */
  readonly max: number;
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  /** Types of failures that are tried again; absent: all. */
  readonly on?: readonly string[];
  /** Types of failures that are not tried again. */
  readonly except?: readonly string[];
}

/** What becomes of the run where a step gives up: docs/pipeline-spec.md, "When a step gives up". */
export type OnFailure = 'hold' | 'fail' | 'continue';

interface StepBase {
  /** As written in the file; unique in its scope. */
  readonly id: string;
  /** Ids of steps of the same scope that must have ended first: those it reads, and those of `needs`. */
  readonly needs: readonly string[];
  /** CEL; the step is skipped where it is false. */
  readonly when?: string;
}

/** A step that is one activity. */
export interface ActivityStep extends StepBase {
  readonly type: 'activity';
  /** Step kind, which is also the activity's name. */
  readonly kind: string;
  /** Code version of the kind: part of the fingerprint. */
  readonly version: number;
  readonly with: { readonly [name: string]: PlannedValue };
  /** JSON Pointers into `with`: where secrets stand, and texts with some in them. Absent: there are none. */
  readonly secrets?: readonly string[];
  readonly queue: string;
  /** Running time of one attempt. */
  readonly timeoutMs: number;
  readonly heartbeatMs: number;
  readonly retry: RetryPolicy;
  readonly onFailure: OnFailure;
  /** Name of a concurrency group: the step runs while no other of the group does, in any run. */
  readonly group?: PlannedValue;
  /** Of a step that a fork runs anew: part of its fingerprint, so that no record of other runs stands for it. */
  readonly fresh?: string;
}

/** Type of a value that a step takes or gives, as a pipeline file declares it. */
export type DeclaredType =
  | { readonly artifact: ArtifactKind }
  | { readonly list: DeclaredType }
  | 'any'
  | 'number'
  | 'boolean'
  | 'string'
  | 'secret';

/** A step that is an activity of another program, in any language: docs/pipeline-spec.md, "Other programs". */
export interface ForeignStep extends StepBase {
  readonly type: 'foreign';
  /** `activity:NAME`. */
  readonly kind: string;
  /** Type of the activity. */
  readonly activity: string;
  /** Raised by the file's author when the program gives other results from the same inputs. */
  readonly version: number;
  readonly with: { readonly [name: string]: PlannedValue };
  /** JSON Pointers into `with`: where secrets stand, and texts with some in them. Absent: there are none. */
  readonly secrets?: readonly string[];
  readonly outputs: { readonly [name: string]: DeclaredType };
  /** Whether an earlier result of the same inputs may stand for the step. */
  readonly reuse: boolean;
  /** The whole name of the task queue. */
  readonly queue: string;
  readonly timeoutMs: number;
  /** Absent: the program does not say that it lives, and its death is noticed by `timeoutMs` alone. */
  readonly heartbeatMs?: number;
  readonly retry: RetryPolicy;
  readonly onFailure: OnFailure;
  /** Name of a concurrency group: the step runs while no other of the group does, in any run. */
  readonly group?: PlannedValue;
  readonly fresh?: string;
}

/** `review-labels`: an activity that opens the gate, a wait in the workflow, an activity that applies the decisions. */
export interface GateStep extends Omit<ActivityStep, 'type'> {
  readonly type: 'gate';
}

/** `approve`: waits for a person's answer to a form, whose fields are the step's outputs. */
export interface ApproveStep extends StepBase {
  readonly type: 'approve';
  readonly kind: 'approve';
  readonly version: number;
  /** `message`, `show`, `assignees`, and of `after` the durations and `escalate.to`. */
  readonly with: { readonly [name: string]: PlannedValue };
  readonly form: Form;
  /** What follows where nobody answers in time: `hold`, `fail`, or this answer. Absent: the gate never expires. */
  readonly expired?: 'hold' | 'fail' | Answer;
  /** By `expired`. */
  readonly onFailure: OnFailure;
  readonly fresh?: string;
}

/** `search-capacity`: a child workflow with one activity a trial. */
export interface SearchStep extends Omit<ActivityStep, 'type'> {
  readonly type: 'search';
  /** Events after which it goes on in a new history; 2,500 where it is absent. */
  readonly renewAfter?: number;
}

export interface Plateau {
  /** CEL for a number, over what `until` sees. */
  readonly metric: string;
  /** Rounds without an improvement after which the loop ends. */
  readonly patience: number;
  /** By how much, at least, a round must be better than the best before. */
  readonly minDelta: number;
  /** Whether large or small values are better. */
  readonly mode: 'max' | 'min';
}

/** A sub-graph that runs again and again; each round is a child workflow with the path `ID[round.index]`. */
export interface RepeatStep extends StepBase {
  readonly type: 'repeat';
  readonly max: PlannedValue;
  /** CEL over `round`, `carry` and `steps` of the round just ended; the loop ends where it is true. */
  readonly until?: string;
  /** The loop ends where the metric has not become better for some rounds. */
  readonly plateau?: Plateau;
  /** No round begins later than this after the loop began; wall time, waiting for people included. */
  readonly budgetMs?: number;
  /** A loop of more rounds has so many in one child workflow; absent: 100 of more than 20. */
  readonly perBatch?: number;
  /** Values of `carry` in the first round. */
  readonly carry: { readonly [name: string]: PlannedValue };
  readonly scope: PlannedScope;
  /** Values of `carry` in the next round, and the round's entry in `all`. */
  readonly next: { readonly [name: string]: PlannedValue };
  /** Id of the step of the scope whose outputs are `round.gain` (put there by the compiler when something reads it). */
  readonly gain?: string;
  /** Name in `carry` of a selection: the loop ends, with that reason, before a round in which it is empty. */
  readonly endWhenEmpty?: string;
  /** Absent: as the steps inside say. */
  readonly onFailure?: OnFailure;
  /** Of a fork within the loop: what rounds do from a certain one on, in the order of `from`. */
  readonly bodies?: readonly LoopBody[];
}

/** What the rounds of a loop do. */
export interface LoopBody
  extends Pick<RepeatStep, 'scope' | 'next' | 'until' | 'plateau' | 'budgetMs' | 'gain' | 'endWhenEmpty'> {
  /** The first round that does it. */
  readonly from: number;
}

/** One combination of a matrix. */
export interface PlannedLeg {
  /** In the leg's path: `tune[lr=0.01,width=0.25]`. It says the values, so that a larger matrix redoes only what is new. */
  readonly name: string;
  /** What expressions of the leg see as `matrix`. */
  readonly values: { readonly [axis: string]: Json };
}

/**
 * A sub-graph, or one step of a kind, that runs once for each leg, side by side. Each leg is a child workflow with the
 * path `ID[NAME]`. Where a leg is one step, that step has the id '' and the leg's path.
 */
export interface FanOutStep extends StepBase {
  readonly type: 'fan-out';
  /** Combinations that are known before the run; or a list, whose entries are seen as `item`, with their `index` from 1. */
  readonly legs: { readonly matrix: readonly PlannedLeg[] } | { readonly forEach: PlannedValue };
  /** Largest number of legs that run at once; those that wait for people or are held do not count. */
  readonly concurrency: number;
  /** Legs of one child workflow; 100 where it is absent. */
  readonly perBatch?: number;
  /** CEL over what a leg sees; the leg is skipped where it is false. */
  readonly legWhen?: string;
  readonly scope: PlannedScope;
  /** The leg's entry in `all`. Absent where the leg is one step: then its outputs are. */
  readonly outputs?: { readonly [name: string]: PlannedValue };
  /** Absent: as the steps inside say. */
  readonly onFailure?: OnFailure;
  /** Of a fork within a leg, and of forks of that one in others: what those legs do in place of `scope`. */
  readonly forked?: readonly ForkedLeg[];
}

export interface ForkedLeg {
  readonly leg: string;
  readonly scope: PlannedScope;
}

/** The steps of another file, as a child workflow with the step's path. They see its params, and nothing around it. */
export interface PipelineStep extends StepBase {
  readonly type: 'pipeline';
  /** Name of the pipeline in the other file. */
  readonly pipeline: string;
  /** Values of its params that come up in the run; the others stand in its steps. */
  readonly params: { readonly [name: string]: PlannedValue };
  readonly scope: PlannedScope;
  readonly outputs: { readonly [name: string]: PlannedValue };
  /** Absent: as the steps inside say. */
  readonly onFailure?: OnFailure;
}

/** A step of a kind, without steps inside. */
export type KindStep = ActivityStep | ForeignStep | GateStep | ApproveStep | SearchStep;

export type PlannedStep =
  | ActivityStep
  | ForeignStep
  | GateStep
  | ApproveStep
  | SearchStep
  | RepeatStep
  | FanOutStep
  | PipelineStep;

export interface PlannedScope {
  /** Sorted topologically; ties in file order. */
  readonly steps: readonly PlannedStep[];
  /** Of a scope with too many steps for one workflow: where each part begins, which is a child workflow of its own. */
  readonly parts?: readonly number[];
  /** Of the root, and of the steps of another file: steps that run when all others have ended, however that was. */
  readonly finally?: readonly PlannedStep[];
  /** Where each part of `finally` begins, where it would make the history of its workflow too long. */
  readonly finallyParts?: readonly number[];
  /** Of the root alone: the run waits until it is alone in the group, across runs. */
  readonly concurrency?: { readonly group: string; readonly cancelInProgress: boolean };
}

/** Everything that was decided before the run. Its canonical JSON's digest names it. */
export interface Plan {
  readonly format: 1;
  /** Name of the pipeline and of the workflow type. */
  readonly pipeline: string;
  readonly seed: number;
  readonly params: { readonly [name: string]: Json };
  readonly root: PlannedScope;
}

/** Settled once per run, recorded, and forced on every attempt: on it depend the last bits of every training. */
export interface RunEnvironment {
  /** TF_NUM_INTRAOP_THREADS of every training and inference process. */
  readonly threads: number;
  readonly tensorflow: string;
  readonly oneDnn: boolean;
  /** CPU model and the instruction sets that matter. */
  readonly cpu: string;
  readonly hardcase: string;
  readonly node: string;
}

/** The argument of every step's activity. */
export interface StepRequest {
  readonly run: string;
  /** `rounds[2].train`. */
  readonly path: string;
  readonly kind: string;
  readonly version: number;
  /** Inputs and parameters with every expression resolved. */
  readonly with: { readonly [name: string]: Json };
  /** See `ActivityStep`. What looks like a secret elsewhere in `with` is data. */
  readonly secrets?: readonly string[];
  /** The pipeline's seed; a step's own is a hash of it and the path. */
  readonly seed: number;
  readonly environment: RunEnvironment;
  /** See `ActivityStep`. */
  readonly fresh?: string;
  /** What an activity of another program declares to give: part of its identity, because the file's author decides it. */
  readonly outputs?: { readonly [name: string]: DeclaredType };
}

export interface StepResult {
  readonly outputs: { readonly [name: string]: Json };
  readonly reused: boolean;
}

export type StepState =
  | 'pending'
  | 'running'
  | 'waiting' // for a human
  | 'held' // gave up; `hardcase retry` goes on from there
  | 'paused'
  | 'done'
  | 'skipped'
  | 'failed'
  | 'cancelled';

/** An attempt to run a step, as the report shows it. */
export interface AttemptRecord {
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly worker: string;
  /** The training step from which a checkpoint was resumed. */
  readonly resumedFrom?: number;
  /** False when it was resumed on another kind of CPU or build. */
  readonly exact?: boolean;
  readonly error?: string;
  /**
   * How it ended. Only `failed` counts for `retry.max`: `lost` is a worker that died, `stopped` one that was shut down,
   * `interrupted` an attempt that found the store away or an input damaged.
   */
  readonly outcome?: 'done' | 'failed' | 'lost' | 'stopped' | 'interrupted' | 'cancelled';
  /** How often the step had been held before. */
  readonly holds?: number;
}

/** `runs/RUN/steps/PATH.json`: what `status --json` shows, and what the report is built from. Times are ISO 8601. */
export interface StepRecord {
  readonly path: string;
  readonly kind: string;
  readonly state: StepState;
  readonly reused: boolean;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly outputs?: { readonly [name: string]: Json };
  readonly waitingFor?: string;
  /** Of a step that began again and found its own result, which takes a moment: how long it took to make, where that is known. */
  readonly found?: { readonly madeInMs?: number };
  /** What the step needs before it can begin: a worker of its queue, where none was found. */
  readonly unserved?: string;
  readonly error?: string;
  /** What kind of failure `error` tells of, such as `BadData`. */
  readonly errorType?: string;
  /** What people should know of how it ended, where that is no error: a trial that was stopped early. */
  readonly note?: string;
  readonly with?: { readonly [name: string]: Json };
  /** Where in `with` secrets stand, by their names. */
  readonly secrets?: readonly string[];
  /** When it failed for good. */
  readonly failedAt?: string;
  /** Of a step that imports a file, whose `finally` was cut for a new history of the run: how the file's other steps ended. */
  readonly ending?: Ending;
  readonly fingerprint?: string;
  /** Of a step that a fork runs anew: what sets its fingerprint apart. */
  readonly fresh?: string;
  /** The step's own seed, when its kind is seeded. */
  readonly seed?: number;
  readonly attempts?: readonly AttemptRecord[];
}

/** How the steps of a run or of another file ended, those of `finally` aside. */
export interface Ending {
  readonly state: 'done' | 'failed' | 'cancelled';
  /** Where they failed: the first failure, and its type. */
  readonly error?: string;
  readonly errorType?: string;
  /** When that was, by the workflow's clock. */
  readonly at: string;
}

/** `runs/RUN/run.json`, created once: whoever creates it owns the id. */
export interface RunHeader {
  readonly run: string;
  readonly pipeline: string;
  readonly planDigest: string;
  /** Digest of the pipeline file's text in the store. */
  readonly source: string;
  /** Of the files that it imports, by their paths. Absent where there are none. */
  readonly imports?: { readonly [file: string]: string };
  /** The file's path as given on the command line. */
  readonly file: string;
  readonly params: { readonly [name: string]: Json };
  /** Names of the params that did not have their default: they need not be given again. Absent: all of them. */
  readonly given?: readonly string[];
  /**
   * Of a run whose plan was changed while it went on: the plan of the file as it is now. `planDigest` is the one that the
   * run follows, in which what had begun before is as it was.
   */
  readonly filePlan?: string;
  /** Of a fork: the run that it reuses, the step from which on it goes its own way, and the params that differ. */
  readonly fork?: {
    readonly run: string;
    readonly from: string;
    readonly params: { readonly [name: string]: Json };
  };
  /** Of a fork: from what its plan was put together. Absent in those of earlier releases. */
  readonly forkPlans?: {
    /** Digest of the plan that the earlier run followed. */
    readonly before: string;
    /** Of the file's, with the params of the fork. */
    readonly file: string;
    /** What marks the steps that run anew. */
    readonly salt: string;
  };
  readonly createdAt: string;
}

/** Which workflow code runs a run. */
export interface Build {
  /** Digest of the bundle of workflows (hex, 12). */
  readonly id: string;
  readonly version: string;
}

/** `runs/RUN/state.json`, replaced as the run goes on. */
export interface RunState {
  readonly state: StepState;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly error?: string;
  readonly environment?: RunEnvironment;
  /** Of the worker that the embedded engine ran last; absent for runs of a server that others share. */
  readonly build?: Build;
  /** Changes of the plan while the run goes on, oldest first: the newest holds in place of what the header says. */
  readonly upgrades?: readonly PlanUpgrade[];
  /** Warnings and notices for people, oldest first. */
  readonly notices?: readonly string[];
}

/** What a header says of the file that a run belongs to. */
export interface RunFile extends Pick<RunHeader, 'file' | 'source' | 'imports' | 'params' | 'given'> {
  /** Of a fork, whose plan is in no file: digests of the file's plans whose differences it follows. */
  readonly edit?: { readonly was: string; readonly is: string };
}

/** A change of the plan while the run went on. */
export interface PlanUpgrade extends RunFile {
  /** Of its operation. */
  readonly at: string;
  /**
   * Digests of the plan that the run followed before, of the one that it follows since, and of the changed file's (of a fork:
   * of its own with what changed in the file).
   */
  readonly before: string;
  readonly plan: string;
  readonly filePlan: string;
  /** Steps of the root that had begun, and so stay as they were. */
  readonly begun: readonly string[];
}

/** `runs/RUN/operations/…json`: what somebody asked of the run while it went on. */
export interface OperationRecord {
  readonly operation: 'pause' | 'resume' | 'cancel' | 'retry' | 'skip' | 'reset' | 'upgrade';
  /** ISO 8601. */
  readonly at: string;
  /** Counts the operations that one workflow took; tells those of one millisecond apart. */
  readonly number: number;
  readonly by: string;
  readonly reason?: string;
  /** Of a pause: whether running steps were stopped. */
  readonly now?: boolean;
  /** Paths of the steps that it is about. */
  readonly steps?: readonly string[];
  /** New values of parameters of those steps. */
  readonly set?: { readonly [name: string]: Json };
  /** Of an upgrade: what differs between the plans, in words. */
  readonly changes?: readonly string[];
  /** Of an upgrade: the first round that does something else, by loop. */
  readonly from?: { readonly [loop: string]: number };
  /** Of an upgrade: steps that had begun and begin again, because what is within them changes. */
  readonly again?: readonly string[];
}

/** `runs/RUN/progress/PATH.json`, replaced every few seconds: what a live view shows. */
export interface Progress {
  readonly path: string;
  readonly at: string;
  readonly message: string;
  /** 0..1 */
  readonly share?: number;
}
