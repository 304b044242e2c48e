/** `approve`: keeps the record of its gates. The waiting is the workflow's. */

import { ApplicationFailure } from '@temporalio/activity';
import { type ApprovalRecord, type GivenAnswer, readApproval, writeApproval } from '../artifacts/approval-record.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { addNotice, readRun, readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { Answer, Form } from '../plan/form.ts';
import type { Json, StepRecord } from '../plan/types.ts';
import { parseDurationMs } from '../spec/duration.ts';
import type { ActivityDeps } from './attempt.ts';

export interface ApprovalRequest {
  readonly run: string;
  readonly path: string;
  /** By the workflow's clock, like everything that its timers are measured by. */
  readonly now: string;
  readonly form: Form;
  readonly expired?: 'hold' | 'fail' | Answer;
  /** Resolved: `message`, `show`, `assignees`, `after`. */
  readonly with: { readonly [name: string]: Json };
  /** Of a gate that a fork asks anew. */
  readonly fresh?: string;
}

interface After {
  readonly remind?: Json;
  readonly escalate?: { readonly in: Json; readonly to: readonly string[] };
  readonly expire?: { readonly in: Json };
}

export interface OpenedApproval {
  readonly approval: ApprovalRecord;
  readonly escalateTo?: readonly string[];
}

/** Opens the gate; or finds it open or answered in the run, or in the one that it was forked from: nobody is asked twice. */
export async function openApproval({ store }: ActivityDeps, request: ApprovalRequest): Promise<OpenedApproval> {
  const { run, path, form, expired, now } = request;
  const { message, show, assignees, after } = request.with as {
    message?: string;
    show?: { [name: string]: Json };
    assignees?: readonly string[];
    after?: After;
  };
  const asked = message ?? `${path} waits for an answer.`;
  const shown = sha256Hex(canonicalJson({ message: asked, form, show }));
  const escalateTo = after?.escalate?.to;
  const before = await readApproval(store, run, path);
  if (before !== null && before.shown === shown && (before.state === 'open' || before.state === 'answered')) {
    await recordWaiting(store, run, before, request.with);
    return { approval: before, escalateTo };
  }
  // A gate that this run has closed before is opened again on purpose, by a reset say: people want to be asked.
  const mayInherit = before === null && request.fresh === undefined;
  const inherited = mayInherit ? await answerBeforeFork(store, run, path, shown) : null;
  if (inherited !== null) {
    await writeApproval(store, run, inherited);
    await recordWaiting(store, run, inherited, request.with);
    return { approval: inherited, escalateTo };
  }
  const later = (duration: Json | undefined) =>
    duration === undefined ? undefined : new Date(Date.parse(now) + durationMs(duration, path)).toISOString();
  const approval: ApprovalRecord = {
    path,
    state: 'open',
    openedAt: now,
    message: asked,
    form,
    show,
    assignees,
    remindAt: later(after?.remind),
    escalateAt: later(after?.escalate?.in),
    expiresAt: later(after?.expire?.in),
    expired,
    shown,
  };
  await writeApproval(store, run, approval);
  await recordWaiting(store, run, approval, request.with);
  return { approval, escalateTo };
}

/** The answer to the same question in the run that this one was forked from; null where there is none. */
async function answerBeforeFork(
  store: ActivityDeps['store'],
  run: string,
  path: string,
  shown: string,
): Promise<ApprovalRecord | null> {
  const fork = (await readRun(store, run))?.header.fork;
  if (fork === undefined) return null;
  const approval = await readApproval(store, fork.run, path);
  if (approval?.state !== 'answered' || approval.shown !== shown) return null;
  return { ...approval, carriedFrom: approval.carriedFrom ?? fork.run };
}

async function recordWaiting(
  store: ActivityDeps['store'],
  run: string,
  { path, state, openedAt }: ApprovalRecord,
  inputs: StepRecord['with'],
): Promise<void> {
  const record: StepRecord = {
    path,
    kind: 'approve',
    state: state === 'open' ? 'waiting' : 'running',
    reused: false,
    startedAt: (await readStepRecord(store, run, path))?.startedAt ?? openedAt,
    with: inputs,
    waitingFor: state === 'open' ? `an answer: hardcase review show ${path} --run ${run}` : undefined,
  };
  await writeStepRecord(store, run, record, { again: true });
}

/** Others are asked too. */
export async function escalateApproval(
  { store }: ActivityDeps,
  { run, path, to, message }: { run: string; path: string; to: readonly string[]; message: string },
): Promise<void> {
  const approval = await readApproval(store, run, path);
  if (approval?.state !== 'open') return;
  const assignees = [...new Set([...(approval.assignees ?? []), ...to])];
  await writeApproval(store, run, { ...approval, assignees });
  await addNotice(store, run, message);
}

/** The end of the wait: an answer, or the time ran out without one to take in its place. Gives the step's outputs. */
export async function closeApproval(
  { store }: ActivityDeps,
  { run, path, given, now }: { run: string; path: string; given: GivenAnswer | null; now: string },
): Promise<{ readonly [name: string]: Json }> {
  const approval = await readApproval(store, run, path);
  if (approval === null) throw new Error(`Internal error: the gate ${path} of ${run} has no record.`);
  if (given === null) {
    await writeApproval(store, run, { ...approval, state: 'expired', closedAt: now });
    return {};
  }
  // An earlier attempt may have written it, and the first answer counts.
  const counts = approval.given ?? given;
  // A run that begins again finds the answer, and its step did not wait meanwhile.
  const closedAt = approval.closedAt ?? now;
  await writeApproval(store, run, {
    ...approval,
    state: 'answered',
    closedAt,
    given: counts,
  });
  const outputs = { ...counts.answer, by: counts.by, expired: counts.via === 'timeout' };
  const record = await readStepRecord(store, run, path);
  const done = { state: 'done', endedAt: closedAt, outputs, waitingFor: undefined } as const;
  const { carriedFrom } = approval;
  const note = carriedFrom === undefined ? noteOf(counts) : `${noteOf(counts)} (carried over from ${carriedFrom})`;
  const marks = { reused: carriedFrom !== undefined, note };
  await writeStepRecord(store, run, { path, kind: 'approve', ...record, ...done, ...marks }, { again: true });
  return outputs;
}

function noteOf({ by, via, reason }: GivenAnswer): string {
  if (via === 'timeout') return 'nobody answered in time';
  return `answered by ${by}${reason === undefined ? '' : `: ${reason}`}`;
}

function durationMs(duration: Json, path: string): number {
  const ms = typeof duration === 'string' ? parseDurationMs(duration) : null;
  if (ms !== null) return ms;
  throw ApplicationFailure.nonRetryable(
    `"after" of ${path} has the duration ${JSON.stringify(duration)}; expected one such as 30s, 4h or 7d.`,
    'BadData',
  );
}
