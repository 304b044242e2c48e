/**
 * Temporal without a server, for tests of pipelines: the workflows run as they are, in the SDK's own sandbox, and this
 * answers their commands in virtual time. Days pass in milliseconds, and the same script gives the same course.
 */

import { readFileSync } from 'node:fs';
import {
  ApplicationFailure,
  defaultFailureConverter,
  defaultPayloadConverter,
  type Payload,
  TypedSearchAttributes,
  toPayloads,
} from '@temporalio/common';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import type { coresdk, temporal } from '@temporalio/proto';
import { parseWorkflowCode } from '@temporalio/worker/lib/worker.js';
import type { Workflow } from '@temporalio/worker/lib/workflow/interface.js';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';

type Job = coresdk.workflow_activation.IWorkflowActivationJob;
type Command = coresdk.workflow_commands.IWorkflowCommand;
type Failure = temporal.api.failure.v1.IFailure;

/** One call of an activity, as the workflow asked for it. */
export interface ActivityCall {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly queue: string;
  /** Virtual time, ms since 1970. */
  readonly at: number;
}

/** What an activity does: its result or failure, after some virtual time. */
export interface ActivityEnd {
  /** Read when `takesMs` are over. */
  readonly result?: unknown;
  readonly failure?: ApplicationFailure;
  readonly takesMs?: number;
  /** Called where the workflow cancels it before its end. */
  readonly cancelled?: () => void;
}

export type SimulatedActivity = (call: ActivityCall) => ActivityEnd;

/** How a workflow ended. */
export type WorkflowEnd =
  | { readonly state: 'done'; readonly result: unknown }
  | { readonly state: 'failed'; readonly error: Error }
  | { readonly state: 'cancelled' };

interface Execution {
  readonly id: string;
  readonly runId: string;
  readonly type: string;
  readonly queue: string;
  readonly workflow: Workflow;
  /** Jobs for its next activation. */
  jobs: Job[];
  readonly parent: { readonly execution: Execution; readonly seq: number } | null;
  readonly children: Map<number, Execution>;
  /** What it waits for by kind and number, with the way to call it off. */
  readonly pending: Map<string, () => void>;
  /** Types of its activities, by number. */
  readonly activities: Map<number, string>;
  /** Events so far, as Temporal's server counts them. */
  events: number;
  end: WorkflowEnd | null;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void | Promise<void>;
}

/** No workflow computes this long between two waits. */
const activationTimeoutMs = 10_000;
/** More activations than any pipeline needs: a loop that no time passes in would never end. */
const activationsMax = 200_000;

export class SimulatedTemporal {
  /** Virtual time, ms since 1970. */
  now: number;
  readonly #creator: ReusableVMWorkflowCreator;
  readonly #activity: SimulatedActivity;
  readonly #executions = new Map<string, Execution>();
  readonly #events: Event[] = [];
  /** Of the longest history that a workflow had before it went on in a new one. */
  readonly #longest = new Map<string, number>();
  readonly #updates = new Map<string, (why: string) => void>();
  #order = 0;
  #activations = 0;

  private constructor(creator: ReusableVMWorkflowCreator, activity: SimulatedActivity, startAt: number) {
    this.#creator = creator;
    this.#activity = activity;
    this.now = startAt;
  }

  /** `bundlePath`: the bundled workflows. The sandbox is compiled once for each bundle of the process. */
  static async open(bundlePath: string, activity: SimulatedActivity, startAt: number): Promise<SimulatedTemporal> {
    let creator = creators.get(bundlePath);
    if (creator === undefined) {
      const bundle = parseWorkflowCode(readFileSync(bundlePath, 'utf8'), bundlePath);
      creator = ReusableVMWorkflowCreator.create(bundle, activationTimeoutMs, new Set<string>());
      creators.set(bundlePath, creator);
    }
    return new SimulatedTemporal(await creator, activity, startAt);
  }

  async start(type: string, id: string, queue: string, args: readonly unknown[]): Promise<void> {
    await this.#create({ type, id, queue, parent: null, payloads: toPayloads(defaultPayloadConverter, ...args) ?? [] });
  }

