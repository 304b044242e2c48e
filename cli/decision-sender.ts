/** Brings the page's decisions to the runs' workflows for as long as the page is served. */

import { sha256Hex } from '../artifacts/digest.ts';
import { readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { AnswerSender } from '../review/approvals.ts';
import { type DecisionSender, DecisionsRefusedError } from '../review/take-decisions.ts';
import {
  type AnswerReceipt,
  answerName,
  type DecideAnswer,
  decideName,
  gatherMore,
  workflowIdOf,
} from '../workflows/messages.ts';
import { checkRunIsHere, RunElsewhereError } from './claim-run.ts';
import { connectTemporal, type TemporalConnection } from './connect.ts';
import { ownCommand } from './output.ts';
import { startWorker } from './own-worker.ts';
import type { Settings } from './settings.ts';
import { isStuck, stuckError } from './stuck-workflow.ts';

export interface OpenDecisionSender extends DecisionSender, AnswerSender {
  /** Frees what would outlive a process that ends at once. */
  leaveNow(): void;
  close(): Promise<void>;
}

/** How long a workflow may take to answer; the page keeps its decisions and asks again. */
const answerMs = 20_000;
/** A worker that was started for decisions ends so long after the last one: "hardcase run" can then take its place. */
const workerIdleMs = 15_000;

/** `connection` is used as it is where a worker of this process serves the run already; else one is opened. */
export async function openDecisionSender(
  settings: Settings,
  store: Store,
  connection?: TemporalConnection,
): Promise<OpenDecisionSender> {
  let temporal: TemporalConnection | null = connection ?? (await connectTemporal(settings));
  let connecting: Promise<TemporalConnection> | null = null;
  let worker: { stop(): Promise<void>; idle: NodeJS.Timeout } | null = null;
  let changing: Promise<unknown> = Promise.resolve();

  /** One after another: the worker is started once, and not while it stops. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = changing.then(work, work);
    changing = turn.catch(() => undefined);
    return turn;
  };
  const stopWorker = () =>
    inTurn(async () => {
      if (worker === null) return;
      clearTimeout(worker.idle);
      const { stop } = worker;
      worker = null;
      await stop();
    });

  /** Where the embedded engine has no worker nobody would answer, so one runs here for a while. */
  const ensureWorker = (engine: TemporalConnection): Promise<boolean> =>
    inTurn(async () => {
      if (worker !== null) {
        worker.idle.refresh();
        return true;
      }
      const release = connection === undefined ? (engine.engine?.claimWorker() ?? null) : null;
      if (release === null) return false;
      // Without the queue `train`, nothing heavy begins that would have to be broken off again.
      const own = await startWorker(settings, engine, store, ['workflows', 'cpu']).catch((error: unknown) => {
        release();
        throw error;
      });
      const stop = async () => {
        await own.stop();
        release();
      };
      worker = { stop, idle: setTimeout(() => void stopWorker(), workerIdleMs).unref() };
      return true;
    });

  const connected = async (): Promise<TemporalConnection> => {
    if (temporal !== null) return temporal;
    connecting ??= connectTemporal(settings).finally(() => {
      connecting = null;
    });
    temporal = await connecting;
    return temporal;
  };

  /** Another engine that has the run is the one to tell. That may change, so that what was decided is kept and sent again. */
  const checkIsHere = async (run: string): Promise<void> => {
    const found = await readRun(store, run);
    if (found === null) return;
    await checkRunIsHere(settings, store, found.header).catch((error: unknown) => {
      if (error instanceof RunElsewhereError) throw new Error(error.remedy, { cause: error });
      throw error;
    });
  };

  /** An update of the run's workflow, and its answer. */
  const update = async <Answer extends object>(run: string, name: string, message: object) => {
    await checkIsHere(run);
    const engine = await connected();
    const own = await ensureWorker(engine);
    const handle = engine.client.workflow.getHandle(workflowIdOf(run));
    try {
      const answer = await engine.connection.withDeadline(Date.now() + answerMs, () =>
        handle.executeUpdate<Answer, [object]>(name, {
          args: [message],
          // The same message sent again, because the answer was lost, is the same update. Of the name of a batch alone
          // its id must not be made: another list under the same name would count as taken.
          updateId: sha256Hex(canonicalJson([name, message])).slice(0, 32),
        }),
      );
      const file = own ? (await readRun(store, run))?.header.file : undefined;
      return file === undefined ? answer : { ...answer, goOn: ownCommand('run', file, '--run', run) };
    } catch (error) {
      const { ApplicationFailure, WorkflowNotFoundError, WorkflowUpdateFailedError } = await import(
        '@temporalio/client'
      );
      if (error instanceof WorkflowUpdateFailedError) {
        if (error.cause instanceof ApplicationFailure && error.cause.type === gatherMore) {
          throw new Error('Decisions are gathered, and sent with the next ones.', { cause: error });
        }
        throw new DecisionsRefusedError(error.cause?.message ?? error.message, { cause: error });
      }
      if (error instanceof WorkflowNotFoundError) {
        const file = (await readRun(store, run))?.header.file ?? 'FILE';
        throw new Error(
          `The engine does not know the run ${run} (any more). Decisions are kept and sent once it goes on: ${ownCommand('run', file, '--run', run)}`,
          { cause: error },
        );
      }
      if (isStuck(error)) {
        const header = (await readRun(store, run))?.header;
        if (header !== undefined) throw await stuckError(store, header, error);
      }
      throw new Error('The engine does not answer just now. Decisions are kept, and sent again.', { cause: error });
    }
  };

  return {
    decide: (run, message) => update<DecideAnswer>(run, decideName, message),
    answer: (run, message) => update<AnswerReceipt>(run, answerName, message),
    leaveNow: () => {
      if (connection === undefined) temporal?.engine?.leaveNow();
    },
    close: async () => {
      await stopWorker();
      if (connection === undefined) await temporal?.close();
      temporal = null;
    },
  };
}
