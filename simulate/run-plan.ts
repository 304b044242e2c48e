/** Runs a plan with the real interpreter in virtual time: steps give what a script says, people answer as it says. */

import { ApplicationFailure } from '@temporalio/common';
import type { AttemptPolicy } from '../activities/attempt.ts';
import type { GroupEntry } from '../activities/groups.ts';
import { type ReviewParameters, timesOf } from '../activities/review-labels.ts';
import { rowOf } from '../activities/step-identity.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { isRetriedType } from '../plan/retry.ts';
import type { ArtifactRef, DeclaredType, Json, Plan, StepRequest, StepState } from '../plan/types.ts';
import { parseDurationMs } from '../spec/duration.ts';
import {
  answerName,
  decideName,
  groupEnterName,
  queueName,
  type RunArguments,
  retryName,
  workflowIdOf,
} from '../workflows/messages.ts';
import { type ActivityCall, type ActivityEnd, SimulatedTemporal } from './temporal.ts';

/** What a step gives in place of its code. */
export interface Mock {
  /** Added to what its kind gives by default: artifacts of their own, 0, false and ''. */
  readonly outputs?: { readonly [name: string]: Json };
  /** Outputs that it does not give: `mine` without hard images. */
  readonly absent?: readonly string[];
  readonly fails?: {
    readonly message: string;
    readonly type?: string;
    /** How many attempts fail; absent: all. */
    readonly times?: number;
  };
  /** Running time of an attempt. */
  readonly takesMs?: number;
  /** Of a review: how many candidates it asks about. */
  readonly candidates?: number;
}

export interface Answer {
  /** Path of a review or an approval; with `[]` those of all rounds or legs. */
  readonly gate: string;
  /** From the opening of the gate. */
  readonly afterMs: number;
  /** Of a review: how many of the candidates that are left. */
  readonly decide: number | 'all';
  /** Of an approval: values of its form's fields; those with a default may be left out. */
  readonly answer?: { readonly [field: string]: Json };
  readonly by?: string;
}

/** A person lets a held step try again. */
export interface Retry {
  readonly step: string;
  /** From the moment in which it is held. */
  readonly afterMs: number;
}

export interface Script {
  mockOf(path: string, kind: string): Mock;
  readonly answers: readonly Answer[];
  readonly retries: readonly Retry[];
  /** From the start of the run: a person cancels it. */
  readonly cancelAfterMs?: number;
}

export interface SimulatedStep {
  readonly path: string;
  readonly kind: string;
  readonly state: StepState;
  /** Virtual time since the start of the run, ms. */
  readonly startedMs: number;
  readonly endedMs?: number;
  readonly with?: { readonly [name: string]: Json };
  readonly outputs?: { readonly [name: string]: Json };
  readonly error?: string;
  /** How often its code was called. */
  readonly attempts: number;
}

export interface SimulatedRun {
  /** `waiting` and `held` where nothing can go on without a person. */
  readonly state: StepState;
  readonly error?: string;
  /** In the order in which they began. */
  readonly steps: readonly SimulatedStep[];
  readonly notices: readonly string[];
  /** What the interpreter asked of its activities, control activities of the run record apart. */
  readonly calls: readonly { readonly activity: string; readonly path: string; readonly with: Json }[];
  readonly tookMs: number;
  /** `STEP.OUTPUT` of a made artifact's digest. */
  readonly origins: ReadonlyMap<string, string>;
  /** Events of the history of each workflow, by the path of the part that it runs; '' is the root. */
  readonly histories: ReadonlyMap<string, number>;
}

const startAt = Date.parse('2026-01-01T00:00:00Z');
const run = 'test';
/** Nobody loads the plan of a simulated run. */
export const simulatedDigest = '0'.repeat(64);

export interface SimulationOptions {
  /** In place of the interpreter, which runs every type that it does not know: a compiled workflow of the bundle. */
  readonly workflowType?: string;
  /** Told of every call of an activity, also of those that keep the run record. */
  readonly watch?: (call: ActivityCall) => void;
}

export async function simulatePlan(
  bundlePath: string,
  plan: Plan,
  script: Script,
  options: SimulationOptions = {},
): Promise<SimulatedRun> {
  const simulation = new Simulation(plan, script);
  return await simulation.run(bundlePath, options);
}

type MutableStep = { -readonly [Key in keyof SimulatedStep]: SimulatedStep[Key] };

interface Gate {
  readonly candidates: readonly string[];
  readonly decided: Set<string>;
}