  /** Calls `run` when the virtual time has come. */
  later(afterMs: number, run: Event['run']): () => void {
    const event = { at: this.now + Math.max(0, afterMs), order: this.#order++, run };
    this.#events.push(event);
    return () => {
      const at = this.#events.indexOf(event);
      if (at >= 0) this.#events.splice(at, 1);
    };
  }

  /** Sends a signal; false where the workflow has ended. */
  signal(id: string, name: string, args: readonly unknown[]): boolean {
    return this.#signal(id, name, toPayloads(defaultPayloadConverter, ...args) ?? []);
  }

  /** Sends an update; `refused` is called where its validator refuses it, or its handler fails. */
  update(id: string, name: string, args: readonly unknown[], refused: (why: string) => void): void {
    const target = this.#executions.get(id);
    if (target === undefined || target.end !== null) {
      refused(`The workflow ${id} has ended.`);
      return;
    }
    const protocolInstanceId = `update-${this.#order++}`;
    this.#updates.set(protocolInstanceId, refused);
    const input = toPayloads(defaultPayloadConverter, ...args) ?? [];
    const meta = { identity: 'script', updateId: protocolInstanceId };
    target.jobs.push({
      doUpdate: { id: protocolInstanceId, protocolInstanceId, name, input, headers: {}, meta, runValidator: true },
    });
  }

  /** Events of every workflow, as Temporal's server would count them, by workflow id. */
  histories(): ReadonlyMap<string, number> {
    return new Map([...this.#executions].map(([id, { events }]) => [id, Math.max(events, this.#longest.get(id) ?? 0)]));
  }

  isOpen(id: string): boolean {
    return this.#executions.get(id)?.end === null;
  }

  endOf(id: string): WorkflowEnd | null {
    return this.#executions.get(id)?.end ?? null;
  }

  cancel(id: string): void {
    this.#executions.get(id)?.jobs.push({ cancelWorkflow: {} });
  }

  /** Runs until the workflow has ended, or nothing is left that could happen: then it waits for people. */
  async run(id: string): Promise<void> {
    while (this.endOf(id) === null) {
      const next = [...this.#executions.values()].find(({ jobs, end }) => jobs.length > 0 && end === null);
      if (next !== undefined) {
        await this.#activate(next);
        continue;
      }
      const event = this.#takeEvent();
      if (event === undefined) return;
      this.now = event.at;
      await event.run();
    }
  }

  async close(): Promise<void> {
    for (const { workflow } of this.#executions.values()) await workflow.dispose();
    this.#executions.clear();
  }

  #takeEvent(): Event | undefined {
    let first = 0;
    for (const [i, { at, order }] of this.#events.entries()) {
      const best = this.#events[first]!;
      if (at < best.at || (at === best.at && order < best.order)) first = i;
    }
    return this.#events.splice(first, 1)[0];
  }

  async #create(given: {
    type: string;
    id: string;
    queue: string;
    parent: Execution['parent'];
    payloads: readonly Payload[];
  }): Promise<Execution> {
    const { type, id, queue, parent, payloads } = given;
    const runId = `run-${this.#order++}`;
    const startTime = new Date(this.now);
    const root = rootOf(parent);
    const workflow = await this.#creator.createWorkflow({
      info: {
        workflowId: id,
        runId,
        workflowType: type,
        searchAttributes: {},
        typedSearchAttributes: new TypedSearchAttributes(),
        taskQueue: queue,
        namespace: 'simulated',
        firstExecutionRunId: runId,
        originalExecutionRunId: runId,
        ...(parent === null
          ? {}
          : { parent: { workflowId: parent.execution.id, runId: parent.execution.runId, namespace: 'simulated' } }),
        ...(root === null ? {} : { root: { workflowId: root.id, runId: root.runId } }),
        startTime,
        runStartTime: startTime,
        taskTimeoutMs: 10_000,
        attempt: 1,
        historyLength: 3,
        historySize: 0,
        continueAsNewSuggested: false,
        targetWorkerDeploymentVersionChanged: false,
        currentBuildId: '',
        unsafe: {
          now: () => this.now,
          isReplaying: false,
          isReplayingHistoryEvents: false,
          random: { random: () => 0.5 },
        },
      } as unknown as Parameters<ReusableVMWorkflowCreator['createWorkflow']>[0]['info'],
      randomnessSeed: [1, 2, 3, 4],
      now: this.now,
      showStackTraceSources: false,
      failureExceptionTypeNames: [],
    } as Parameters<ReusableVMWorkflowCreator['createWorkflow']>[0]);
    const job: Job = {
      initializeWorkflow: {
        workflowType: type,
        workflowId: id,
        arguments: [...payloads],
        headers: {},
        attempt: 1,
        startTime: msToTs(this.now),
        workflowTaskTimeout: msToTs(10_000),
        firstExecutionRunId: runId,
      },
    };
    const execution: Execution = {
      id,
      runId,
      type,
      queue,
      workflow,
      jobs: [job],
      parent,
      children: new Map(),
      pending: new Map(),
      activities: new Map(),
      events: 0,
      end: null,
    };
    const before = this.#executions.get(id);
    if (before !== undefined) this.#longest.set(id, Math.max(before.events, this.#longest.get(id) ?? 0));
    await before?.workflow.dispose();
    this.#executions.delete(id);
    this.#executions.set(id, execution);
    return execution;
  }

