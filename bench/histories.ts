/**
 * How long histories become: runs on a real server, with the real interpreter and steps that do nothing, that are as wide
 * and as long as a pipeline may be. `npm run bench -- histories [CASE]…` prints the longest history of any workflow of each
 * run, and the most activities that one workflow had open at once. Ends with 1 where Temporal's suggestion was passed.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { openFolderStore } from '../artifacts/folder-store.ts';
import { createRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { startTemporalDevServer } from '../deploy/servers.ts';
import { startWorker } from '../deploy/worker.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { eventsMax, renewAfterEvents, wornEvents } from '../plan/limits.ts';
import type { Plan, PlannedScope } from '../plan/types.ts';
import { queueName, type RunArguments, workflowIdOf } from '../workflows/messages.ts';
import { approvalCases } from './histories/approvals.ts';
import { type Case, pause } from './histories/case.ts';
import { reviewCases } from './histories/reviews.ts';
import { implementations, shapeCases } from './histories/shapes.ts';

const cases: { readonly [name: string]: Case } = { ...shapeCases, ...approvalCases, ...reviewCases };

const queuePrefix = 'bench';
const pendingMax = 500;

interface Pending {
  activities: number;
  children: number;
}

async function start(client: Client, store: Store, run: string, root: PlannedScope): Promise<WorkflowHandle> {
  const plan: Plan = { format: 1, pipeline: 'histories', seed: 1, params: {}, root };
  const planDigest = await store.putObject(Buffer.from(canonicalJson(plan)));
  const { pipeline, seed } = plan;
  const createdAt = new Date().toISOString();
  await createRun(store, { run, pipeline, planDigest, source: planDigest, file: 'bench', params: {}, createdAt });
  const args: RunArguments = { run, pipeline, planDigest, seed, renewAfter: renewAfterEvents, wornAfter: wornEvents };
  const taskQueue = queueName(queuePrefix, 'workflows');
  return client.workflow.start(pipeline, { workflowId: workflowIdOf(run), taskQueue, args: [args] });
}

/** The most activities, and the most children, that a workflow had open at once, after its history. */
async function mostPending(client: Client, workflowId: string, runId: string): Promise<Pending> {
  const { events = [] } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const open: Pending = { activities: 0, children: 0 };
  const most: Pending = { activities: 0, children: 0 };
  const count = (kind: keyof Pending, begins: unknown, ...ends: readonly unknown[]) => {
    if (begins) most[kind] = Math.max(most[kind], ++open[kind]);
    if (ends.some(Boolean)) open[kind]--;
  };
  for (const event of events ?? []) {
    count(
      'activities',
      event.activityTaskScheduledEventAttributes,
      event.activityTaskCompletedEventAttributes,
      event.activityTaskFailedEventAttributes,
      event.activityTaskTimedOutEventAttributes,
      event.activityTaskCanceledEventAttributes,
    );
    count(
      'children',
      event.startChildWorkflowExecutionInitiatedEventAttributes,
      event.startChildWorkflowExecutionFailedEventAttributes,
      event.childWorkflowExecutionCompletedEventAttributes,
      event.childWorkflowExecutionFailedEventAttributes,
      event.childWorkflowExecutionTimedOutEventAttributes,
      event.childWorkflowExecutionCanceledEventAttributes,
      event.childWorkflowExecutionTerminatedEventAttributes,
    );
  }
  return most;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`There is no case "${unknown[0]}"; there are ${Object.keys(cases).join(', ')}.`);
  process.exit(2);
}

Runtime.install({
  shutdownSignals: [],
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
});
const folder = await mkdtemp(join(tmpdir(), 'hardcase-histories-'));
const store = await openFolderStore(join(folder, 'store'));
const server = await startTemporalDevServer({
  logFile: join(folder, 'temporal.log'),
  dbFile: join(folder, 'temporal.db'),
});
const connection = await Connection.connect({ address: server.address });
const client = new Client({ connection });
const worker = await startWorker({
  connection: { address: server.address },
  namespace: 'default',
  store,
  queuePrefix,
  queues: ['workflows', 'cpu'],
  implementations,
});
let passed = false;
try {
  console.log(
    'run                                                        workflows  longest history, root  pending activities, children  seconds',
  );
  for (const name of wanted.length > 0 ? wanted : Object.keys(cases)) {
    const { about, people, prepared, ...given } = cases[name]!;
    const steps = (await prepared?.(store)) ?? given.steps;
    const began = performance.now();
    const handle = await start(client, store, name, { steps });
    await Promise.all([people?.(handle, store), handle.result()]);
    const seconds = (performance.now() - began) / 1000;
    // The list of workflows is a little behind.
    await pause(2_000);
    let workflows = 0;
    const pending: Pending = { activities: 0, children: 0 };
    let longest = { id: '', events: 0 };
    let root = 0;
    for await (const { workflowId, runId, historyLength } of client.workflow.list()) {
      if (workflowId !== workflowIdOf(name) && !workflowId.startsWith(`${workflowIdOf(name)}:`)) continue;
      workflows++;
      if (workflowId === workflowIdOf(name)) root = Math.max(root, historyLength);
      if (historyLength > longest.events) longest = { id: workflowId, events: historyLength };
      if (historyLength <= 100) continue;
      const most = await mostPending(client, workflowId, runId);
      pending.activities = Math.max(pending.activities, most.activities);
      pending.children = Math.max(pending.children, most.children);
    }
    passed ||= longest.events > eventsMax || pending.activities > pendingMax || pending.children > pendingMax;
    const cells = [
      about.padEnd(60),
      workflows,
      `${longest.events} ${longest.id}, root ${root}`.padEnd(40),
      `${pending.activities}, ${pending.children}`.padEnd(10),
      seconds.toFixed(0),
    ];
    console.log(cells.join('  '));
  }
} finally {
  await worker.shutdown();
  await connection.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
console.log(`No workflow may have more than ${eventsMax} events, or more than ${pendingMax} activities open at once.`);
process.exit(passed ? 1 : 0);