class Simulation {
  readonly #plan: Plan;
  readonly #script: Script;
  #temporal!: SimulatedTemporal;
  readonly #steps = new Map<string, MutableStep>();
  readonly #gates = new Map<string, Gate>();
  readonly #failures = new Map<string, number>();
  /** Activities of other programs that were asked for, by the path of their step. */
  readonly #foreign = new Map<string, ForeignRequest>();
  readonly #notices: string[] = [];
  readonly #calls: { activity: string; path: string; with: Json }[] = [];
  readonly #origins = new Map<string, string>();
  #state: StepState = 'pending';
  #error: string | undefined;

  constructor(plan: Plan, script: Script) {
    this.#plan = plan;
    this.#script = script;
  }

  async run(bundlePath: string, { workflowType, watch }: SimulationOptions): Promise<SimulatedRun> {
    const answer = (call: ActivityCall) => {
      watch?.(call);
      return this.#activity(call);
    };
    this.#temporal = await SimulatedTemporal.open(bundlePath, answer, startAt);
    const { pipeline, seed, root } = this.#plan;
    const argument: RunArguments = { run, pipeline, planDigest: simulatedDigest, seed, scope: root };
    try {
      await this.#temporal.start(workflowType ?? pipeline, workflowIdOf(run), queueName('test', 'workflows'), [
        argument,
      ]);
      const { cancelAfterMs } = this.#script;
      if (cancelAfterMs !== undefined) this.#temporal.later(cancelAfterMs, () => this.#cancel());
      await this.#temporal.run(workflowIdOf(run));
      return {
        state: this.#stateNow(),
        ...(this.#error === undefined ? {} : { error: this.#error }),
        steps: [...this.#steps.values()],
        notices: this.#notices,
        calls: this.#calls,
        tookMs: this.#temporal.now - startAt,
        origins: this.#origins,
        histories: this.#histories(),
      };
    } finally {
      await this.#temporal.close();
    }
  }

