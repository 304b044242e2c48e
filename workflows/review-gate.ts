/** Holds one review open: passes decisions to the ledger as they come, and ends when all are there or time is up. */

import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import type { OpenedGate } from '../activities/review-labels.ts';
import type { StepRequest, StepResult } from '../plan/types.ts';
import { control } from './control.ts';
import { callStep, type ScopeContext } from './execute-step.ts';

type Call = Parameters<typeof callStep>[2];
type WaitingGate = Exclude<OpenedGate, { result: StepResult }>;

export async function reviewGate(call: Call, request: StepRequest, context: ScopeContext): Promise<StepResult> {
  const opened = await callStep<OpenedGate>(context, request.path, { ...call, activity: 'open-gate' }, request);
  if ('result' in opened) return opened.result;
  const ended = opened.undecided === 0 ? 'decided' : await waitForPeople(opened, request, context);
  return callStep(context, request.path, { ...call, activity: 'apply-decisions' }, { step: request as never, ended });
}

async function waitForPeople(
  gate: WaitingGate,
  { run, path }: StepRequest,
  { mailbox, root, state }: ScopeContext,
): Promise<'decided' | 'expired'> {
  let undecided = gate.undecided;
  let expired = false;
  const append = async () => {
    const batch = mailbox.takeBatch(path);
    if (batch === undefined) return;
    const written = await control('append-decisions', { run, batch });
    undecided = written.undecided;
    const refused = written.refused.map((decision) => ({ gate: path, ...decision }));
    await root.gateProgress({ gate: path, batch: batch.batch, undecided, refused });
  };

  mailbox.openGate(path);
  state.set(path, 'waiting');
  await root.gateOpened(path, undecided);
  const timers = startTimers(
    gate,
    () => undecided,
    run,
    path,
    () => {
      expired = true;
    },
  );
  while (undecided > 0 && !expired) {
    await condition(() => expired || mailbox.hasBatch(path));
    await append();
  }
  timers.cancel();

  // What the root took before it heard of the end still counts.
  await root.gateClosing(path);
  await mailbox.allArrived(path);
  while (mailbox.hasBatch(path)) await append();
  state.set(path, 'running');
  return undecided > 0 ? 'expired' : 'decided';
}

/** A reminder and the end of the wait, both cancelled by the answer. */
function startTimers(
  { remindMs, expiresAt }: WaitingGate,
  undecided: () => number,
  run: string,
  path: string,
  expire: () => void,
): CancellationScope {
  const timers = new CancellationScope();
  const wait = async () => {
    const remind = async () => {
      if (remindMs === undefined) return;
      await sleep(remindMs);
      const message = `"${path}" has waited for ${duration(remindMs)}: ${undecided()} decisions are open. See "hardcase review list ${run} ${path}".`;
      await control('record-notice', { run, message });
    };
    const end = async () => {
      if (expiresAt === undefined) return;
      await sleep(Math.max(0, Date.parse(expiresAt) - Date.now()));
      expire();
    };
    await Promise.all([remind(), end()]);
  };
  timers.run(wait).catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });
  return timers;
}

function duration(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const) {
    if (ms >= size) return `${Math.round(ms / size)} ${unit}`;
  }
  return `${Math.round(ms / 1_000)} s`;
}
