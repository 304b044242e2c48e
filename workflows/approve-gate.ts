/** Holds one `approve` gate open: reminds, escalates, and ends with a person's answer or when time is up. */

import { ApplicationFailure, type CancellationScope, condition } from '@temporalio/workflow';
import type { OpenedApproval } from '../activities/approvals.ts';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import type { ApproveStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { climbLadder, durationWords } from './ladder.ts';
import { StepSkipped, unattendedWords } from './orders.ts';
import type { Values } from './scope-messages.ts';

/** Type of the failure of a gate that nobody answered in time. */
const unansweredFailure = 'Unanswered';

export async function approveGate(
  { form, expired, fresh }: ApproveStep,
  path: string,
  inputs: Values,
  context: ScopeContext,
): Promise<Values> {
  const { run } = context;
  const opened = await control('open-approval', { run, path, now: now(), form, expired, fresh, with: inputs });
  const before = opened.approval.given;
  // Else the root would say that it accepts an answer which nobody waits for.
  if (before !== undefined) context.root.formAnswered(path, before);
  const given = before ?? (await waitForAnswer(opened, context)) ?? answerOfNobody(expired);
  const outputs = await control('close-approval', { run, path, given, now: now() });
  if (given !== null) return outputs;
  if (context.mailbox.orders.isUnattended(path)) throw new StepSkipped(unattendedWords);
  const since = durationWords(Date.parse(opened.approval.expiresAt!) - Date.parse(opened.approval.openedAt));
  throw ApplicationFailure.nonRetryable(`Nobody answered within ${since}.`, unansweredFailure);
}

/** Null where the time ran out, or nobody is waited for. */
async function waitForAnswer(opened: OpenedApproval, context: ScopeContext): Promise<GivenAnswer | null> {
  const { mailbox, root, state } = context;
  const { path } = opened.approval;
  let isOver = false;
  mailbox.openForm(path);
  state.set(path, 'waiting');
  await root.formOpened(path);
  const timers = startTimers(opened, context.run, () => {
    isOver = true;
  });
  await condition(() => isOver || mailbox.answerOf(path) !== undefined || mailbox.orders.isUnattended(path));
  timers.cancel();
  if (mailbox.answerOf(path) === undefined) {
    // What the root took before it hears of the end still counts; it answers with that, or with nothing.
    await root.formClosing(path);
    await condition(() => mailbox.answerOf(path) !== undefined);
  }
  state.set(path, 'running');
  return mailbox.answerOf(path) ?? null;
}

function answerOfNobody(expired: ApproveStep['expired']): GivenAnswer | null {
  return typeof expired === 'object' ? { answer: expired, by: 'nobody', at: now(), via: 'timeout' } : null;
}

/** The rungs of the ladder, each cancelled by the answer. */
function startTimers({ approval, escalateTo }: OpenedApproval, run: string, expire: () => void): CancellationScope {
  const { path, openedAt, remindAt, escalateAt, expiresAt, assignees = [] } = approval;
  const how = `See "hardcase review show ${path} --run ${run}".`;
  const waited = (until: string) => durationWords(Date.parse(until) - Date.parse(openedAt));
  const remind = (at: string) => {
    const whom = assignees.length === 0 ? '' : ` of ${assignees.join(', ')}`;
    const message = `"${path}" has waited for ${waited(at)} for an answer${whom}. ${how}`;
    return control('record-notice', { run, message });
  };
  const escalate = (at: string) => {
    const to = escalateTo ?? [];
    const message = `"${path}" has waited for ${waited(at)} for an answer, and now asks ${to.join(', ')} too. ${how}`;
    return control('escalate-approval', { run, path, to, message });
  };
  return climbLadder({ remindAt, escalateAt, expiresAt }, { remind, escalate, expire });
}

/** By the workflow's clock. */
const now = (): string => new Date().toISOString();