  #cancel(): void {
    const message = { by: 'script' };
    this.#temporal.update(workflowIdOf(run), 'cancel', [message], (why) => this.#notices.push(why));
  }

  #histories(): Map<string, number> {
    const prefix = workflowIdOf(run);
    // A concurrency group is none of the run's.
    const all = [...this.#temporal.histories()].filter(([id]) => id.startsWith(prefix));
    return new Map(all.map(([id, events]) => [id === prefix ? '' : id.slice(prefix.length + 1), events]));
  }

  /** A run that has not ended although nothing is left to happen waits for people, or is held. */
  #stateNow(): StepState {
    if (this.#temporal.endOf(workflowIdOf(run)) !== null) return this.#state;
    const states = [...this.#steps.values()].map(({ state }) => state);
    return states.includes('waiting') ? 'waiting' : states.includes('held') ? 'held' : this.#state;
  }

  #activity({ name, args }: ActivityCall): ActivityEnd {
    const [request, policy] = args as [{ readonly [name: string]: Json }, AttemptPolicy | undefined];
    switch (name) {
      case 'open-run':
        this.#state = 'running';
        return { result: environment };
      case 'record-run':
        this.#state = request.state as StepState;
        return {};
      case 'close-run':
        this.#state = request.state as StepState;
        if (typeof request.error === 'string') this.#error = request.error;
        if (this.#state !== 'done') for (const path of this.#steps.keys()) this.#stop(path);
        return {};
      case 'record-step':
        this.#record(request.change as unknown as Partial<SimulatedStep> & { path: string; kind: string });
        return {};
      case 'record-notice':
      case 'notify-waiting':
        this.#notices.push(String(request.message));
        return {};
      // Selections of mocked steps have images; `absent` is how one finds none.
      case 'count-images':
        return { result: 1 };
      // A worker for everything, in whose record nothing needs to be set back.
      case 'check-queue':
        return { result: true };
      case 'keep-early':
      case 'reset-steps':
      case 'tell-group':
        return {};
      case 'is-running':
        return { result: true };
      case 'enter-group':
        this.#enterGroup(request as unknown as GroupEntry);
        return {};
      case 'count-waiting':
        return { result: 0 };
      case 'reuse-steps':
        return { result: {} };
      case 'reuse-rounds':
        return { result: [] };
      case 'reuse-step':
        this.#begin(request as unknown as StepRequest);
        return { result: null };
      case 'finish-step': {
        const { step, result } = request as unknown as {
          step: StepRequest;
          result: { outputs: MutableStep['outputs'] };
        };
        return { result: { outputs: this.#finish(step, result.outputs ?? {}), reused: false } };
      }
      case 'open-gate':
        return this.#openGate(request as unknown as StepRequest, policy!);
      case 'append-decisions':
        return { result: this.#append(request.batches as unknown as readonly Batch[]) };
      case 'open-approval':
        return { result: this.#openApproval(request as unknown as ApprovalRequest) };
      case 'escalate-approval':
        this.#notices.push(String(request.message));
        return {};
      case 'close-approval': {
        const { path, given } = request as unknown as { path: string; given: GivenAnswer | null };
        if (given === null) return { result: {} };
        const outputs = { ...given.answer, by: given.by, expired: given.via === 'timeout' };
        return { result: this.#finish({ path }, outputs) };
      }
      case 'begin-foreign': {
        const { step } = request as unknown as { step: ForeignRequest };
        this.#foreign.set(step.path, step);
        this.#begin(step);
        return { result: { seed: 1, fingerprint: sha256Hex(step.path), store: 'simulated' } };
      }
      case 'finish-foreign': {
        const { step, given } = request as unknown as { step: StepRequest; given: { [name: string]: Json } };
        return { result: { outputs: this.#finish(step, given), reused: false } };
      }
      case 'apply-decisions': {
        const { step } = request as unknown as { step: StepRequest };
        return this.#attempt(step, policy!, () => {
          const outputs = this.#outputsOf(step);
          return { outputs: this.#finish(step, outputs), reused: false };
        });
      }
    }
    const foreign = this.#foreign.get(String(request.path));
    if (policy === undefined && foreign !== undefined) return this.#callForeign(name, foreign);
    // What else is only kept in the run record changes nothing in a simulated one.
    if (policy === undefined && name.startsWith('record-')) return {};
    if (policy === undefined) throw new Error(`Internal error: the simulation does not know the activity "${name}".`);
    const step = request as unknown as StepRequest;
    this.#calls.push({ activity: name, path: step.path, with: step.with });
    this.#begin(step);
    return this.#attempt(step, policy, () => ({ outputs: this.#finish(step, this.#outputsOf(step)), reused: false }));
  }

  /** The ladder of attempts: failures are counted and waited out as activities/attempt.ts does it. */
  #attempt(step: StepRequest, policy: AttemptPolicy, succeed: () => unknown): ActivityEnd {
    const { fails, takesMs = 0 } = this.#mockOf(step);
    const left = this.#failures.get(step.path) ?? fails?.times ?? (fails === undefined ? 0 : Number.POSITIVE_INFINITY);
    const { max, initialMs, factor, maxMs } = policy.retry;
    const type = fails?.type ?? 'StepFailed';
    // At least one attempt is made, whatever `retry` says.
    const most = isRetriedType(policy.retry, type) ? Math.max(1, max) : 1;
    const failing = Math.min(left, most);
    const recorded = this.#steps.get(step.path)!;
    recorded.attempts += failing < most ? failing + 1 : failing;
    this.#failures.set(step.path, left - failing);
    let ms = takesMs * Math.max(1, failing < most ? failing + 1 : failing);
    for (let i = 0; i < failing && i < most - 1; i++) ms += Math.min(initialMs * factor ** i, maxMs);
    const cancelled = () => this.#stop(step.path);
    if (left < most) return this.#laterEnd(ms, succeed, cancelled);
    const times = failing === 1 ? '' : ` (the last of ${failing} failures)`;
    return { failure: ApplicationFailure.nonRetryable(`${fails!.message}${times}`, type), takesMs: ms, cancelled };
  }

  /** What had not ended when it was cancelled, or when its run ended. */
  #stop(path: string): void {
    const step = this.#steps.get(path)!;
    if (step.state === 'done' || step.state === 'skipped' || step.state === 'failed') return;
    Object.assign(step, { state: 'cancelled', endedMs: step.endedMs ?? this.#temporal.now - startAt });
  }

  /** The record changes when the attempt ends, not when it begins. */
  #laterEnd(ms: number, succeed: () => unknown, cancelled: () => void): ActivityEnd {
    const callOff = this.#temporal.later(ms, () => {
      end.result = succeed();
    });
    const end: { result?: unknown; takesMs: number; cancelled: () => void } = {
      takesMs: ms,
      cancelled: () => {
        callOff();
        cancelled();
      },
    };
    return end;
  }

  #openGate(step: StepRequest, policy: AttemptPolicy): ActivityEnd {
    this.#calls.push({ activity: step.kind, path: step.path, with: step.with });
    this.#begin(step);
    const parameters = step.with as unknown as ReviewParameters;
    const { reviewer, after } = parameters;
    const simulated = typeof reviewer === 'object' && 'oracle' in reviewer;
    const count = simulated ? 0 : (this.#mockOf(step).candidates ?? 1);
    const candidates = Array.from({ length: count }, (_, i) => `candidate-${i + 1}`);
    return this.#attempt({ ...step, path: step.path }, { ...policy, retry: { ...policy.retry, max: 1 } }, () => {
      this.#gates.set(step.path, { candidates, decided: new Set() });
      const recorded = this.#steps.get(step.path)!;
      if (count > 0) {
        recorded.state = 'waiting';
        this.#answer(step.path);
      }
      const openedAt = new Date(this.#temporal.now).toISOString();
      const then = after?.expire?.then;
      return {
        undecided: count,
        openedAt,
        ...timesOf(parameters, step.path, openedAt),
        escalateTo: after?.escalate?.to,
        atEnd: typeof then === 'object' ? 'keep' : then,
      };
    });
  }

  /** People answer when the script says, counted from now. */
  #answer(path: string): void {
    const due = this.#script.answers.filter(({ gate }) => matches(gate, path));
    for (const [i, { afterMs, decide }] of due.entries()) {
      this.#temporal.later(afterMs, () => {
        const { candidates, decided } = this.#gates.get(path)!;
        const open = candidates.filter((id) => !decided.has(id));
        const chosen = decide === 'all' ? open : open.slice(0, decide);
        if (chosen.length === 0) return;
        const decisions = chosen.map((candidateId) => ({ candidateId, verdict: 'accept' }));
        const message = { gate: path, batch: `answer-${i + 1}`, by: 'script', decisions };
        this.#temporal.update(workflowIdOf(run), decideName, [message], (why) => this.#notices.push(why));
      });
    }
  }

  /** One attempt: the interpreter itself tries again. */
  #callForeign(name: string, step: ForeignRequest): ActivityEnd {
    this.#calls.push({ activity: name, path: step.path, with: step.with });
    const { fails, takesMs = 0, outputs = {}, absent = [] } = this.#mockOf(step);
    const left = this.#failures.get(step.path) ?? fails?.times ?? (fails === undefined ? 0 : Number.POSITIVE_INFINITY);
    this.#steps.get(step.path)!.attempts++;
    if (left > 0) {
      this.#failures.set(step.path, left - 1);
      return { failure: ApplicationFailure.retryable(fails!.message, fails!.type ?? 'StepFailed'), takesMs };
    }
    const given: { [name: string]: Json } = {};
    for (const [output, type] of Object.entries(step.outputs ?? {}))
      given[output] = this.#default(type, step.path, output);
    Object.assign(given, outputs);
    for (const output of absent) delete given[output];
    return { result: given, takesMs, cancelled: () => this.#stop(step.path) };
  }

  #openApproval({ path, now, form, expired, with: inputs }: ApprovalRequest) {
    this.#begin({ path, kind: 'approve', with: inputs } as StepRequest);
    const { after, message, assignees } = inputs as unknown as ApprovalInputs;
    const moment = (duration: Json | undefined) => {
      const ms = durationMs(duration);
      return ms === undefined ? undefined : new Date(Date.parse(now) + ms).toISOString();
    };
    const recorded = this.#steps.get(path)!;
    recorded.state = 'waiting';
    for (const { afterMs, answer = {}, by = 'script' } of this.#script.answers.filter(({ gate }) =>
      matches(gate, path),
    )) {
      this.#temporal.later(afterMs, () => {
        if (recorded.state !== 'waiting') return;
        const given = { gate: path, by, answer };
        this.#temporal.update(workflowIdOf(run), answerName, [given], (why) => this.#notices.push(why));
      });
    }
    const times = {
      remindAt: moment(after?.remind),
      escalateAt: moment(after?.escalate?.in),
      expiresAt: moment(after?.expire?.in),
    };
    const asked = message ?? `${path} waits for an answer.`;
    const approval = {
      path,
      state: 'open',
      openedAt: now,
      message: asked,
      form,
      assignees,
      ...times,
      expired,
      shown: '',
    };
    return { approval, escalateTo: after?.escalate?.to };
  }

  /** The group is a workflow of its own, which lives for as long as somebody is in it or waits. */
  #enterGroup({ group, groupId, queue, ticket }: GroupEntry): void {
    this.#temporal.later(0, async () => {
      if (!this.#temporal.isOpen(groupId)) {
        await this.#temporal.start('hardcase.group', groupId, queue, [{ role: 'group', group }]);
      }
      this.#temporal.signal(groupId, groupEnterName, [ticket]);
    });
  }

  /** All of one gate. */
  #append(batches: readonly Batch[]) {
    const { candidates, decided } = this.#gates.get(batches[0]!.gate)!;
    for (const { decisions = [] } of batches) for (const { candidateId } of decisions) decided.add(candidateId);
    const written = batches.map(({ batch, decisions = [] }) => ({ batch, accepted: decisions.length, repeated: 0 }));
    return { undecided: candidates.length - decided.size, refused: [], written };
  }

  #begin({ path, kind, with: parameters }: StepRequest): void {
    const before = this.#steps.get(path);
    const startedMs = before?.startedMs ?? this.#temporal.now - startAt;
    this.#steps.set(path, {
      path,
      kind,
      state: 'running',
      startedMs,
      with: parameters,
      attempts: before?.attempts ?? 0,
    });
  }

  #finish({ path }: Pick<StepRequest, 'path'>, outputs: NonNullable<MutableStep['outputs']>) {
    const step = this.#steps.get(path)!;
    Object.assign(step, { state: 'done', outputs, endedMs: this.#temporal.now - startAt });
    return outputs;
  }

  #record(change: Partial<SimulatedStep> & { path: string; kind: string }): void {
    const { path } = change;
    const nowMs = this.#temporal.now - startAt;
    const before = this.#steps.get(path) ?? {
      path,
      kind: change.kind,
      state: 'pending',
      startedMs: nowMs,
      attempts: 0,
    };
    const ended = change.state === 'done' || change.state === 'skipped' || change.state === 'failed';
    // Attempts are counted here, whatever is recorded of each.
    const { attempts } = before;
    this.#steps.set(path, { ...before, ...change, attempts, ...(ended ? { endedMs: nowMs } : {}) });
    if (change.state !== 'held') return;
    for (const { step, afterMs } of this.#script.retries) {
      if (!matches(step, path)) continue;
      const message = { path, by: 'script' };
      this.#temporal.later(afterMs, () =>
        this.#temporal.update(workflowIdOf(run), retryName, [message], (why) => this.#notices.push(why)),
      );
    }
  }

  #mockOf({ path, kind }: StepRequest): Mock {
    return this.#script.mockOf(path, kind);
  }

  #outputsOf(step: StepRequest): { [name: string]: Json } {
    const { outputs = {}, absent = [] } = this.#mockOf(step);
    const given: { [name: string]: Json } = {};
    for (const [name, type] of Object.entries(rowOf(step.kind)?.outputs ?? {})) {
      given[name] = this.#default(type, step.path, name);
    }
    // What a rung reached is told apart by it.
    if (step.kind === 'capacity-rung') given.epoch = step.with.until ?? 0;
    Object.assign(given, outputs);
    for (const name of absent) delete given[name];
    return given;
  }

  #default(type: DeclaredType, path: string, name: string): Json {
    if (type === 'number') return 0;
    if (type === 'boolean') return false;
    if (type === 'string' || type === 'secret') return '';
    if (type === 'any') return null;
    if ('list' in type) return [this.#default(type.list, path, name)];
    const ref: ArtifactRef = { artifact: type.artifact, digest: sha256Hex(`${path}.${name}`), bytes: 1 };
    this.#origins.set(ref.digest, `${path}.${name}`);
    return ref;
  }
}

