/** Sends decisions and operations to a run's workflow, and says what came of them. */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { readApproval } from '../artifacts/approval-record.ts';
import { readOperations, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { Decision } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { RunHeader } from '../plan/types.ts';
import {
  type AnswerMessage,
  type AnswerReceipt,
  answerName,
  type DecideAnswer,
  type DecideMessage,
  decideName,
  decisionsPerMessageMax,
  type GatesAnswer,
  gatesName,
  type OperateAnswer,
  type OperateMessage,
  type OperationName,
  type RefusedDecision,
  workflowIdOf,
} from '../workflows/messages.ts';
import { checkRunIsHere } from './claim-run.ts';
import { connectTemporal, type TemporalConnection } from './connect.ts';
import { endOnInterruption } from './interruption.ts';
import { isOpenWorkflow } from './open-workflow.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import { type OwnWorker, startWorker } from './own-worker.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';
import { isStuck, stuckError } from './stuck-workflow.ts';

/** The record says that the run goes on, but the engine has no workflow of it. */
export class WorkflowGoneError extends CommandError {}

export interface DecisionsSent extends DecideAnswer {
  readonly refused: readonly RefusedDecision[];
  /** The command that lets the run go on, where nothing runs it now. */
  readonly goOn?: string;
}

// The ledger is written right after the answer; waiting a moment lets refusals be told at once.
const ledgerWaitMs = 20_000;
/** From the record of a run to its workflow, also on a machine that does much else. */
const beginsWaitMs = 30_000;
// A list of thousands takes the ledger a while; a moment after its gate was closed its outcome is still told.
const listsWaitMs = 300_000;
/** Some megabytes, which every worker that writes them to the ledger reads at once. */
const decisionsPerListMax = 20_000;

export async function sendDecisions(
  settings: Settings,
  store: Store,
  header: RunHeader,
  gate: string,
  decisions: readonly Decision[],
  who: { readonly by: string; readonly shown?: string },
): Promise<DecisionsSent> {
  if (decisions.length === 0) return { accepted: 0, repeated: 0, refused: [] };
  return await withWorkflow(settings, store, header, async (handle) => {
    const send = (message: Omit<DecideMessage, 'gate' | 'by' | 'shown' | 'batch'>) => {
      const shown = who.shown === undefined ? {} : { shown: who.shown };
      // The same decisions sent twice, because the answer was lost, are the same batch.
      const batch = sha256(canonicalJson([gate, who.by, message])).slice(0, 16);
      const whole: DecideMessage = { gate, batch, by: who.by, ...shown, ...message };
      return handle.executeUpdate<DecideAnswer, [DecideMessage]>(decideName, { args: [whole] });
    };
    const ids = new Set(decisions.map(({ candidateId }) => candidateId));
    if (decisions.length <= decisionsPerMessageMax) {
      const answer = await send({ decisions });
      return { ...answer, refused: await refusals(handle, gate, ids) };
    }
    const references = new Set<string>();
    for (let start = 0; start < decisions.length; start += decisionsPerListMax) {
      const part = decisions.slice(start, start + decisionsPerListMax);
      const reference = await store.putObject(Buffer.from(JSON.stringify(part)));
      references.add(reference);
      await send({ reference });
    }
    return await outcomes(handle, gate, references, ids);
  });
}

/** Ends the wait of a gate: the run goes on with what is decided. */
export async function sendProceed(
  settings: Settings,
  store: Store,
  header: RunHeader,
  gate: string,
  by: string,
): Promise<{ readonly goOn?: string }> {
  const batch = createHash('sha256')
    .update(canonicalJson([gate, by, 'proceed']))
    .digest('hex')
    .slice(0, 16);
  const message: DecideMessage = { gate, batch, by, decisions: [], proceed: true };
  return await withWorkflow(settings, store, header, (handle) =>
    handle.executeUpdate<DecideAnswer, [DecideMessage]>(decideName, { args: [message] }),
  );
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What became of lists in the store. Of a gate that is not open yet, all that was sent waits there. */
async function outcomes(
  handle: WorkflowHandle,
  gate: string,
  references: ReadonlySet<string>,
  ids: ReadonlySet<string>,
): Promise<Omit<DecisionsSent, 'goOn'>> {
  const deadline = Date.now() + listsWaitMs;
  for (;;) {
    // The last decision may have ended the run, and its workflow with it.
    const answer = await handle.query<GatesAnswer>(gatesName).catch(() => null);
    const lists = (answer?.lists ?? []).filter((list) => list.gate === gate && references.has(list.reference));
    const isOpen = answer?.open.some((item) => item.gate === gate && item.undecided > 0) === true;
    if (lists.length === references.size || !isOpen || Date.now() > deadline) {
      const refused = (answer?.refused ?? []).filter((item) => item.gate === gate && ids.has(item.candidateId));
      if (lists.length < references.size) return { accepted: ids.size - refused.length, repeated: 0, refused };
      const total = (name: 'accepted' | 'repeated') => lists.reduce((sum, list) => sum + list[name], 0);
      return { accepted: total('accepted'), repeated: total('repeated'), refused };
    }
    await sleep(500);
  }
}

/** Refusals come when the open gate has looked the candidates up; a gate that is not open yet is not waited for. */
async function refusals(handle: WorkflowHandle, gate: string, ids: ReadonlySet<string>): Promise<RefusedDecision[]> {
  const deadline = Date.now() + ledgerWaitMs;
  for (;;) {
    const answer = await handle.query<GatesAnswer>(gatesName).catch((error: unknown) => {
      // The last decision may have ended the run, and its workflow with it.
      if (error instanceof Error) return null;
      throw error;
    });
    const open = answer?.open.find((item) => item.gate === gate);
    const writing = open !== undefined && open.queued > 0 && open.undecided > 0;
    if (!writing || Date.now() > deadline) {
      return (answer?.refused ?? []).filter((item) => item.gate === gate && ids.has(item.candidateId));
    }
    await sleep(150);
  }
}

/** Answers once the gate has closed with it, where it was open. */
export async function sendAnswer(
  settings: Settings,
  store: Store,
  header: RunHeader,
  message: AnswerMessage,
): Promise<AnswerReceipt & { readonly goOn?: string }> {
  return await withWorkflow(settings, store, header, async (handle) => {
    const wasOpen = (await readApproval(store, header.run, message.gate))?.state === 'open';
    const receipt = await handle.executeUpdate<AnswerReceipt, [AnswerMessage]>(answerName, { args: [message] });
    const deadline = Date.now() + ledgerWaitMs;
    while (wasOpen && Date.now() < deadline) {
      if ((await readApproval(store, header.run, message.gate))?.state !== 'open') break;
      await sleep(150);
    }
    return receipt;
  });
}

/** What `operations` of the run's record say of it, and how the run goes on. */
export interface OperationSent extends OperateAnswer {
  readonly goOn?: string;
}

/** Answers once the record shows the operation, and what it changes at once. */
export async function sendOperation(
  settings: Settings,
  store: Store,
  header: RunHeader,
  name: OperationName,
  message: OperateMessage,
  /** Whether the record shows what the operation is to bring about. */
  hasHappened: (answer: OperateAnswer) => Promise<boolean> = async () => true,
  waitMs = ledgerWaitMs,
): Promise<OperationSent> {
  return await withWorkflow(settings, store, header, async (handle) => {
    const answer = await handle.executeUpdate<OperateAnswer, [OperateMessage]>(name, { args: [message] });
    const isRecorded = async () => (await readOperations(store, header.run)).some(({ at }) => at === answer.at);
    const deadline = Date.now() + waitMs;
    while (Date.now() < deadline && !((await isRecorded()) && (await hasHappened(answer)))) await sleep(150);
    return answer;
  });
}

/** Answers once the record says that the run is cancelled, or at the latest after `waitMs`. */
export async function sendCancel(
  settings: Settings,
  store: Store,
  header: RunHeader,
  message: OperateMessage,
  waitMs: number,
): Promise<{ readonly cancelled: boolean }> {
  let cancelled = false;
  await sendOperation(
    settings,
    store,
    header,
    'cancel',
    message,
    async () => {
      const run = await readRun(store, header.run);
      cancelled = run !== null && isFinal(run.state.state);
      return cancelled;
    },
    waitMs,
  );
  return { cancelled };
}

/**
 * Gives the run's workflow to the function. Where the embedded engine has no worker, one runs here meanwhile, because
 * a workflow that nobody runs cannot answer.
 */
async function withWorkflow<T extends object>(
  settings: Settings,
  store: Store,
  header: RunHeader,
  send: (handle: WorkflowHandle) => Promise<T>,
): Promise<T & { goOn?: string }> {
  await checkRunIsHere(settings, store, header);
  const temporal = await connectTemporal(settings);
  const interruption = endOnInterruption(() => temporal.engine?.leaveNow());
  try {
    const serving = await serveMeanwhile(settings, store, temporal);
    try {
      await untilBegun(temporal.client, store, header);
      const answer = await send(temporal.client.workflow.getHandle(workflowIdOf(header.run)));
      if (!serving.here()) return answer;
      return { ...answer, goOn: ownCommand('run', header.file, '--run', header.run) };
    } catch (error) {
      throw await explain(error, store, header);
    } finally {
      await serving.stop();
    }
  } finally {
    await temporal.close();
    interruption.restore();
  }
}

/** A command that begins a run starts its workflow some seconds after the record is there for others to see. */
async function untilBegun(client: Client, store: Store, { run, createdAt }: RunHeader): Promise<void> {
  while (Date.now() < Date.parse(createdAt) + beginsWaitMs) {
    if ((await readRun(store, run))?.state.state !== 'pending' || (await isOpenWorkflow(client, run))) return;
    await sleep(200);
  }
}

/** Runs the embedded engine's worker here where no other process does, and as soon as the one that did has died. */
async function serveMeanwhile(settings: Settings, store: Store, temporal: TemporalConnection) {
  let release: (() => void) | null = null;
  let worker: OwnWorker | null = null;
  const take = async () => {
    release ??= temporal.engine?.claimWorker() ?? null;
    // Without the queue `train`, nothing heavy begins that this command would have to break off.
    if (release !== null) worker ??= await startWorker(settings, temporal, store, ['workflows', 'cpu']);
  };
  await take();
  let taking: Promise<void> = Promise.resolve();
  const look = setInterval(() => {
    if (release !== null) return;
    taking = taking.then(take).catch(() => undefined);
  }, 1_000);
  return {
    here: () => release !== null,
    stop: async () => {
      clearInterval(look);
      await taking;
      await (worker as OwnWorker | null)?.stop();
      (release as (() => void) | null)?.();
    },
  };
}

async function explain(error: unknown, store: Store, header: RunHeader): Promise<unknown> {
  const { WorkflowNotFoundError, WorkflowUpdateFailedError } = await import('@temporalio/client');
  if (error instanceof WorkflowUpdateFailedError) {
    return new CommandError(error.cause?.message ?? error.message, exitCodes.input, error);
  }
  if (error instanceof WorkflowNotFoundError) {
    return new WorkflowGoneError(
      `The engine does not know the run ${header.run} (any more). Start it again where it was: ${ownCommand('run', header.file, '--run', header.run)}`,
      exitCodes.engine,
      error,
    );
  }
  return isStuck(error) ? await stuckError(store, header, error) : error;
}
