/** The entry of the TensorFlow process: runs the one step it is sent, and ends with its parent. */

import { ApplicationFailure } from '@temporalio/common';
import { openStore } from '../artifacts/open-store.ts';
import type { Json } from '../plan/types.ts';
import { capacityRung } from './capacity-rung.ts';
import { capacityTrial } from './capacity-trial.ts';
import { chooseCapacity } from './choose-capacity.ts';
import type { NetShape } from './choose-threads.ts';
import { compareModels } from './compare-models.ts';
import type { StepContext } from './context.ts';
import { detect } from './detect.ts';
import { describeTensorflow } from './environment.ts';
import { evaluate } from './evaluate.ts';
import { exportModel } from './export.ts';
import { importModel } from './import-model.ts';
import { measureSpeed } from './measure-speed.ts';
import { mine } from './mine.ts';
import { profileLoss } from './profile-loss.ts';
import { promote } from './promote.ts';
import type { ChildFailure, FromChild, StartMessage, ToChild } from './tf-messages.ts';
import { enterTfProcess } from './tf-process.ts';
import { trackForgetting } from './track-forgetting.ts';
import { train } from './train.ts';

const steps: { readonly [kind: string]: (context: StepContext, parameters: never) => Promise<unknown> } = {
  'capacity-rung': capacityRung,
  'capacity-trial': capacityTrial,
  'choose-capacity': chooseCapacity,
  'compare-models': compareModels,
  detect,
  evaluate,
  'export-model': exportModel,
  'import-model': importModel,
  mine,
  'profile-loss': profileLoss,
  promote,
  'track-forgetting': trackForgetting,
  train,
};

const controller = new AbortController();
const waitingNotices = new Map<number, () => void>();
let notices = 0;

// The parent may be gone without a word (SIGKILL): then nobody waits for a result.
process.on('disconnect', () => process.exit(1));
// Ctrl-C reaches the whole process group; the parent says what is to be done about it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => controller.abort(new Error('The process was asked to end (SIGTERM).')));

process.on('message', (raw) => {
  const message = raw as ToChild;
  if (message.type === 'stop') controller.abort(new Error('The step was told to stop.'));
  else if (message.type === 'noticed') waitingNotices.get(message.id)?.();
  else void run(message);
});

async function run(start: StartMessage): Promise<void> {
  enterTfProcess();
  try {
    const outputs = await runStep(start);
    await tell({ type: 'done', outputs });
  } catch (error) {
    await tell({ type: 'failed', failure: describeFailure(error) });
  }
  process.exit(0);
}

async function runStep(start: StartMessage): Promise<Json> {
  if (start.kind === 'describe-tensorflow') return describeTensorflow();
  if (start.kind === 'measure-speed') return measureSpeed(start.parameters as unknown as NetShape);
  const step = steps[start.kind];
  if (!step) throw new Error(`Internal error: the TensorFlow process knows no step kind "${start.kind}".`);
  const context: StepContext = {
    store: await openStore(start.storeUrl),
    run: start.run,
    path: start.path,
    seed: start.seed,
    fingerprint: start.fingerprint,
    environment: start.environment,
    signal: controller.signal,
    progress: (message, share) => void tell({ type: 'progress', message, share }),
    resumed: (step, exact) => void tell({ type: 'resumed', step, exact }),
    async notice(message) {
      const id = ++notices;
      const kept = new Promise<void>((resolve) => waitingNotices.set(id, resolve));
      await tell({ type: 'notice', id, message });
      await kept;
    },
  };
  return (await step(context, start.parameters as never)) as Json;
}

function tell(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

function describeFailure(error: unknown): ChildFailure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), nonRetryable: false };
  const { digest, place, transient } = error as { digest?: string; place?: string; transient?: boolean };
  return {
    // Some classes leave `name` as Error's own.
    name: error.name === 'Error' ? error.constructor.name : error.name,
    message: error.message,
    stack: error.stack,
    type: error instanceof ApplicationFailure ? (error.type ?? undefined) : undefined,
    nonRetryable: error instanceof ApplicationFailure && error.nonRetryable === true,
    digest,
    place,
    transient,
  };
}