interface ForeignRequest extends StepRequest {
  readonly outputs?: { readonly [name: string]: DeclaredType };
}

interface ApprovalRequest {
  readonly path: string;
  /** ISO 8601, by the workflow's clock. */
  readonly now: string;
  readonly form: Json;
  readonly expired?: Json;
  readonly with: { readonly [name: string]: Json };
}

interface ApprovalInputs {
  readonly message?: string;
  readonly assignees?: readonly string[];
  readonly after?: {
    readonly remind?: Json;
    readonly escalate?: { readonly in: Json; readonly to: readonly string[] };
    readonly expire?: { readonly in: Json };
  };
}

interface GivenAnswer {
  readonly answer: { readonly [field: string]: Json };
  readonly by: string;
  readonly via: string;
}

interface Batch {
  readonly gate: string;
  readonly batch: string;
  readonly decisions?: readonly { readonly candidateId: string }[];
}

/** `rounds[].review` is that of every round, `rounds[2].review` of one. */
export function matches(pattern: string, path: string): boolean {
  return pattern === path || pattern === path.replace(/\[[^\]]*\]/g, '[]');
}

function durationMs(value: Json | undefined): number | undefined {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? (parseDurationMs(value) ?? undefined) : undefined;
}

const environment = {
  threads: 1,
  tensorflow: 'none',
  oneDnn: false,
  cpu: 'simulated',
  hardcase: 'simulated',
  node: process.version,
};
