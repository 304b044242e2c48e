/** Holds one review open: passes decisions to the ledger as they come, and ends when all are there, time is up, or people go on. */

import { ApplicationFailure, condition } from '@temporalio/workflow';
import type { OpenedGate } from '../activities/review-labels.ts';
import type { StepRequest, StepResult } from '../plan/types.ts';
import { control } from './control.ts';
import { callStep, failedFailure, type ScopeContext } from './execute-step.ts';
import { climbLadder, durationWords } from './ladder.ts';
import { StepSkipped, unattendedWords } from './orders.ts';
import { linger } from './pace.ts';

type Call = Parameters<typeof callStep>[2];
type WaitingGate = Exclude<OpenedGate, { result: StepResult }>;

/** Type of the failure of a gate that nobody answered in time. */
const unansweredFailure = 'Unanswered';

export async function reviewGate(call: Call, request: StepRequest, context: ScopeContext): Promise<StepResult> {
  const { path } = request;
  // By the workflow's clock, like the timers that are set by it.
  const opening = { ...request, now: new Date().toISOString() } as never;
  const opened = await callStep<OpenedGate>(context, path, { ...call, activity: 'open-gate' }, opening);
  // A gate that never waits takes no decisions: nobody would apply them.
  if ('result' in opened || opened.undecided === 0) context.root.gatePassed(path);
  if ('result' in opened) return opened.result;
  const ended = opened.undecided === 0 ? 'decided' : await waitForPeople(opened, request, context);
  return callStep(context, path, { ...call, activity: 'apply-decisions' }, { step: request as never, ended });
}

async function waitForPeople(
  gate: WaitingGate,
  { run, path }: StepRequest,
  { mailbox, root, state }: ScopeContext,
): Promise<'decided' | 'expired' | 'proceeded'> {
  let undecided = gate.undecided;
  let expired = false;
  let proceeded = false;
  const append = async () => {
    const batches = mailbox.takeBatches(path);
    const appended = await control('append-decisions', { run, batches });
    undecided = appended.undecided;
    proceeded ||= batches.some(({ proceed }) => proceed === true);
    const refused = appended.refused.map((decision) => ({ gate: path, ...decision }));
    await root.gateProgress({ path, written: appended.written, undecided, refused });
  };

  mailbox.openGate(path);
  state.set(path, 'waiting');
  await root.gateOpened(path, undecided);
  const { openedAt, expiresAt, escalateTo, webhook, email = [], atEnd } = gate;
  const others = (escalateTo ?? []).filter((name) => name.includes('@'));
  const mailed = { remind: email, escalate: [...email, ...others], expire: [...email, ...others] };
  const tell = (kind: 'remind' | 'escalate' | 'expire', moment: string, more: string) => {
    const waited = durationWords(Date.parse(moment) - Date.parse(openedAt));
    const message = `"${path}" has waited for ${waited}: ${openWords(undecided)}${more}. See "hardcase review list ${run} ${path}".`;
    return control('notify-waiting', { run, gate: path, kind, undecided, message, webhook, email: mailed[kind] });
  };
  const timers = climbLadder(gate, {
    remind: (moment) => tell('remind', moment, ''),
    escalate: (moment) => tell('escalate', moment, `, and ${(escalateTo ?? []).join(', ')} should look too`),
    expire: () => {
      expired = true;
    },
  });
  const isOver = () => expired || mailbox.orders.isUnattended(path);
  while (undecided > 0 && !isOver() && !proceeded) {
    await condition(() => isOver() || mailbox.hasBatch(path));
    await linger(() => isOver() || mailbox.decisionsIn(path) >= undecided);
    if (mailbox.hasBatch(path)) await append();
  }
  timers.cancel();
  if (expired && !proceeded && undecided > 0 && (atEnd === 'hold' || atEnd === 'fail')) {
    if (webhook !== undefined || mailed.expire.length > 0) await tell('expire', expiresAt!, '');
    const since = durationWords(Date.parse(expiresAt!) - Date.parse(openedAt));
    const message = `After ${since}, ${openWords(undecided)}.`;
    // What people decide while the step is held is kept, and counts once it is tried again.
    throw ApplicationFailure.nonRetryable(message, atEnd === 'fail' ? failedFailure : unansweredFailure);
  }

  // What the root took before it heard of the end still counts.
  await root.gateClosing(path, undecided === 0 || proceeded ? 'people' : 'clock');
  await mailbox.allArrived(path);
  while (mailbox.hasBatch(path)) await append();
  state.set(path, 'running');
  if (undecided === 0) return 'decided';
  if (!proceeded && !expired && atEnd !== 'keep') throw new StepSkipped(unattendedWords);
  return proceeded ? 'proceeded' : 'expired';
}

function openWords(undecided: number): string {
  return undecided === 1 ? '1 decision is open' : `${undecided} decisions are open`;
}