  async #activate(execution: Execution): Promise<void> {
    if (++this.#activations > activationsMax) {
      throw new Error(`The simulated run went through ${activationsMax} workflow tasks without an end.`);
    }
    const jobs = execution.jobs;
    execution.jobs = [];
    // Scheduled, started and completed; and what woke it.
    execution.events += 3 + jobs.reduce((sum, job) => sum + eventsOf(job), 0);
    const completion = await execution.workflow.activate({
      runId: execution.runId,
      timestamp: msToTs(this.now),
      isReplaying: false,
      historyLength: execution.events,
      // As Temporal orders them: what people and other workflows send before what was waited for.
      jobs: jobs.sort((a, b) => rank(a) - rank(b)),
      availableInternalFlags: [1, 2, 3, 4, 5],
    });
    if (completion.failed) {
      const { message, stackTrace } = completion.failed.failure ?? {};
      throw new Error(`Internal error: the workflow ${execution.id} cannot go on: ${message}\n${stackTrace ?? ''}`);
    }
    for (const command of completion.successful?.commands ?? []) {
      execution.events++;
      await this.#obey(execution, command);
    }
  }

  async #obey(execution: Execution, command: Command): Promise<void> {
    const { pending } = execution;
    const tell = (job: Job) => {
      execution.jobs.push(job);
    };
    if (command.startTimer) {
      const seq = command.startTimer.seq!;
      const fire = () => {
        pending.delete(`timer ${seq}`);
        tell({ fireTimer: { seq } });
      };
      pending.set(`timer ${seq}`, this.later(tsToMs(command.startTimer.startToFireTimeout), fire));
    } else if (command.cancelTimer) {
      pending.get(`timer ${command.cancelTimer.seq}`)?.();
      pending.delete(`timer ${command.cancelTimer.seq}`);
    } else if (command.scheduleActivity) {
      this.#schedule(execution, command.scheduleActivity);
    } else if (command.requestCancelActivity) {
      const seq = command.requestCancelActivity.seq!;
      const isPending = pending.get(`activity ${seq}`);
      if (isPending === undefined) return;
      isPending();
      pending.delete(`activity ${seq}`);
      const failure = { message: 'Activity cancelled', canceledFailureInfo: {} };
      tell({
        resolveActivity: {
          seq,
          result: { cancelled: { failure: activityFailure(execution.activities.get(seq)!, failure) } },
        },
      });
    } else if (command.startChildWorkflowExecution) {
      await this.#startChild(execution, command.startChildWorkflowExecution);
    } else if (command.cancelChildWorkflowExecution) {
      const child = execution.children.get(command.cancelChildWorkflowExecution.childWorkflowSeq!);
      if (child?.end === null) child.jobs.push({ cancelWorkflow: {} });
    } else if (command.signalExternalWorkflowExecution) {
      const { seq, workflowExecution, childWorkflowId, signalName, args } = command.signalExternalWorkflowExecution;
      const target = workflowExecution?.workflowId ?? childWorkflowId ?? '';
      const sent = this.#signal(target, signalName!, args ?? []);
      const failure = defaultFailureConverter.errorToFailure(
        ApplicationFailure.nonRetryable(`There is no open workflow ${target}.`, 'ExternalWorkflowExecutionNotFound'),
        defaultPayloadConverter,
      );
      tell({ resolveSignalExternalWorkflow: { seq: seq!, ...(sent ? {} : { failure }) } });
    } else if (command.completeWorkflowExecution) {
      const { result } = command.completeWorkflowExecution;
      this.#end(execution, { state: 'done', result: decoded(result) }, { completed: { result: result ?? null } });
    } else if (command.failWorkflowExecution) {
      const failure = command.failWorkflowExecution.failure!;
      const error = defaultFailureConverter.failureToError(failure, defaultPayloadConverter);
      this.#end(execution, { state: 'failed', error }, { failed: { failure: childFailure(execution, failure) } });
    } else if (command.cancelWorkflowExecution) {
      const failure = { message: 'Child workflow cancelled', canceledFailureInfo: {} };
      this.#end(execution, { state: 'cancelled' }, { cancelled: { failure: childFailure(execution, failure) } });
    } else if (command.continueAsNewWorkflowExecution) {
      const { workflowType, arguments: payloads } = command.continueAsNewWorkflowExecution;
      const { id, queue, parent, type } = execution;
      const next = await this.#create({ type: workflowType || type, id, queue, parent, payloads: payloads ?? [] });
      if (parent !== null) parent.execution.children.set(parent.seq, next);
    } else if (command.updateResponse?.rejected) {
      const { protocolInstanceId, rejected } = command.updateResponse;
      this.#updates.get(protocolInstanceId!)?.(rejected.message ?? 'It was refused.');
    }
    // Other answers to updates, markers of versions and attributes for searches change nothing in a run.
  }

  #schedule(execution: Execution, command: coresdk.workflow_commands.IScheduleActivity): void {
    const seq = command.seq!;
    const name = command.activityType!;
    const args = (command.arguments ?? []).map(decoded);
    const call = { name, args, queue: command.taskQueue ?? '', at: this.now };
    execution.activities.set(seq, name);
    const answer = this.#activity(call);
    const { failure, takesMs = 0 } = answer;
    const end = () => {
      // Read now, because it may have come up only when the activity's time was over.
      const { result } = answer;
      execution.pending.delete(`activity ${seq}`);
      const resolved =
        failure === undefined
          ? { completed: { result: payloadOf(result) } }
          : {
              failed: {
                failure: activityFailure(
                  name,
                  defaultFailureConverter.errorToFailure(failure, defaultPayloadConverter),
                ),
              },
            };
      execution.jobs.push({ resolveActivity: { seq, result: resolved } });
    };
    const callOff = this.later(takesMs, end);
    execution.pending.set(`activity ${seq}`, () => {
      callOff();
      answer.cancelled?.();
    });
  }

  async #startChild(
    execution: Execution,
    command: coresdk.workflow_commands.IStartChildWorkflowExecution,
  ): Promise<void> {
    const seq = command.seq!;
    const id = command.workflowId!;
    const before = this.#executions.get(id);
    if (before !== undefined && before.end === null) {
      throw new Error(`Internal error: the child workflow ${id} was started twice.`);
    }
    const child = await this.#create({
      type: command.workflowType!,
      id,
      queue: command.taskQueue || execution.queue,
      parent: { execution, seq },
      payloads: command.input ?? [],
    });
    execution.children.set(seq, child);
    execution.jobs.push({ resolveChildWorkflowExecutionStart: { seq, succeeded: { runId: child.runId } } });
  }

  #signal(id: string, signalName: string, input: readonly Payload[]): boolean {
    const target = this.#executions.get(id);
    if (target === undefined || target.end !== null) return false;
    target.jobs.push({ signalWorkflow: { signalName, input: [...input], headers: {} } });
    return true;
  }

  #end(execution: Execution, end: WorkflowEnd, result: coresdk.child_workflow.IChildWorkflowResult): void {
    execution.end = end;
    for (const stop of execution.pending.values()) stop();
    execution.pending.clear();
    for (const child of execution.children.values()) if (child.end === null) child.jobs.push({ cancelWorkflow: {} });
    const { parent } = execution;
    parent?.execution.jobs.push({ resolveChildWorkflowExecution: { seq: parent.seq, result } });
  }
}

