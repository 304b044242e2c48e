/** Records the histories of the shipped pipelines with the workflows of the build beside it: see recorded-histories.ts. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { packageVersion } from '../../activities/environment.ts';
import { startTemporalDevServer } from '../../deploy/servers.ts';
import { defaultBundlePath } from '../../deploy/worker.ts';
import type { Answer } from '../../plan/form.ts';
import { stepsOf } from '../../plan/paths.ts';
import { queuesOf } from '../../plan/queues.ts';
import type { ApproveStep, Plan } from '../../plan/types.ts';
import {
  answerName,
  decideName,
  type GatesAnswer,
  gatesName,
  queueName,
  type RunArguments,
  workflowIdOf,
} from '../../workflows/messages.ts';
import { testQueuePrefix } from '../small-plans.ts';
import { answeringActivities, shippedPlans, wholeHistory, writeHistories } from './recorded-histories.ts';

Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
const folder = mkdtempSync(join(tmpdir(), 'hardcase-histories-'));
const server = await startTemporalDevServer({ logFile: join(folder, 'temporal.log') });
const native = await NativeConnection.connect({ address: server.address });
const connection = await Connection.connect({ address: server.address });
const client = new Client({ connection });
const plans = shippedPlans();

const activities = answeringActivities();
const queues = new Set(['cpu', 'train', ...plans.flatMap(({ plan }) => queuesOf(plan.root))]);
const workers = [
  await Worker.create({
    connection: native,
    taskQueue: queueName(testQueuePrefix, 'workflows'),
    workflowBundle: { codePath: defaultBundlePath() },
    activities,
  }),
];
for (const queue of queues) {
  workers.push(await Worker.create({ connection: native, taskQueue: queueName(testQueuePrefix, queue), activities }));
}
for (const step of plans.flatMap(({ plan }) => plan.root.steps)) {
  if (step.type !== 'foreign') continue;
  const foreign = { [step.activity]: async () => ({}) };
  workers.push(await Worker.create({ connection: native, taskQueue: step.queue, activities: foreign }));
}
const running = Promise.all(workers.map((worker) => worker.run()));

async function start(run: string, plan: Plan): Promise<WorkflowHandle> {
  const args: RunArguments = { run, pipeline: plan.pipeline, planDigest: '0'.repeat(64), seed: 1, scope: plan.root };
  const taskQueue = queueName(testQueuePrefix, 'workflows');
  return client.workflow.start(plan.pipeline, { workflowId: workflowIdOf(run), taskQueue, args: [args] });
}

/** Answers every gate until the run has ended. */
async function toItsEnd(handle: WorkflowHandle, plan: Plan): Promise<void> {
  let ended = false;
  const end = handle.result().finally(() => {
    ended = true;
  });
  end.catch(() => undefined);
  while (!ended) {
    const gates = await handle.query<GatesAnswer>(gatesName).catch(() => null);
    for (const { gate, undecided } of gates?.open ?? []) {
      if (undecided === 0) continue;
      const message = {
        gate,
        batch: 'b',
        by: 'recorder',
        decisions: [{ candidateId: `c of ${gate}`, verdict: 'accept' }],
      };
      await handle.executeUpdate(decideName, { args: [message] }).catch(() => undefined);
    }
    for (const step of stepsOf(plan.root)) {
      if (step.type !== 'approve') continue;
      const message = { gate: step.id, by: 'recorder', answer: yesTo(step) };
      await handle.executeUpdate(answerName, { args: [message] }).catch(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await end;
}

try {
  for (const { name, plan } of plans) {
    const handle = await start(name, plan);
    await toItsEnd(handle, plan);
    await keep(name, handle);
  }
  // Operations, on a run that is still at its beginning.
  const { plan } = plans.find((one) => one.name === 'repeat')!;
  const handle = await start('operations', plan);
  const operate = (operation: string, more = {}) =>
    handle.executeUpdate(operation, { args: [{ by: 'recorder', ...more }] });
  await operate('pause', { now: true });
  await operate('resume');
  await operate('reset', { path: plan.root.steps[0]!.id });
  await toItsEnd(handle, plan);
  await keep('operations', handle);
} finally {
  for (const worker of workers) worker.shutdown();
  await running;
  await connection.close();
  await native.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Yes to all that is asked, and 2 where a number is. */
function yesTo({ form }: ApproveStep): Answer {
  const values = { boolean: true, integer: 2 } as const;
  const fields = Object.entries(form.properties).flatMap(([name, { type }]) =>
    type === 'boolean' || type === 'integer' ? [[name, values[type]] as const] : [],
  );
  return Object.fromEntries(fields);
}

async function keep(name: string, handle: WorkflowHandle): Promise<void> {
  const histories = await wholeHistory(handle, (id, runId) => client.workflow.getHandle(id, runId));
  writeHistories(packageVersion(), name, histories);
  console.log(`${name}: ${histories.length} workflows`);
}