const creators = new Map<string, Promise<ReusableVMWorkflowCreator>>();

/** What a job is in the history: an activity has been started and completed, an update accepted. */
function eventsOf(job: Job): number {
  return job.resolveActivity ? 2 : 1;
}

function rank(job: Job): number {
  if (job.initializeWorkflow) return 0;
  if (job.signalWorkflow || job.doUpdate) return 1;
  return 2;
}

function rootOf(parent: Execution['parent']): Execution | null {
  let root = parent?.execution ?? null;
  while (root?.parent) root = root.parent.execution;
  return root;
}

const decoded = (payload: Payload | null | undefined): unknown =>
  payload === null || payload === undefined ? undefined : defaultPayloadConverter.fromPayload(payload);

const payloadOf = (value: unknown): Payload => defaultPayloadConverter.toPayload(value) as Payload;

function activityFailure(name: string, cause: Failure): Failure {
  const activityFailureInfo = { activityType: { name }, activityId: '1', retryState: 2 };
  return { message: 'Activity task failed', cause, activityFailureInfo };
}

function childFailure({ id, runId, type }: Execution, cause: Failure): Failure {
  return {
    message: 'Child Workflow execution failed',
    cause,
    childWorkflowExecutionFailureInfo: {
      namespace: 'simulated',
      workflowExecution: { workflowId: id, runId },
      workflowType: { name: type },
      retryState: 2,
    },
  };
}
